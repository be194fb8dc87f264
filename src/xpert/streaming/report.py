"""What passes over the layers took: time, waiting, bytes, memory promised and measured."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from xpert.streaming.budget import Plan, told
from xpert.streaming.window import Window

__all__ = ["Report", "resident_bytes"]

_STATM = Path("/proc/self/statm")
WATCH_EVERY_S = 0.01


def resident_bytes() -> int | None:
    """Resident memory of this process now; None where the system does not tell."""
    try:
        pages = int(_STATM.read_bytes().split()[1])
    except (OSError, IndexError, ValueError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")


@dataclass(slots=True, kw_only=True)
class Report:
    """The passes so far.

    Attributes:
        before: Resident memory before anything of the model was read, in bytes; None: not told.
        seconds: Of all passes, from the embeddings to the final norm.
        waited_s: Of these, how long the computation waited for reads.
        n_passes: Passes over the layers.
        bytes_read: From files.
        resident_layers: Layers that stayed in memory in the last pass.
        promised_bytes: What the last passes were to take at most, beside ``before``.
        peak_bytes: The most that was measured beside ``before``, looked at every 10 ms; None: not told.
    """

    before: int | None
    seconds: float = 0.0
    waited_s: float = 0.0
    n_passes: int = 0
    bytes_read: int = 0
    resident_layers: int = 0
    promised_bytes: int = 0
    peak_bytes: int | None = None

    @property
    def waited_share(self) -> float:
        """The part of the time in which the computation waited for reads."""
        return self.waited_s / self.seconds if self.seconds else 0.0

    def begin(self, chosen: Plan) -> None:
        """New passes are to come."""
        self.promised_bytes, self.resident_layers = chosen.promised_bytes, len(chosen.resident)

    def add(self, window: Window) -> None:
        """A pass has ended."""
        self.n_passes += 1
        self.waited_s += window.waited_s
        self.bytes_read += window.bytes_read

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Look at the memory again and again, until the context is left."""
        over = threading.Event()

        def look() -> None:
            while not over.wait(WATCH_EVERY_S):
                self._look()

        thread = threading.Thread(target=look, name="xpert-watcher", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
            self._look()

    def _look(self) -> None:
        now = resident_bytes()
        if now is not None and self.before is not None:
            self.peak_bytes = max(self.peak_bytes or 0, now - self.before)

    def line(self, name: str) -> str:
        """A line for a log."""
        peak = (
            "" if self.peak_bytes is None else f", peak {told(self.peak_bytes)} of {told(self.promised_bytes)} promised"
        )
        return (
            f"{name}: {self.n_passes} passes over the layers in {self.seconds:.1f} s, {told(self.bytes_read)} read, "
            f"{self.waited_share:.1%} of the time waiting for reads{peak}"
        )
