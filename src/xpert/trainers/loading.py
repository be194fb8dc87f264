"""The start of a training run: a full model (with a new LoRA adapter, or all of it trainable), or an adapter that goes on.

Nothing is loaded on a guess: every tensor of a start is held against the model that it goes into.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from xpert.errors import IncompatibleModelError, RecordedModelError, SettingsError, TrainingError
from xpert.loading import choose_device, has_tokenizer, load_model, load_tokenizer
from xpert.references import describe, portable, require_weights
from xpert.trainers.settings import TrainSettings
from xpert.weights import check_finite

__all__ = ["Loaded", "adapter_state", "load_start"]

_CHANGES_BASE = ("pissa", "olora", "loftq", "corda", "lora_ga")
_LONG = 1024  # tokens; beyond, attention's own memory counts


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A model that is ready to be trained.

    Attributes:
        model: A PEFT model (LoRA) or a Transformers model; dropout is off.
        tokenizer: Its tokenizer.
        method: ``lora`` or ``full``.
        base: Reference of the base (LoRA) or of the start (full).
        digest: SHA-256 of the start's weights, and of its base's.
        trainable: Number of parameters that train.
    """

    model: Any
    tokenizer: Any
    method: str
    base: str
    digest: str
    trainable: int


def load_start(start: str | Path, settings: TrainSettings, *, base: str | Path | None, device: str | None) -> Loaded:
    """Load what training starts from.

    Args:
        start: A full model's reference, or an adapter's.
        settings: Method, rank, target modules and seed of a new adapter; whether activations are computed again.
        base: Base of a start adapter; None: the one that its ``adapter_config.json`` names.
        device: Where the weights go; None: a CUDA device if there is one, else the CPU.

    Raises:
        xpert.errors.RecordedModelError: The start has no weights.
        xpert.errors.IncompatibleModelError: An adapter of another base, or of another kind than LoRA.
        xpert.errors.WeightsError: Weights are missing, truncated or not finite.
        xpert.errors.SettingsError: Method and start do not go together.
    """
    loaded = _load(start, settings, base=base, device=device)
    if settings.gradient_checkpointing:
        _recompute(loaded.model, start)
    return loaded


def _load(start: str | Path, settings: TrainSettings, *, base: str | Path | None, device: str | None) -> Loaded:
    folder = require_weights(start, "train")
    info = describe(start)
    if info.kind == "recorded":
        raise RecordedModelError(f"cannot train {str(start)!r}: a recorded model has answers only, no weights")
    if info.kind == "pipeline":
        raise IncompatibleModelError(f"{folder}: a diffusers pipeline; this trainer trains causal language models")
    if info.kind == "adapter":
        return _continued(folder, info.sha256, base or info.base, settings, device)
    if base is not None:
        raise SettingsError(f"base={str(base)!r} is for a start that is an adapter; {folder} is a full model")
    model = _model(folder, settings, device)
    tokenizer = load_tokenizer(folder)
    if settings.method == "full":
        model.requires_grad_(True)
        count = sum(p.numel() for p in model.parameters())
        return Loaded(
            model=model, tokenizer=tokenizer, method="full", base=portable(start), digest=info.sha256, trainable=count
        )
    peft = _new_adapter(model, settings, portable(start))
    return Loaded(
        model=peft,
        tokenizer=tokenizer,
        method="lora",
        base=portable(start),
        digest=info.sha256,
        trainable=_checked_count(peft, only_lora=True),
    )


def adapter_state(peft: Any) -> dict[str, torch.Tensor]:
    """The adapter's own tensors under the names of an ``adapter_model.safetensors``."""
    from peft import get_peft_model_state_dict

    return get_peft_model_state_dict(peft, save_embedding_layers=False)


def _continued(
    folder: Path, digest: str, base: str | Path | None, settings: TrainSettings, device: str | None
) -> Loaded:
    from peft import get_peft_model

    if settings.method == "full":
        raise SettingsError(f"method='full' trains a full model; {folder} is an adapter: use method='lora'")
    if base is None:
        raise IncompatibleModelError(f"{folder / 'adapter_config.json'} names no base model: give base=")
    base_folder = require_weights(base, "train")
    base_info = describe(base)
    if base_info.kind != "full":
        raise IncompatibleModelError(f"{folder}: its base {str(base)!r} is no full model but of kind {base_info.kind}")
    config = _lora_config(folder)
    config.inference_mode = False
    config.lora_dropout = 0.0
    config.base_model_name_or_path = None  # get_peft_model puts the folder there, and warns of any other name
    tensors = load_file(folder / "adapter_model.safetensors")
    check_finite(tensors, str(folder / "adapter_model.safetensors"))
    model = _model(base_folder, settings, device)
    with _seeded(settings.seed):
        try:
            peft: Any = get_peft_model(model, config)
        except ValueError as error:
            raise IncompatibleModelError(f"{folder}: does not fit its base {str(base)!r}: {_line(error)}") from error
    peft.peft_config["default"].base_model_name_or_path = portable(base)
    _put_in(peft, tensors, folder, base)
    tokenizer = load_tokenizer(folder if has_tokenizer(folder) else base_folder)
    return Loaded(
        model=peft.eval(),
        tokenizer=tokenizer,
        method="lora",
        base=portable(base),
        digest=f"{digest} on {base_info.sha256}",
        trainable=_checked_count(peft, only_lora=False),
    )


