"""Exact algebra of LoRA adapters on files: read, sum, write. The sum of deltas is the concatenation of their factors.

Source: Hu et al., "LoRA", 2021 (arXiv 2106.09685): ``W' = W + s B A`` with ``s = alpha / r``; Kalajdzievski, "rsLoRA", 2023
(arXiv 2312.03732): ``s = alpha / sqrt(r)``.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from xpert.errors import IncompatibleModelError, WeightsError
from xpert.tensors.files import write_text

__all__ = [
    "LoraAdapter",
    "LoraFactors",
    "concatenate",
    "is_plain_lora",
    "pattern_value",
    "read_adapter",
    "stacked",
    "write_adapter",
]

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_KEY = re.compile(r"base_model\.model\.(.+)\.lora_([AB])\.weight")
_REFUSED: Mapping[str, str] = {
    "use_dora": "DoRA",
    "modules_to_save": "modules_to_save",
    "layer_replication": "layer replication",
    "trainable_token_indices": "trainable tokens",
    "target_parameters": "target_parameters",
    "alora_invocation_tokens": "activated LoRA",
    "use_qalora": "QALoRA",
    "lora_bias": "LoRA with a bias",
    "use_bdlora": "block-diagonal LoRA",
}
_CHANGES_BASE = ("pissa", "olora", "loftq", "corda", "lora_ga")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LoraFactors:
    """One module's low-rank update ``scale * B A``.

    Attributes:
        a: ``(r, in)``.
        b: ``(out, r)``.
        scale: The factor on the product.
    """

    a: torch.Tensor
    b: torch.Tensor
    scale: float

    @property
    def rank(self) -> int:
        """``r``."""
        return self.a.shape[0]

    def delta(self) -> torch.Tensor:
        """``(out, in)`` float32: what is added to a linear layer's weight (to its transpose with ``fan_in_fan_out``)."""
        return self.scale * (self.b.float() @ self.a.float())


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LoraAdapter:
    """A LoRA adapter as mathematics.

    Attributes:
        base: The base that it names, or None.
        modules: Name of a module of the base to its update.
        fan_in_fan_out: Whether the base's weights are stored transposed, ``(in, out)``, as GPT-2's.
        targets: ``target_modules`` as its config has them, or None where they are the modules' full names.
        kernels: Of modules that are convolutions, height and width of their kernels; their factors are matrices over these:
            ``(r, in * height * width)`` and ``(out, r)``.
    """

    base: str | None
    modules: Mapping[str, LoraFactors]
    fan_in_fan_out: bool = False
    targets: str | tuple[str, ...] | None = None
    kernels: Mapping[str, tuple[int, int]] = field(default_factory=dict)

    def delta(self, module: str) -> torch.Tensor:
        """``(out, in)`` float32 update of a module.

        Raises:
            xpert.errors.IncompatibleModelError: The adapter does not change this module.
        """
        if module not in self.modules:
            raise IncompatibleModelError(f"the adapter does not change module {module}")
        return self.modules[module].delta()


def read_adapter(folder: str | Path) -> LoraAdapter:
    """Read a LoRA adapter as PEFT saves it; the ranks are the tensors' own, ``rank_pattern`` only repeats them.

    Raises:
        xpert.errors.IncompatibleModelError: It is of another kind than plain LoRA (DoRA, IA3, modules_to_save ...).
        xpert.errors.WeightsError: Its weights are missing, truncated, not finite, or factors do not fit each other.
    """
    folder = Path(folder)
    config = _config(folder)
    tensors = _tensors(folder / WEIGHTS)
    factors: dict[str, dict[str, torch.Tensor]] = {}
    for name, tensor in tensors.items():
        match = _KEY.fullmatch(name)
        if match is None:
            raise IncompatibleModelError(
                f"{folder / WEIGHTS}: tensor {name} is no factor of plain LoRA: it cannot be merged"
            )
        factors.setdefault(match[1], {})[match[2]] = tensor
    limited = any(config.get(name) for name in ("layers_to_transform", "exclude_modules"))
    targets = None if limited else config.get("target_modules")
    return LoraAdapter(
        base=config.get("base_model_name_or_path"),
        modules={name: _factors(name, pair, config, folder) for name, pair in sorted(factors.items())},
        fan_in_fan_out=bool(config.get("fan_in_fan_out")),
        targets=tuple(targets) if isinstance(targets, list) else targets,
    )


