"""What a piece of work costs: time, peak memory and energy, measured where the machine tells them."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType

from xpert.energy import counters
from xpert.protocols import EnergyCounter
from xpert.types import Energy

__all__ = ["Meter"]

_READ_EVERY_S = 10.0  # counters of energy wrap around after minutes


@dataclass(slots=True, kw_only=True)
class Meter:
    """A context that measures what runs inside it.

    Attributes:
        counters: What counts energy; None: the processors' counters, where they can be read.
        seconds: Wall-clock time inside the context.
        peak_mb: Peak resident memory of the whole process so far, in MB (10**6 bytes): what ran before counts too.
        energy: Each counter's energy inside the context; none where none can be read.

    >>> with Meter() as meter:
    ...     total = sum(range(1000))
    >>> meter.seconds > 0 and meter.peak_mb > 1
    True
    """

    counters: Sequence[EnergyCounter] | None = None
    seconds: float = 0.0
    peak_mb: float = 0.0
    energy: tuple[Energy, ...] = ()
    _begun: float = field(default=0.0, repr=False)
    _read_at: float = field(default=0.0, repr=False)
    _first: list[float | None] = field(default_factory=list, repr=False)

    def __enter__(self) -> Meter:
        if self.counters is None:
            self.counters = counters()
        self._first = [counter.joules() for counter in self.counters]
        self._begun = self._read_at = time.perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.seconds = time.perf_counter() - self._begun
        self.peak_mb = _peak_bytes() / 1e6
        self.energy = self.energy_so_far()

    @property
    def energy_j(self) -> float | None:
        """Joules of all counters together; None where none can be read."""
        return sum(one.joules for one in self.energy) if self.energy else None

    def elapsed(self) -> float:
        """Seconds since the context was entered."""
        now = time.perf_counter()
        if now - self._read_at > _READ_EVERY_S:
            self.energy_so_far()
        return now - self._begun

    def energy_so_far(self) -> tuple[Energy, ...]:
        """Each counter's energy since the context was entered."""
        self._read_at = time.perf_counter()
        found: list[Energy] = []
        for counter, before in zip(self.counters or (), self._first, strict=True):
            after = counter.joules()
            if before is not None and after is not None:
                found.append(Energy(joules=after - before, kind="measured", source=counter.source))
        return tuple(found)


def _peak_bytes() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
