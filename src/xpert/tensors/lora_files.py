"""LoRA adapters as PEFT saves them: read into mathematics, and written so that plain PEFT reads them."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from xpert.errors import IncompatibleModelError, WeightsError
from xpert.tensors.files import write_text
from xpert.tensors.lora import AdapterExtras, LoraAdapter, LoraFactors, TokenRows, pattern_value

__all__ = ["is_plain_lora", "read_adapter", "write_adapter"]

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_PREFIX = "base_model.model."
_PLAIN = re.compile(r"base_model\.model\.(.+)\.lora_([AB])\.weight")
_FACTOR = re.compile(r"(.+)\.lora_(embedding_)?([AB])(?:\.weight)?")
_MAGNITUDE = re.compile(r"(.+)\.lora_magnitude_vector(?:\.weight)?")
_TOKENS = re.compile(r"(.+)\.token_adapter\.trainable_tokens_delta")
_REFUSED: Mapping[str, str] = {
    "layer_replication": "layer replication",
    "target_parameters": "target_parameters",
    "alora_invocation_tokens": "activated LoRA",
    "use_qalora": "QALoRA",
    "lora_bias": "LoRA with a bias",
    "use_bdlora": "block-diagonal LoRA",
    "kasa_config": "KaSA",
    "monteclora_config": "MonteCLoRA",
    "arrow_config": "Arrow",
}
_NOT_PLAIN = ("use_dora", "modules_to_save", "trainable_token_indices")
_CHANGES_BASE = ("pissa", "olora", "loftq", "corda", "lora_ga")


def read_adapter(folder: str | Path) -> LoraAdapter:
    """Read a LoRA adapter as PEFT saves it; the ranks are the tensors' own, ``rank_pattern`` only repeats them.

    Raises:
        xpert.errors.IncompatibleModelError: It is of another kind than LoRA (IA3, LoHa ...), or of a kind that changes more.
        xpert.errors.WeightsError: Its weights are missing, truncated, not finite, or factors do not fit each other.
    """
    folder = Path(folder)
    config = _config(folder)
    factors: dict[str, dict[str, torch.Tensor]] = {}
    embeddings: set[str] = set()
    magnitudes: dict[str, torch.Tensor] = {}
    stored: dict[str, torch.Tensor] = {}
    tokens: dict[str, torch.Tensor] = {}
    for key, tensor in _tensors(folder / WEIGHTS).items():
        name = key.removeprefix(_PREFIX)
        if found := _FACTOR.fullmatch(name):
            factors.setdefault(found[1], {})[found[3]] = tensor
            embeddings |= {found[1]} if found[2] else set()
        elif found := _MAGNITUDE.fullmatch(name):
            magnitudes[found[1]] = tensor.flatten()
        elif found := _TOKENS.fullmatch(name):
            tokens[found[1]] = tensor
        elif key.startswith(_PREFIX) and name.endswith((".weight", ".bias")) and "lora_" not in name:
            stored[name.replace(".base_layer.", ".")] = tensor
        else:
            raise IncompatibleModelError(
                f"{folder / WEIGHTS}: tensor {key} is no part of a LoRA adapter that is known here: it cannot be merged"
            )
    limited = any(config.get(name) for name in ("layers_to_transform", "exclude_modules"))
    targets = None if limited else config.get("target_modules")
    return LoraAdapter(
        base=config.get("base_model_name_or_path"),
        modules={name: _factors(name, pair, config, folder) for name, pair in sorted(factors.items())},
        fan_in_fan_out=bool(config.get("fan_in_fan_out")),
        targets=tuple(targets) if isinstance(targets, list) else targets,
        extras=AdapterExtras(
            embeddings=frozenset(embeddings),
            magnitudes=_magnitudes(magnitudes, factors, config, folder),
            stored=stored,
            tokens={name: _token_rows(name, rows, config, folder) for name, rows in tokens.items()},
            bias=str(config.get("bias", "none")),
            saved=tuple(config.get("modules_to_save") or ()),
            tied=bool(config.get("ensure_weight_tying")),
        ),
    )


def is_plain_lora(folder: str | Path) -> bool:
    """Whether an adapter is nothing but factors of linear layers, told from its config and its tensors' names alone.

    Raises:
        xpert.errors.WeightsError: Its weights are missing or truncated.
    """
    folder = Path(folder)
    try:
        config = _config(folder)
    except IncompatibleModelError:
        return False
    if config.get("bias", "none") != "none" or any(config.get(name) for name in _NOT_PLAIN):
        return False
    try:
        with safe_open(folder / WEIGHTS, framework="pt") as file:
            return all(_PLAIN.fullmatch(name) for name in file.keys())  # noqa: SIM118 - no mapping
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"{folder / WEIGHTS}: expected a safetensors file ({error}): download it again") from error


def write_adapter(adapter: LoraAdapter, folder: str | Path, *, base: str | None = None) -> None:
    """Write an adapter of one rank and one scale (such as `xpert.tensors.lora.concatenate` gives) so that plain PEFT reads it.

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
    rank, scale, extras = ranks.pop(), scales.pop(), adapter.extras
    config: dict[str, Any] = {
        "base_model_name_or_path": base or adapter.base,
        "bias": extras.bias,
        "fan_in_fan_out": adapter.fan_in_fan_out,
        "inference_mode": True,
        "lora_alpha": int(rank * scale) if float(rank * scale).is_integer() else rank * scale,
        "lora_dropout": 0.0,
        "peft_type": "LORA",
        "r": rank,
        "target_modules": _targets(adapter),
        "task_type": "CAUSAL_LM",
    }
    if extras.saved:
        config["modules_to_save"] = sorted(extras.saved)
    if extras.tokens:
        config["trainable_token_indices"] = {name: t.indices.tolist() for name, t in sorted(extras.tokens.items())}
    save_file(_to_tensors(adapter), Path(folder) / WEIGHTS, metadata={"format": "pt"})
    write_text(Path(folder) / CONFIG, json.dumps(config, indent=2, sort_keys=True) + "\n")