def _model(folder: Path, settings: TrainSettings, device: str | None) -> Any:
    """The model in float32. Under bfloat16 on a CPU, rows of usual length train 1.6 times as fast without fused attention."""
    target = choose_device(device)
    model = load_model(folder, device=target, dtype=torch.float32)
    fused = getattr(model.config, "_attn_implementation", None) == "sdpa"
    if fused and target.type == "cpu" and settings.precision == "bf16" and settings.max_length <= _LONG:
        model.set_attn_implementation("eager")
    return model


def _recompute(model: Any, start: str | Path) -> None:
    """Let the model's layers keep no activations but compute them again.

    Transformers does so for modules in training mode alone, where they would drop out; so these are put there, with their dropout
    at 0, and nothing else is.

    Raises:
        xpert.errors.SettingsError: The architecture cannot.
    """
    if not model.supports_gradient_checkpointing:
        raise SettingsError(f"gradient_checkpointing: {start} is of an architecture that cannot: leave it out")
    model.gradient_checkpointing_enable({"use_reentrant": False})
    for module in model.modules():
        if getattr(module, "gradient_checkpointing", False):
            module.training = True
            for name, value in vars(module).items():
                if isinstance(value, float) and ("dropout" in name or "layerdrop" in name):
                    setattr(module, name, 0.0)


def _put_in(peft: Any, tensors: dict[str, torch.Tensor], folder: Path, base: str | Path) -> None:
    """Copy the file's tensors into the injected adapter: all of them, and nothing else."""
    from peft import set_peft_model_state_dict

    wanted = {name: tuple(tensor.shape) for name, tensor in adapter_state(peft).items()}
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    where = f"{folder / 'adapter_model.safetensors'} does not fit base {str(base)!r}"
    if missing := sorted(wanted.keys() - found.keys()):
        raise IncompatibleModelError(f"{where}: it lacks {len(missing)} tensor(s), first {missing[0]}")
    if extra := sorted(found.keys() - wanted.keys()):
        raise IncompatibleModelError(f"{where}: the model has no place for {len(extra)} tensor(s), first {extra[0]}")
    if other := sorted(name for name in wanted if wanted[name] != found[name]):
        name = other[0]
        raise IncompatibleModelError(f"{where}: {name} has shape {found[name]}, expected {wanted[name]}")
    set_peft_model_state_dict(peft, tensors)


def _new_adapter(model: Any, settings: TrainSettings, base: str) -> Any:
    from peft import LoraConfig, get_peft_model
    from peft.utils import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING as KNOWN
    from transformers.pytorch_utils import Conv1D

    targets = settings.target_modules
    if targets is None and model.config.model_type not in KNOWN:
        targets = "all-linear"
    values: dict[str, Any] = {
        "r": settings.rank,
        "lora_alpha": int(settings.alpha) if float(settings.alpha).is_integer() else settings.alpha,
        "target_modules": list(targets) if isinstance(targets, tuple) else targets,
        "lora_dropout": 0.0,
        "task_type": "CAUSAL_LM",
        "fan_in_fan_out": any(isinstance(module, Conv1D) for module in model.modules()),
    }
    config = LoraConfig(**values)
    with _seeded(settings.seed):
        try:
            peft: Any = get_peft_model(model, config)
        except ValueError as error:
            raise SettingsError(f"target_modules={settings.target_modules!r}: {_line(error)}") from error
    peft.peft_config["default"].base_model_name_or_path = base
    return peft.eval()


def _lora_config(folder: Path) -> Any:
    from peft import LoraConfig

    values = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    kind = values.pop("peft_type", None)
    if kind != "LORA":
        raise IncompatibleModelError(
            f"{folder}: expected a LoRA adapter, it is of type {kind}: only LoRA can be trained on"
        )
    start = values.get("init_lora_weights", True)
    if isinstance(start, str) and start.lower().startswith(_CHANGES_BASE):
        raise IncompatibleModelError(
            f"{folder}: init_lora_weights={start!r} changes the base's own weights: save it as plain LoRA"
        )
    values["init_lora_weights"] = True  # the file's values replace the initial ones
    unknown = values.keys() - LoraConfig.__dataclass_fields__.keys()
    if used := sorted(name for name in unknown if values[name]):  # an option that is off changes nothing
        raise IncompatibleModelError(
            f"{folder / 'adapter_config.json'}: this PEFT does not know {', '.join(used)}: update it"
        )
    return LoraConfig(**{name: value for name, value in values.items() if name not in unknown})


def _checked_count(peft: Any, *, only_lora: bool) -> int:
    """Trainable parameters; they must be exactly the adapter's tensors."""
    trainable = {name: p.numel() for name, p in peft.named_parameters() if p.requires_grad}
    stored = sum(tensor.numel() for tensor in adapter_state(peft).values())
    strange = [name for name in trainable if only_lora and "lora_" not in name]
    if strange or not trainable or sum(trainable.values()) != stored:
        raise TrainingError(
            f"expected only the adapter's {stored} parameters to train, {sum(trainable.values())} would "
            f"(first strange one: {strange[0] if strange else 'none'}): this PEFT is not supported"
        )
    return stored


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]