def is_plain_lora(folder: str | Path) -> bool:
    """Whether `read_adapter` takes an adapter for plain LoRA, told from its config and its tensors' names alone.

    Raises:
        xpert.errors.WeightsError: Its weights are missing or truncated.
    """
    folder = Path(folder)
    try:
        _config(folder)
    except IncompatibleModelError:
        return False
    try:
        with safe_open(folder / WEIGHTS, framework="pt") as file:
            return all(_KEY.fullmatch(name) for name in file.keys())  # noqa: SIM118 - no mapping
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"{folder / WEIGHTS}: expected a safetensors file ({error}): download it again") from error


def stacked(factors: Sequence[LoraFactors | None], columns: int, rows: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Updates of one module by several adapters as two batches of matrices, ``delta_g = (A_g B_g)^T``.

    Ranks may differ: the smaller ones are padded with zeros, which changes nothing.

    Args:
        factors: ``G`` updates; None: the adapter does not change the module.
        columns: ``in``, width of the module's input.
        rows: ``out``, width of its output.

    Returns:
        ``A (G, in, r)`` and ``B (G, r, out)``, float32; the scale is in B.

    Raises:
        xpert.errors.IncompatibleModelError: An update has another shape.
    """
    rank = max(part.rank for part in factors if part is not None)
    a, b = torch.zeros(len(factors), columns, rank), torch.zeros(len(factors), rank, rows)
    for g, part in enumerate(factors):
        if part is None:
            continue
        if (part.b.shape[0], part.a.shape[1]) != (rows, columns):
            came = (part.b.shape[0], part.a.shape[1])
            raise IncompatibleModelError(f"an update of shape {came} for a module of shape {(rows, columns)}")
        a[g, :, : part.rank] = part.a.float().T
        b[g, : part.rank] = part.scale * part.b.float().T
    return a, b


def concatenate(adapters: Sequence[LoraAdapter], weights: Sequence[float]) -> LoraAdapter:
    """The adapter whose delta is ``sum_i w_i delta_i``, exactly: A stacked on A, ``w_i s_i B`` beside B.

    Adding factors separately is not the sum of the products; concatenating them is. A module that some adapters do not change
    gets the others' updates; all are padded with zeros to one rank, so that plain PEFT reads the result, with scale 1.

    Args:
        adapters: Adapters of one base.
        weights: One each, of any sign.

    Raises:
        xpert.errors.IncompatibleModelError: Shapes differ, or storage orders.
    """
    if not adapters or len(adapters) != len(weights):
        raise ValueError(f"expected a weight for each of {len(adapters)} adapters (at least one), got {len(weights)}")
    if len({adapter.fan_in_fan_out for adapter in adapters}) > 1:
        raise IncompatibleModelError(
            "adapters store weights in different orders (fan_in_fan_out): they are of different bases"
        )
    names = sorted({name for adapter in adapters for name in adapter.modules})
    parts = {
        name: [
            (w, adapter.modules[name]) for adapter, w in zip(adapters, weights, strict=True) if name in adapter.modules
        ]
        for name in names
    }
    rank = max(sum(factors.rank for _, factors in parts[name]) for name in names)
    kernels: dict[str, tuple[int, int]] = {}
    for adapter in adapters:
        if any(kernels.get(name, kernel) != kernel for name, kernel in adapter.kernels.items()):
            raise IncompatibleModelError("adapters have kernels of different sizes in one module: not of one base")
        kernels |= adapter.kernels
    same = all(adapter.modules.keys() == adapters[0].modules.keys() for adapter in adapters)
    return LoraAdapter(
        base=adapters[0].base,
        modules={name: _stack(name, parts[name], rank) for name in names},
        fan_in_fan_out=adapters[0].fan_in_fan_out,
        targets=adapters[0].targets if same else None,
        kernels=kernels,
    )


def write_adapter(adapter: LoraAdapter, folder: str | Path, *, base: str | None = None) -> None:
    """Write an adapter of one rank and one scale (such as `concatenate` gives) so that plain PEFT reads it.

    Args:
        adapter: The adapter.
        folder: An existing folder.
        base: What ``base_model_name_or_path`` is to say; None: the adapter's own.
    """
    ranks = {factors.rank for factors in adapter.modules.values()}
    scales = {factors.scale for factors in adapter.modules.values()}
    if len(ranks) != 1 or len(scales) != 1:
        raise ValueError(
            f"expected one rank and one scale, got {sorted(ranks)} and {sorted(scales)}: concatenate first"
        )
    rank, scale = ranks.pop(), scales.pop()
    config = {
        "base_model_name_or_path": base or adapter.base,
        "bias": "none",
        "fan_in_fan_out": adapter.fan_in_fan_out,
        "inference_mode": True,
        "lora_alpha": int(rank * scale) if (rank * scale).is_integer() else rank * scale,
        "lora_dropout": 0.0,
        "peft_type": "LORA",
        "r": rank,
        "target_modules": _targets(adapter),
        "task_type": "CAUSAL_LM",
    }
    tensors: dict[str, torch.Tensor] = {}
    for name, factors in adapter.modules.items():
        tensors[f"base_model.model.{name}.lora_A.weight"] = factors.a.contiguous()
        tensors[f"base_model.model.{name}.lora_B.weight"] = factors.b.contiguous()
    save_file(tensors, Path(folder) / WEIGHTS, metadata={"format": "pt"})
    write_text(Path(folder) / CONFIG, json.dumps(config, indent=2, sort_keys=True) + "\n")


def pattern_value(pattern: Mapping[str, Any], name: str, otherwise: Any) -> Any:
    """The value of the first key that matches the end of a module's name, as PEFT reads patterns."""
    return next((value for key, value in pattern.items() if re.match(rf"(.*\.)?({key})$", name)), otherwise)


def _stack(name: str, parts: Sequence[tuple[float, LoraFactors]], rank: int) -> LoraFactors:
    shapes = {(factors.b.shape[0], factors.a.shape[1]) for _, factors in parts}
    if len(shapes) > 1:
        raise IncompatibleModelError(f"module {name}: updates of different shapes {sorted(shapes)}: not of one base")
    (rows, columns), used = shapes.pop(), sum(factors.rank for _, factors in parts)
    a = [factors.a.float() for _, factors in parts]
    b = [weight * factors.scale * factors.b.float() for weight, factors in parts]
    return LoraFactors(
        a=torch.cat([*a, torch.zeros(rank - used, columns)]),
        b=torch.cat([*b, torch.zeros(rows, rank - used)], 1),
        scale=1.0,
    )


def _targets(adapter: LoraAdapter) -> str | list[str]:
    if isinstance(adapter.targets, str):
        return adapter.targets
    return sorted(adapter.targets or adapter.modules)


def _factors(name: str, pair: Mapping[str, torch.Tensor], config: Mapping[str, Any], folder: Path) -> LoraFactors:
    if pair.keys() != {"A", "B"}:
        raise WeightsError(f"{folder / WEIGHTS}: module {name} has lora_{min(pair)} alone: its other factor is missing")
    a, b = pair["A"], pair["B"]
    if a.ndim != 2 or b.ndim != 2 or a.shape[0] != b.shape[1]:
        raise WeightsError(f"{folder / WEIGHTS}: module {name}: A {tuple(a.shape)} and B {tuple(b.shape)} do not fit")
    rank = a.shape[0]
    alpha = float(pattern_value(config.get("alpha_pattern") or {}, name, config["lora_alpha"]))
    return LoraFactors(a=a, b=b, scale=alpha / (math.sqrt(rank) if config.get("use_rslora") else rank))


def _config(folder: Path) -> dict[str, Any]:
    file = folder / CONFIG
    try:
        config: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise IncompatibleModelError(
            f"{file}: expected an adapter's config in JSON ({error}): save the adapter again"
        ) from error
    kind = config.get("peft_type")
    if kind != "LORA":
        raise IncompatibleModelError(f"{folder}: adapters of type {kind} cannot be merged yet: expected LORA")
    if config.get("bias", "none") != "none":
        raise IncompatibleModelError(
            f"{folder}: an adapter that trains biases (bias={config['bias']!r}) cannot be merged yet"
        )
    for name, what in _REFUSED.items():
        if config.get(name):
            raise IncompatibleModelError(f"{folder}: {what} ({name}) cannot be merged yet: expected plain LoRA")
    start = config.get("init_lora_weights", True)
    if isinstance(start, str) and start.lower().startswith(_CHANGES_BASE):
        raise IncompatibleModelError(
            f"{folder}: init_lora_weights={start!r} changes the base's own weights: save it as plain LoRA"
        )
    if "lora_alpha" not in config:
        raise IncompatibleModelError(f"{file}: lacks lora_alpha: save the adapter again")
    return config


def _tensors(file: Path) -> dict[str, torch.Tensor]:
    if not file.is_file():
        raise WeightsError(f"{file}: does not exist: expected a LoRA adapter's weights as safetensors")
    try:
        tensors = load_file(file)
    except SafetensorError as error:
        raise WeightsError(f"{file}: truncated or no safetensors file ({error}): download it again") from error
    for name, tensor in tensors.items():
        if not bool(tensor.isfinite().all()):
            raise WeightsError(f"{file}: tensor {name} has NaN or infinite values: train or download it again")
    if not tensors:
        raise WeightsError(f"{file}: holds no tensors: train or download it again")
    return tensors