def _to_tensors(adapter: LoraAdapter) -> dict[str, torch.Tensor]:
    extras, tensors = adapter.extras, dict[str, torch.Tensor]()
    for name, factors in adapter.modules.items():
        embedding = name in extras.embeddings
        left, right = ("lora_embedding_A", "lora_embedding_B") if embedding else ("lora_A.weight", "lora_B.weight")
        tensors[f"{_PREFIX}{name}.{left}"] = factors.a.contiguous()
        tensors[f"{_PREFIX}{name}.{right}"] = factors.b.contiguous()
    for name, tensor in extras.stored.items():
        module, _, kind = name.rpartition(".")
        inside = ".base_layer" if kind == "bias" and module in adapter.modules else ""
        tensors[f"{_PREFIX}{module}{inside}.{kind}"] = tensor.contiguous()
    for name, rows in extras.tokens.items():
        tensors[f"{_PREFIX}{name}.token_adapter.trainable_tokens_delta"] = rows.rows.contiguous()
    return tensors


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


def _magnitudes(
    magnitudes: Mapping[str, torch.Tensor],
    factors: Mapping[str, Mapping[str, torch.Tensor]],
    config: Mapping[str, Any],
    folder: Path,
) -> Mapping[str, torch.Tensor]:
    """DoRA's norms: one vector a module if the config says DoRA, else none."""
    wanted = factors.keys() if config.get("use_dora") else set[str]()
    if missing := sorted(wanted - magnitudes.keys()):
        raise WeightsError(
            f"{folder / WEIGHTS}: module {missing[0]} lacks its DoRA magnitudes: download the adapter again"
        )
    if extra := sorted(magnitudes.keys() - wanted):
        raise WeightsError(
            f"{folder / WEIGHTS}: module {extra[0]} has DoRA magnitudes, which {CONFIG} does not announce: save it again"
        )
    for name, tensor in magnitudes.items():
        if tensor.shape[0] != factors[name]["B"].shape[0]:
            raise WeightsError(
                f"{folder / WEIGHTS}: module {name}: {tensor.shape[0]} magnitudes for {factors[name]['B'].shape[0]} rows"
            )
    return dict(magnitudes)


def _token_rows(name: str, rows: torch.Tensor, config: Mapping[str, Any], folder: Path) -> TokenRows:
    listed: Any = config.get("trainable_token_indices") or []
    if isinstance(listed, dict):
        listed = next((v for key, v in listed.items() if name == key or name.endswith(f".{key}")), [])
    if rows.ndim != 2 or len(listed) != rows.shape[0]:
        raise WeightsError(
            f"{folder / WEIGHTS}: {name} has {rows.shape[0]} trained tokens, {CONFIG} lists {len(listed)}: save it again"
        )
    indices = torch.tensor(listed, dtype=torch.int64)
    order = indices.argsort()
    return TokenRows(indices=indices[order], rows=rows[order])


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
    for name, what in _REFUSED.items():
        if config.get(name):
            raise IncompatibleModelError(f"{folder}: {what} ({name}) cannot be merged yet: expected LoRA or DoRA")
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
