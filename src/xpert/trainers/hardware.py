"""What the device can do: bfloat16, and whose energy is counted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from xpert.energy import counters
from xpert.errors import SettingsError
from xpert.loading import choose_device
from xpert.protocols import EnergyCounter
from xpert.trainers.settings import Precision

__all__ = ["counters_of", "has_fast_bf16", "resolve_precision"]


def has_fast_bf16(device: str | None = "cpu") -> bool:
    """Whether a device has instructions for bfloat16 products (processors: Linux tells; elsewhere the answer is no).

    Raises:
        xpert.errors.SettingsError: The device is not there.
    """
    kind = choose_device(device).type
    if kind == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    flags = Path("/proc/cpuinfo")
    known = flags.read_text(encoding="utf-8") if kind == "cpu" and flags.is_file() else ""
    return any(flag in known for flag in ("amx_bf16", "avx512_bf16"))


def resolve_precision(precision: str, device: str | None) -> Precision:
    """``auto`` is bf16 where the device has it, else float32.

    Raises:
        xpert.errors.SettingsError: No such precision or device; bf16 on a GPU that has none.
    """
    if precision not in ("float32", "bf16", "auto"):
        raise SettingsError(f"precision: expected one of float32, bf16, auto, got {precision!r}")
    if precision == "auto":
        return "bf16" if has_fast_bf16(device) else "float32"
    if precision == "bf16" and choose_device(device).type == "cuda" and not has_fast_bf16(device):
        raise SettingsError("precision='bf16': this GPU has no bfloat16: use float32 or auto")
    return "bf16" if precision == "bf16" else "float32"


def counters_of(device: torch.device) -> Sequence[EnergyCounter]:
    """The counters of the energy that a training on this device takes."""
    if device.type != "cuda":
        return counters()
    return counters(f"GPU-{torch.cuda.get_device_properties(device).uuid}")
