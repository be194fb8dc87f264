"""What a piece of work costs: time, peak memory and energy, measured where the machine tells them."""

from __future__ import annotations

import resource
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

__all__ = ["Meter"]

_RAPL = Path("/sys/class/powercap")


@dataclass(slots=True, kw_only=True)
class Meter:
    """A context that measures what runs inside it.

    Attributes:
        seconds: Wall-clock time inside the context.
        peak_mb: Peak resident memory of the whole process so far, in MB (10**6 bytes): what ran before counts too.
        energy_j: Energy of the processor packages in joules from their own counters (RAPL); None where they cannot be
            read. The packages' whole consumption: other programs' share is in it.

    >>> with Meter() as meter:
    ...     total = sum(range(1000))
    >>> meter.seconds > 0 and meter.peak_mb > 1
    True
    """

    powercap: Path = _RAPL
    seconds: float = 0.0
    peak_mb: float = 0.0
    energy_j: float | None = None
    _begun: float = field(default=0.0, repr=False)
    _energy: dict[Path, int] = field(default_factory=dict, repr=False)

    def __enter__(self) -> Meter:
        self._energy = _read_packages(self.powercap)
        self._begun = time.perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.seconds = time.perf_counter() - self._begun
        self.peak_mb = _peak_bytes() / 1e6
        self.energy_j = _joules(self._energy, _read_packages(self.powercap))

    def elapsed(self) -> float:
        """Seconds since the context was entered."""
        return time.perf_counter() - self._begun


def _peak_bytes() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _read_packages(powercap: Path) -> dict[Path, int]:
    """Microjoule counters of the processor packages (``intel-rapl:0`` ..., not their parts) that can be read."""
    counters: dict[Path, int] = {}
    for zone in sorted(powercap.glob("intel-rapl:*")):
        if zone.name.count(":") == 1:
            try:
                counters[zone] = int((zone / "energy_uj").read_text())
            except OSError:  # the kernel lets only root read them
                return {}
    return counters


def _joules(before: dict[Path, int], after: dict[Path, int]) -> float | None:
    if not before or before.keys() != after.keys():
        return None
    total = 0
    for zone, start in before.items():
        used = after[zone] - start
        if used < 0:  # the counter wrapped around
            used += int((zone / "max_energy_range_uj").read_text())
        total += used
    return total / 1e6
