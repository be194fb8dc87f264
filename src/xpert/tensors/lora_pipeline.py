"""LoRA adapters of pipelines on files: diffusers' own ``pytorch_lora_weights.safetensors``, one adapter a component.

Names are ``COMPONENT.MODULE.lora_A.weight`` (or ``lora.down``, as older versions of diffusers write); ``lora_alpha`` stands in the
file's metadata, or in tensors ``COMPONENT.MODULE.alpha``. Without either, diffusers takes alpha for the rank: scale 1.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from xpert.errors import IncompatibleModelError, WeightsError
from xpert.tensors.lora import LoraAdapter, LoraFactors, pattern_value
from xpert.tensors.lora_files import read_adapter

__all__ = ["LORA_FILE", "is_pipeline_lora", "named_base", "read_pipeline_lora", "write_pipeline_lora"]

LORA_FILE = "pytorch_lora_weights.safetensors"
_COMPONENT = re.compile(r"(unet|transformer|text_encoder(?:_\d+)?)\.(.+)")
_FACTOR = re.compile(r"(.+?)\.(?:lora_|lora\.|lora_linear_layer\.)(A|B|down|up)\.weight")
_DENOISER = re.compile(
    r"base_model\.model\.(down_blocks|mid_block|up_blocks|transformer_blocks|single_transformer_blocks|conv_in|conv_out)\."
)
_METADATA = "lora_adapter_metadata"
_FRONT = re.compile(r"---\s*\n(.*?)\n---\s*(\n|$)", re.DOTALL)


def is_pipeline_lora(folder: str | Path) -> bool:
    """Whether a folder holds a LoRA adapter of a pipeline: diffusers' file, or PEFT's with the modules of a denoiser."""
    folder = Path(folder)
    if (folder / LORA_FILE).is_file() and not (folder / "adapter_config.json").is_file():
        return True
    file = folder / "adapter_model.safetensors"
    if not file.is_file():
        return False
    try:
        with safe_open(file, framework="pt") as opened:
            return any(_DENOISER.match(name) for name in opened.keys())  # noqa: SIM118 - no mapping
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"{file}: expected a safetensors file ({error}): download it again") from error


def named_base(folder: str | Path) -> str | None:
    """The base that an adapter's model card names (``base_model`` of its front matter), or None: diffusers' file names none."""
    card = Path(folder) / "README.md"
    front = _FRONT.match(card.read_text(encoding="utf-8", errors="replace")) if card.is_file() else None
    found = re.search(r"^base_model:[ \t]*([^\n]+?)[ \t]*$", front[1], re.MULTILINE) if front else None
    return found[1].strip("\"'") if found else None


def read_pipeline_lora(folder: str | Path, denoiser: str) -> dict[str, LoraAdapter]:
    """Component to its adapter; factors of convolutions as matrices over their whole kernels.

    Args:
        folder: Of the adapter.
        denoiser: What the base calls its denoiser (``unet`` or ``transformer``): whose a PEFT folder is.

    Raises:
        xpert.errors.IncompatibleModelError: It is of another kind than plain LoRA, or in another program's names.
        xpert.errors.WeightsError: Weights are missing, truncated, not finite, or factors do not fit each other.
    """
    folder = Path(folder)
    if (folder / "adapter_config.json").is_file():
        return {denoiser: read_adapter(folder)}
    file = folder / LORA_FILE
    tensors, settings = _tensors(file)
    pairs: dict[str, dict[str, dict[str, torch.Tensor]]] = {}
    alphas: dict[str, dict[str, float]] = {}
    for name, tensor in tensors.items():
        component, module, what = _place(name, file)
        if what == "alpha":
            alphas.setdefault(component, {})[module] = float(tensor)
        else:
            pairs.setdefault(component, {}).setdefault(module, {})[what] = tensor
    return {
        component: _adapter(component, modules, alphas.get(component, {}), settings, file)
        for component, modules in sorted(pairs.items())
    }


def write_pipeline_lora(adapters: Mapping[str, LoraAdapter], folder: str | Path) -> None:
    """Write adapters, one a component, as diffusers' ``load_lora_weights`` reads them.

    Each component's modules may differ in rank and scale: what is not its commonest is written as a pattern.

    Args:
        adapters: Component to adapter.
        folder: An existing folder.
    """
    tensors: dict[str, torch.Tensor] = {}
    settings: dict[str, Any] = {}
    for component, adapter in adapters.items():
        config = _settings(adapter)
        settings |= {f"{component}.{key}": value for key, value in config.items()}
        for module, factors in adapter.modules.items():
            kernel = adapter.kernels.get(module)
            a = factors.a if kernel is None else factors.a.unflatten(1, (-1, *kernel))
            b = factors.b if kernel is None else factors.b[:, :, None, None]
            tensors[f"{component}.{module}.lora_A.weight"] = a.detach().cpu().contiguous()
            tensors[f"{component}.{module}.lora_B.weight"] = b.detach().cpu().contiguous()
    # One entry alone: safetensors writes several in an order that changes from run to run.
    metadata = {_METADATA: json.dumps(settings, indent=2, sort_keys=True)}
    save_file(tensors, Path(folder) / LORA_FILE, metadata=metadata)


def _settings(adapter: LoraAdapter) -> dict[str, Any]:
    ranks = {module: factors.rank for module, factors in adapter.modules.items()}
    alphas = {module: _plain(factors.scale * factors.rank) for module, factors in adapter.modules.items()}
    rank, alpha = _commonest(ranks.values()), _commonest(alphas.values())
    return {
        "r": rank,
        "lora_alpha": alpha,
        "rank_pattern": {module: value for module, value in ranks.items() if value != rank},
        "alpha_pattern": {module: value for module, value in alphas.items() if value != alpha},
        "target_modules": sorted(adapter.modules),
        "lora_dropout": 0.0,
        "bias": "none",
        "peft_type": "LORA",
    }


def _plain(value: float) -> float | int:
    """Alpha as it was given: an integer where rounding alone keeps it from being one."""
    return round(value) if math.isclose(value, round(value), rel_tol=1e-9) else value


def _commonest(values: Any) -> Any:
    counted = list(values)
    return max(sorted(set(counted)), key=counted.count)


def _place(name: str, file: Path) -> tuple[str, str, str]:
    """Component, module, and ``A``, ``B`` or ``alpha``."""
    found = _COMPONENT.fullmatch(name)
    if found is None:
        raise IncompatibleModelError(
            f"{file}: tensor {name} is not named as diffusers names LoRA tensors (unet.*, transformer.*, text_encoder.*): "
            "load it with diffusers and save it again with save_lora_weights"
        )
    if found[2].endswith(".alpha"):
        return found[1], found[2].removesuffix(".alpha"), "alpha"
    factor = _FACTOR.fullmatch(found[2])
    if factor is None:
        raise IncompatibleModelError(f"{file}: tensor {name} is no factor of plain LoRA: it cannot be used")
    return found[1], factor[1].removesuffix(".processor"), {"down": "A", "up": "B"}.get(factor[2], factor[2])


def _adapter(
    component: str,
    modules: Mapping[str, Mapping[str, torch.Tensor]],
    alphas: Mapping[str, float],
    settings: Mapping[str, Any],
    file: Path,
) -> LoraAdapter:
    ranks = {pair["A"].shape[0] for pair in modules.values() if "A" in pair}
    own = {key.removeprefix(f"{component}."): v for key, v in settings.items() if key.startswith(f"{component}.")}
    if own.get("use_dora"):
        raise IncompatibleModelError(f"{file}: DoRA cannot be merged or trained yet: expected plain LoRA")
    if not own and not alphas and len(ranks) > 1:
        raise IncompatibleModelError(
            f"{file}: ranks {sorted(ranks)} and no alpha: its scale is not told: save it with a newer diffusers"
        )
    factors: dict[str, LoraFactors] = {}
    kernels: dict[str, tuple[int, int]] = {}
    for module, pair in sorted(modules.items()):
        if pair.keys() != {"A", "B"}:
            raise WeightsError(f"{file}: module {module} has one factor alone: the other is missing")
        a, b = pair["A"], pair["B"]
        if a.ndim == 4:
            kernels[module] = (a.shape[2], a.shape[3])
        a, b = a.flatten(1), b.flatten(1)
        if a.shape[0] != b.shape[1]:
            raise WeightsError(f"{file}: module {module}: A {tuple(a.shape)} and B {tuple(b.shape)} do not fit")
        alpha = alphas.get(module, a.shape[0] if not own else None)
        if alpha is None:
            alpha = float(pattern_value(own.get("alpha_pattern") or {}, module, own["lora_alpha"]))
        rank = math.sqrt(a.shape[0]) if own.get("use_rslora") else a.shape[0]
        factors[module] = LoraFactors(a=a, b=b, scale=alpha / rank)
    return LoraAdapter(base=None, modules=factors, kernels=kernels)


def _tensors(file: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """The file's tensors and its settings, a flat mapping of ``COMPONENT.key``."""
    if not file.is_file():
        raise WeightsError(f"{file}: does not exist: expected a LoRA adapter as diffusers saves it")
    try:
        with safe_open(file, framework="pt") as opened:
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 - no mapping
            settings: Any = json.loads((opened.metadata() or {}).get(_METADATA, "{}"))
    except (OSError, SafetensorError, ValueError) as error:
        raise WeightsError(f"{file}: truncated or no safetensors file ({error}): download it again") from error
    for name, tensor in tensors.items():
        if not bool(tensor.isfinite().all()):
            raise WeightsError(f"{file}: tensor {name} has NaN or infinite values: train or download it again")
    if not tensors:
        raise WeightsError(f"{file}: holds no tensors: train or download it again")
    return tensors, settings
