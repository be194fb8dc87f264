"""Tensors read ahead by one thread, within so many bytes: a window that moves over the layers.

The reader goes through the units in the order in which the computation will ask for them; it waits while the window is full, and
the computation waits while what it asks for has not come. Memory that is given back is used again for the next tensor of its size.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from xpert.streaming.landing import Landing
from xpert.streaming.sources import Source
from xpert.streaming.stored import StoppedReadingError, TensorFiles

__all__ = ["Place", "Unit", "Window"]

ADVISED_BYTES = 512 << 20
"""How far beyond the window the system is told to read: into its own memory, not the process's."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Place:
    """Where a tensor belongs in the model.

    Attributes:
        owner: The module.
        name: Its parameter's name there.
        source: Where it comes from.
    """

    owner: Any
    name: str
    source: Source


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Unit:
    """Tensors that come and go together.

    Attributes:
        layer: Which layer they belong to.
        places: The tensors.
    """

    layer: int
    places: tuple[Place, ...]

    @property
    def n_bytes(self) -> int:
        """In memory."""
        return sum(place.source.n_bytes for place in self.places)


class Window:
    """A context around one pass over the layers; when it is left, the reader has ended and all that it held is free.

    Args:
        units: What is read, in order.
        capacity: Bytes held at most, that of one unit at least.
        kept: Units that stay when they are given back, beside the capacity.
        device: Where the tensors go.

    Attributes:
        waited_s: Seconds in which the computation waited.
        bytes_read: From the disk.
    """

    def __init__(self, units: Sequence[Unit], capacity: int, *, kept: frozenset[Unit], device: torch.device) -> None:
        self.waited_s, self.bytes_read = 0.0, 0
        self._units, self._capacity, self._kept = units, capacity, kept
        self._device = device
        self._changed = threading.Condition()
        self._held, self._stopped, self._error = 0, False, None
        self._wanted: Unit | None = None
        self._ready: dict[Unit, list[torch.Tensor]] = {}
        self._landing = Landing(device, capacity)
        self._thread = threading.Thread(target=self._read_all, name="xpert-reader", daemon=True)

    def __enter__(self) -> Window:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        self._thread.join()
        self._ready.clear()
        self._landing.close()

    def take(self, unit: Unit) -> list[torch.Tensor]:
        """The unit's tensors, as soon as they are there.

        Raises:
            xpert.errors.WeightsError: They could not be read.
        """
        with self._changed:
            if unit not in self._ready and self._error is None:
                begun, self._wanted = time.perf_counter(), unit
                self._changed.notify_all()
                self._changed.wait_for(lambda: unit in self._ready or self._error is not None)
                self.waited_s += time.perf_counter() - begun
            if unit not in self._ready and self._error is not None:
                raise self._error
            tensors = self._ready.pop(unit)
        self._landing.arrived(unit)
        return tensors

    def give_back(self, unit: Unit, tensors: list[torch.Tensor]) -> None:
        """The computation needs them no more; not for units that are kept. ``tensors`` is emptied."""
        self._landing.reuse([place.source for place in unit.places], tensors)
        with self._changed:
            self._held -= unit.n_bytes
            self._changed.notify_all()

    def _read_all(self) -> None:
        try:
            with TensorFiles(stopped=lambda: self._stopped) as files:
                for number, unit in enumerate(self._units):
                    self._advise(files, number)
                    if not self._wait_for_room(unit):
                        return
                    sources = [place.source for place in unit.places]
                    tensors = self._landing.land(files, unit, sources, self._held)
                    self.bytes_read = files.bytes_read
                    with self._changed:
                        self._ready[unit] = tensors
                        self._changed.notify_all()
        except StoppedReadingError:
            return
        except BaseException as error:
            with self._changed:
                self._error = error
                self._changed.notify_all()

    def _wait_for_room(self, unit: Unit) -> bool:
        if unit in self._kept:
            return not self._stopped
        with self._changed:
            self._changed.wait_for(
                lambda: (
                    self._stopped
                    or self._wanted is unit
                    or not self._held
                    or self._held + unit.n_bytes <= self._capacity
                )
            )
            self._held += unit.n_bytes
            return not self._stopped

    def _advise(self, files: TensorFiles, number: int) -> None:
        """Tell the system about the units after the next ones, each once."""
        ahead, unit = 0, self._units[number]
        fresh = [unit] if number == 0 else []
        for later in self._units[number + 1 :]:
            ahead += later.n_bytes
            if ahead > ADVISED_BYTES:
                break
            fresh.append(later)
        for one in fresh if number == 0 else fresh[-1:]:
            for place in one.places:
                for part in place.source.parts:
                    files.advise(part)
