"""Energy: counters of the machine, measured; power profiles of phones, estimated. Neither is ever taken for the other.

Measured are the processor packages (RAPL, as the Linux kernel publishes it) and NVIDIA GPUs (NVML, through ``nvidia-ml-py``).
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xpert.errors import SettingsError, did_you_mean
from xpert.protocols import EnergyCounter
from xpert.types import Energy

__all__ = ["PROFILES", "NvmlCounter", "PowerProfile", "RaplCounter", "counters", "estimated", "profile"]

_POWERCAP = Path("/sys/class/powercap")


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerProfile:
    """What a phone draws while it trains.

    Attributes:
        device: The phone.
        watts: Its mean power during on-device fine-tuning.
    """

    device: str
    watts: float


PROFILES: Mapping[str, PowerProfile] = {
    "oneplus-12r": PowerProfile(device="OnePlus 12R", watts=2.68),
    "pixel-9-pro": PowerProfile(device="Pixel 9 Pro", watts=3.9),
    "pixel-7": PowerProfile(device="Pixel 7", watts=3.2),
}
"""Source: Wang et al., MobiSys 2025 (arXiv 2504.13938): the power that they measured on each phone."""


def profile(name: str) -> PowerProfile:
    """A phone's profile.

    Raises:
        xpert.errors.SettingsError: There is none of that name.
    """
    if name not in PROFILES:
        raise SettingsError(f"phone: expected one of {', '.join(PROFILES)}, got {name!r}{did_you_mean(name, PROFILES)}")
    return PROFILES[name]


def estimated(seconds: float, name: str) -> Energy:
    """What a phone would take in so many seconds of training; whether it needs as long as this machine is not known.

    >>> estimated(100.0, "pixel-7").joules
    320.0

    Raises:
        xpert.errors.SettingsError: There is no profile of that name.
    """
    phone = profile(name)
    source = f"{phone.watts} W of a {phone.device} times the seconds that this machine took"
    return Energy(joules=phone.watts * seconds, kind="estimated", source=source)


class RaplCounter:
    """The processor packages' own counters.

    The kernel gives microjoules in ``intel-rapl:N/energy_uj`` (AMD's too), to root alone on most systems. They wrap around after
    minutes of full load, so they must be read more often than that.

    Args:
        powercap: Where the kernel publishes them.
    """

    source = "RAPL: the processor packages, other programs' share included"

    def __init__(self, powercap: Path = _POWERCAP) -> None:
        # not their parts (intel-rapl:0:0), which are in the packages already
        self._zones = [zone for zone in sorted(powercap.glob("intel-rapl:*")) if zone.name.count(":") == 1]
        self._last = self._read()
        self._total = 0

    def joules(self) -> float | None:
        """Joules since the counter was made; None: the kernel lets nobody read them here."""
        now = self._read()
        if now is None or self._last is None:
            return None
        for zone, before, after in zip(self._zones, self._last, now, strict=True):
            used = after - before
            if used < 0:
                used += int((zone / "max_energy_range_uj").read_text())
            self._total += used
        self._last = now
        return self._total / 1e6

    def _read(self) -> list[int] | None:
        try:
            return [int((zone / "energy_uj").read_text()) for zone in self._zones] or None
        except OSError:
            return None


class NvmlCounter:
    """One NVIDIA GPU's own counter (Volta and later), through ``nvidia-ml-py``.

    Args:
        uuid: The GPU's, such as ``GPU-...``: numbers are not the same in CUDA and NVML.
    """

    def __init__(self, uuid: str) -> None:
        self._handle: Any = None
        self.source = "NVML: the GPU, other programs' share included"
        try:
            self._nvml: Any = importlib.import_module("pynvml")
        except ModuleNotFoundError:
            return
        try:
            self._nvml.nvmlInit()
            self._handle = self._nvml.nvmlDeviceGetHandleByUUID(uuid)
        except self._nvml.NVMLError:
            self._handle = None

    def joules(self) -> float | None:
        """Joules since the driver was loaded; None: not installed, or the GPU has no such counter."""
        if self._handle is None:
            return None
        try:
            return self._nvml.nvmlDeviceGetTotalEnergyConsumption(self._handle) / 1e3
        except self._nvml.NVMLError:
            return None


def counters(gpu: str | None = None, *, powercap: Path = _POWERCAP) -> Sequence[EnergyCounter]:
    """The counters that can be read here, now.

    Args:
        gpu: UUID of the GPU that works; None: none does.
        powercap: Where the kernel publishes the processors' counters.
    """
    found: list[EnergyCounter] = [RaplCounter(powercap)]
    if gpu is not None:
        found.append(NvmlCounter(gpu))
    return [counter for counter in found if counter.joules() is not None]
