"""Stored tensors: read by position into memory that is already there, or mapped where they can be used as they are."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from xpert.errors import WeightsError
from xpert.streaming.mapping import mapped
from xpert.tensors.headers import StoredTensor

__all__ = ["DTYPES", "Part", "StoppedReadingError", "TensorFiles"]

DTYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "I8": torch.int8}
PIECE_BYTES = 16 << 20
"""Read at once: an interrupted reader stops after so much."""
CHUNK = 1 << 15
"""Elements converted at once: below it torch uses one thread, so that a reader takes no team of threads for itself."""

_TOO_SHORT = "the file ends before it does"


class StoppedReadingError(Exception):
    """Nobody waits for what is being read any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One stored tensor as a stretch of a parameter.

    Attributes:
        name: Its stored name.
        tensor: Where it lies.
        first: Its first element within the parameter, row after row.
        scale: A factor a row, float32, of a tensor stored as int8.
    """

    name: str
    tensor: StoredTensor
    first: int = 0
    scale: StoredTensor | None = None

    @property
    def n_elements(self) -> int:
        """How many elements it has."""
        return torch.Size(self.tensor.shape).numel()

    @property
    def n_bytes(self) -> int:
        """Bytes read from the disk."""
        return self.tensor.n_bytes + (self.scale.n_bytes if self.scale else 0)


class TensorFiles:
    """Open files, read by position; a context that closes them. Each is opened at first use; several threads may read.

    Attributes:
        bytes_read: So far.
        stopped: Whether to give up: asked between pieces.
    """

    def __init__(self, stopped: Callable[[], bool] = lambda: False) -> None:
        self.bytes_read = 0
        self._open: dict[Path, int] = {}
        self._lock = threading.Lock()
        self._stopped = stopped

    def __enter__(self) -> TensorFiles:
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            for number in self._open.values():
                os.close(number)
            self._open.clear()

    def fill(self, part: Part, target: torch.Tensor, *, skip: int = 0) -> None:
        """Read a part, or a stretch of it, into ``target``: flat, of any floating dtype, on the CPU.

        Args:
            part: What is read.
            target: As long as what is read of it: whole rows of a part stored as int8.
            skip: Elements of the part before it.

        Raises:
            xpert.errors.WeightsError: The file ends too early, or the disk gives an error; names file and tensor.
        """
        dtype = DTYPES[part.tensor.dtype]
        if dtype == target.dtype:
            self._into(part, part.tensor, _bytes_of(target), skip * dtype.itemsize)
        elif part.scale is None:
            for first, chunk in self._chunks(part, CHUNK, skip, len(target)):
                target[first : first + len(chunk)] = chunk
        else:
            columns = part.tensor.shape[-1]
            scales = torch.empty(len(target) // columns, dtype=torch.float32)
            self._into(part, part.scale, _bytes_of(scales), skip // columns * scales.itemsize)
            for first, chunk in self._chunks(part, max(1, CHUNK // columns) * columns, skip, len(target)):
                rows = chunk.view(-1, columns).float()
                rows *= scales[first // columns : first // columns + len(rows), None]
                target[first : first + len(chunk)] = rows.view(-1)

    def rows(self, part: Part, ids: list[int], target: torch.Tensor) -> None:
        """Read some rows of a part ``(n, width)`` into ``target`` ``(len(ids), width)``.

        Raises:
            xpert.errors.WeightsError: As in `fill`.
        """
        width = part.tensor.shape[-1]
        for place, number in enumerate(ids):
            self.fill(part, target[place], skip=number * width)

    def mapped(self, part: Part) -> torch.Tensor:
        """A part that is stored as it is used, where it lies: flat, not to be written, on the CPU.

        Raises:
            xpert.errors.WeightsError: As in `fill`.
        """
        place = part.tensor
        number = self._number(part.name, place.file)
        try:
            if os.fstat(number).st_size < place.start + place.n_bytes:
                raise _unread(place.file, part.name, _TOO_SHORT)
            flat = mapped(number, place.start, place.n_bytes, piece=PIECE_BYTES, stopped=self._stopped)
        except OSError as error:
            raise _unread(place.file, part.name, error.strerror or str(error)) from error
        if flat is None:
            raise StoppedReadingError
        self.bytes_read += place.n_bytes
        return flat.view(DTYPES[place.dtype])

    def advise(self, part: Part) -> None:
        """Tell the system that a part will be read soon; nothing where it takes no advice."""
        if hasattr(os, "posix_fadvise"):
            place = part.tensor
            os.posix_fadvise(self._number(part.name, place.file), place.start, place.n_bytes, os.POSIX_FADV_WILLNEED)

    def _chunks(self, part: Part, n: int, skip: int, total: int) -> Iterator[tuple[int, torch.Tensor]]:
        dtype = DTYPES[part.tensor.dtype]
        staging = torch.empty(min(n, total), dtype=dtype)
        for first in range(0, total, n):
            chunk = staging[: min(n, total - first)]
            self._into(part, part.tensor, _bytes_of(chunk), (skip + first) * dtype.itemsize)
            yield first, chunk

    def _into(self, part: Part, place: StoredTensor, target: memoryview, offset: int) -> None:
        number = self._number(part.name, place.file)
        done = 0
        while done < len(target):
            if self._stopped():
                raise StoppedReadingError
            try:
                n = os.preadv(number, [target[done : done + PIECE_BYTES]], place.start + offset + done)
            except OSError as error:
                raise _unread(place.file, part.name, error.strerror or str(error)) from error
            if n == 0:
                raise _unread(place.file, part.name, _TOO_SHORT)
            done += n
        self.bytes_read += done

    def _number(self, name: str, file: Path) -> int:
        with self._lock:
            if file not in self._open:
                try:
                    self._open[file] = os.open(file, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
                except OSError as error:
                    raise _unread(file, name, error.strerror or str(error)) from error
            return self._open[file]


def _bytes_of(tensor: torch.Tensor) -> memoryview:
    values: Any = tensor.view(torch.uint8).numpy()
    return memoryview(values)


def _unread(file: Path, name: str, why: str) -> WeightsError:
    return WeightsError(f"{file}: tensor {name} could not be read ({why}): check the disk, or download the model again")
