"""The start of a pipeline's training run: a pipeline (with a new LoRA adapter of its denoiser, or all of it trainable), or an
adapter that goes on. Nothing is loaded on a guess: every tensor of an adapter is held against the module that it goes into.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from xpert.errors import IncompatibleModelError, MissingDependencyError, SettingsError, TrainingError, WeightsError
from xpert.references import describe, portable, require_weights
from xpert.tensors.lora import LoraAdapter, LoraFactors
from xpert.tensors.lora_pipeline import is_pipeline_lora, named_base, read_pipeline_lora
from xpert.trainers.diffusion.conditioning import family_of
from xpert.trainers.diffusion.settings import DiffusionSettings
from xpert.weights import check_finite

__all__ = ["LoadedPipeline", "load_pipeline_start", "trained_adapters"]

_TARGETS = {
    "sd3": (
        "attn.to_q",
        "attn.to_k",
        "attn.to_v",
        "attn.to_out.0",
        "attn.add_q_proj",
        "attn.add_k_proj",
        "attn.add_v_proj",
        "attn.to_add_out",
    )
}
_ATTENTION = ("to_q", "to_k", "to_v", "to_out.0")


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedPipeline:
    """A pipeline that is ready to be trained.

    Attributes:
        pipeline: Its components, none in training mode: dropout is off.
        family: ``sd``, ``xl`` or ``sd3``.
        denoiser: Name of the component that trains: ``unet`` or ``transformer``.
        folder: The base pipeline's folder.
        method: ``lora`` or ``full``.
        base: Reference of the base.
        frozen: Adapters of other components, which stay as they are and go with the result.
        alphas: ``lora_alpha`` of each adapted module.
        digest: SHA-256 of the start's weights, and of its base's.
    """

    pipeline: Any
    family: str
    denoiser: str
    folder: Path
    method: str
    base: str
    frozen: Mapping[str, LoraAdapter]
    alphas: Mapping[str, float]
    digest: str

    @property
    def model(self) -> Any:
        """The denoiser."""
        return getattr(self.pipeline, self.denoiser)

    def parameters(self) -> dict[str, torch.nn.Parameter]:
        """Name to parameter that trains; exactly the adapter's factors, or all.

        Raises:
            xpert.errors.TrainingError: Others would train.
        """
        chosen = {name: p for name, p in self.model.named_parameters() if p.requires_grad}
        strange = [name for name in chosen if self.method == "lora" and "lora_" not in name]
        if strange or not chosen:
            raise TrainingError(
                f"expected only the adapter's parameters to train (first strange one: {strange[0] if strange else 'none'}): "
                "this PEFT is not supported"
            )
        return chosen


def load_pipeline_start(start: str | Path, settings: DiffusionSettings, *, base: str | Path | None) -> LoadedPipeline:
    """Load what training starts from, in float32 and on the CPU.

    Args:
        start: A pipeline's reference, or an adapter's.
        settings: Method, rank, alpha, target modules and seed of a new adapter.
        base: Base of a start adapter; None: the one that its card or its ``adapter_config.json`` names.

    Raises:
        xpert.errors.RecordedModelError: The start has no weights.
        xpert.errors.IncompatibleModelError: No pipeline, one of another class, or an adapter of another base or kind.
        xpert.errors.WeightsError: Weights are missing, truncated or not finite.
        xpert.errors.SettingsError: Method and start do not go together.
        xpert.errors.MissingDependencyError: diffusers is not installed.
    """
    folder = require_weights(start, "train")
    info = describe(start)
    if info.kind == "pipeline":
        if base is not None:
            raise SettingsError(f"base={str(base)!r} is for a start that is an adapter; {folder} is a pipeline")
        return _ready(folder, portable(start), None, info.sha256, settings)
    if info.kind != "adapter" or not is_pipeline_lora(folder):
        raise IncompatibleModelError(f"{folder}: expected a pipeline of diffusers or a LoRA adapter of one")
    if settings.method == "full":
        raise SettingsError(f"method='full' trains a pipeline's denoiser; {folder} is an adapter: use method='lora'")
    base = base or info.base or named_base(folder)
    if base is None:
        raise IncompatibleModelError(f"{folder}: names no base pipeline (base_model of its README.md): give base=")
    base_folder, base_info = require_weights(base, "train"), describe(base)
    if base_info.kind != "pipeline":
        raise IncompatibleModelError(f"{folder}: its base {str(base)!r} is no pipeline but of kind {base_info.kind}")
    return _ready(base_folder, portable(base), folder, f"{info.sha256} on {base_info.sha256}", settings)


def trained_adapters(loaded: LoadedPipeline, tensors: Mapping[str, torch.Tensor]) -> dict[str, LoraAdapter]:
    """The trained adapter of the denoiser as mathematics, and the frozen ones.

    Args:
        loaded: The start.
        tensors: Name of a parameter to its value in the end.
    """
    factors: dict[str, dict[str, torch.Tensor]] = {}
    for name, tensor in tensors.items():
        module, _, rest = name.partition(".lora_")
        factors.setdefault(module, {})[rest[0]] = tensor.detach()
    modules: dict[str, LoraFactors] = {}
    kernels: dict[str, tuple[int, int]] = {}
    for module, pair in sorted(factors.items()):
        a, b = pair["A"], pair["B"]
        if a.ndim == 4:
            kernels[module] = (a.shape[2], a.shape[3])
        modules[module] = LoraFactors(a=a.flatten(1), b=b.flatten(1), scale=loaded.alphas[module] / a.shape[0])
    return {**loaded.frozen, loaded.denoiser: LoraAdapter(base=loaded.base, modules=modules, kernels=kernels)}


def _ready(folder: Path, base: str, adapter: Path | None, digest: str, settings: DiffusionSettings) -> LoadedPipeline:
    pipeline = _open(folder)
    family = family_of(pipeline)
    denoiser = "transformer" if family == "sd3" else "unet"
    model = getattr(pipeline, denoiser)
    for part in pipeline.components.values():
        if isinstance(part, torch.nn.Module):
            part.requires_grad_(False).eval()
            check_finite(part.named_parameters(), str(folder))
    frozen: dict[str, LoraAdapter] = {}
    alphas: dict[str, float] = {}
    if settings.method == "full":
        model.requires_grad_(True)
    elif adapter is None:
        _inject(model, _new_config(settings, family), settings.seed, f"target_modules={settings.target_modules!r}")
        modules = {name.partition(".lora_")[0] for name, p in model.named_parameters() if "lora_" in name}
        alphas = dict.fromkeys(modules, settings.alpha)
    else:
        read = read_pipeline_lora(adapter, denoiser)
        for name, part in read.items():
            _put_in(getattr(pipeline, name, None), name, part, adapter, train=name == denoiser)
        if denoiser not in read:
            raise IncompatibleModelError(
                f"{adapter}: changes nothing of the {denoiser}: there is nothing to go on with"
            )
        frozen = {name: part for name, part in read.items() if name != denoiser}
        alphas = {name: factors.scale * factors.rank for name, factors in read[denoiser].modules.items()}
    if settings.gradient_checkpointing:
        model.enable_gradient_checkpointing()
    return LoadedPipeline(
        pipeline=pipeline,
        family=family,
        denoiser=denoiser,
        folder=folder,
        method=settings.method,
        base=base,
        frozen=frozen,
        alphas=alphas,
        digest=digest,
    )


def _open(folder: Path) -> Any:
    """The pipeline in float32; a safety checker looks at results and is left on disk."""
    try:
        import diffusers
    except ModuleNotFoundError:
        raise MissingDependencyError.of("diffusers", "diffusion", "DiffusionTrainer") from None
    library: Any = diffusers
    index = json.loads((folder / "model_index.json").read_text(encoding="utf-8"))
    unused: dict[str, Any] = {name: None for name in ("safety_checker", "image_encoder") if name in index}
    if "safety_checker" in unused:
        unused["requires_safety_checker"] = False
    bars = library.utils.logging.is_progress_bar_enabled()
    library.utils.logging.disable_progress_bar()
    try:
        return library.DiffusionPipeline.from_pretrained(
            folder, torch_dtype=torch.float32, use_safetensors=True, local_files_only=True, **unused
        )
    except (OSError, ValueError, RuntimeError, AttributeError, KeyError) as error:
        raise WeightsError(f"{folder}: cannot be loaded as a pipeline ({_line(error)})") from error
    finally:
        if bars:
            library.utils.logging.enable_progress_bar()


def _new_config(settings: DiffusionSettings, family: str) -> Any:
    from peft import LoraConfig

    targets = settings.target_modules or _TARGETS.get(family, _ATTENTION)
    return LoraConfig(
        r=settings.rank,
        lora_alpha=_integer(settings.alpha),
        target_modules=list(targets) if isinstance(targets, tuple) else targets,
        lora_dropout=0.0,
        init_lora_weights="gaussian",
    )


def _inject(model: Any, config: Any, seed: int, what: str) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            model.add_adapter(config)
        except ValueError as error:
            raise SettingsError(f"{what}: {_line(error)}") from error


def _put_in(model: Any, component: str, adapter: LoraAdapter, folder: Path, *, train: bool) -> None:
    """Inject an adapter into a component: all its factors, each held against its module."""
    from peft import LoraConfig

    refused = f"{folder} does not fit the base"
    if not isinstance(model, torch.nn.Module):
        raise IncompatibleModelError(f"{refused}: it changes {component}, which the base has not")
    found: dict[str, Any] = dict(model.named_modules())
    for name, factors in adapter.modules.items():
        if name not in found or not hasattr(found[name], "weight"):
            raise IncompatibleModelError(f"{refused}: {component} has no module {name}")
        shape, wanted = (factors.b.shape[0], factors.a.shape[1]), found[name].weight.flatten(1).shape
        if shape != tuple(wanted):
            raise IncompatibleModelError(f"{refused}: its update of {name} has shape {shape}, expected {tuple(wanted)}")
    ranks = {name: factors.rank for name, factors in adapter.modules.items()}
    alphas = {name: _integer(factors.scale * factors.rank) for name, factors in adapter.modules.items()}
    first = next(iter(ranks))
    config = LoraConfig(
        r=ranks[first],
        lora_alpha=alphas[first],  # type: ignore[arg-type]  # PEFT takes a float as well
        rank_pattern=ranks if len(set(ranks.values())) > 1 else {},
        alpha_pattern=alphas if len(set(alphas.values())) > 1 else {},
        target_modules=sorted(adapter.modules),
        lora_dropout=0.0,
    )
    _inject(model, config, 0, str(folder))
    own = dict(model.named_parameters())
    with torch.no_grad():
        for name, factors in adapter.modules.items():
            for letter, tensor in (("A", factors.a), ("B", factors.b)):
                place = own[f"{name}.lora_{letter}.default.weight"]
                place.copy_(tensor.reshape(place.shape))
    for name, parameter in own.items():
        parameter.requires_grad_(train and "lora_" in name)


def _integer(value: float) -> Any:
    return round(value) if abs(value - round(value)) < 1e-9 else value


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]
