"""Checkpoints written row by row: shards of which all but the values is known, with no more than a block in memory.

`xpert.tensors.checkpoint.ShardWriter` takes whole tensors, which need not be known beforehand, and holds a shard in memory.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import torch

from xpert.tensors.checkpoint import DTYPES
from xpert.tensors.files import write_text
from xpert.tensors.headers import header_bytes

__all__ = ["RowWriter", "TensorSpec"]

_NAMES = {dtype: name for name, dtype in DTYPES.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorSpec:
    """A tensor that will be written."""

    name: str
    shape: tuple[int, ...]
    dtype: torch.dtype

    @property
    def n_bytes(self) -> int:
        """Its size in the file."""
        return math.prod(self.shape) * self.dtype.itemsize


@dataclass(slots=True, kw_only=True)
class RowWriter:
    """Writes tensors as ``model.safetensors`` or as numbered shards with their index.

    Use as a context, and give the rows of `order`'s tensors one after another. Files have their names only when all is written;
    write into a folder that takes its place when all is done (`xpert.tensors.files.atomic_folder`).

    Attributes:
        folder: An existing folder.
        specs: What will be written.
        max_bytes: Largest size of a shard (a larger tensor has one of its own).
        stem: What the files are called before ``.safetensors`` and shard numbers.
    """

    folder: Path
    specs: Sequence[TensorSpec]
    max_bytes: int = 4_000_000_000
    stem: str = "model"
    _shards: list[list[TensorSpec]] = field(default_factory=list, repr=False)
    _file: IO[bytes] | None = field(default=None, repr=False)
    _begun: int = field(default=0, repr=False)
    _left: int = field(default=0, repr=False)

    @property
    def order(self) -> list[TensorSpec]:
        """The tensors in the order in which they must be given."""
        return [spec for shard in self._shards for spec in shard]

    def __enter__(self) -> RowWriter:
        held = 0
        for spec in self.specs:
            if not self._shards or held + spec.n_bytes > self.max_bytes:
                self._shards.append([])
                held = 0
            self._shards[-1].append(spec)
            held += spec.n_bytes
        for shard in self._shards:
            # Wider number types first, so that every tensor begins at a multiple of its own width.
            shard.sort(key=lambda spec: -spec.dtype.itemsize)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._file is not None:
            self._file.close()
        if kind is None:
            self._finish()

    def add(self, rows: torch.Tensor) -> None:
        """The next rows; what they belong to follows from `order`."""
        flat: Any = rows.contiguous().reshape(-1).view(torch.uint8).numpy()
        data = memoryview(flat)
        while data:
            if self._left == 0:
                self._next()
            part = data[: self._left]
            assert self._file is not None
            self._file.write(part)
            self._left -= len(part)
            data = data[len(part) :]

    def _next(self) -> None:
        """Close the full shard, begin the next one."""
        if self._file is not None:
            self._file.close()
        specs = self._shards[self._begun]
        self._file = self._part(self._begun).open("xb")
        self._file.write(header_bytes({s.name: (_NAMES[s.dtype], s.shape, s.n_bytes) for s in specs}))
        self._left = sum(spec.n_bytes for spec in specs)
        self._begun += 1

    def _finish(self) -> None:
        if self._left or self._begun < len(self._shards):
            raise ValueError(
                f"{self.folder}: {self._left} bytes of shard {self._begun} of {len(self._shards)} are missing"
            )
        if len(self._shards) == 1:
            os.replace(self._part(0), self.folder / f"{self.stem}.safetensors")
            return
        weight_map: dict[str, str] = {}
        for i, specs in enumerate(self._shards):
            final = f"{self.stem}-{i + 1:05d}-of-{len(self._shards):05d}.safetensors"
            os.replace(self._part(i), self.folder / final)
            weight_map |= {spec.name: final for spec in specs}
        total = sum(spec.n_bytes for spec in self.specs)
        index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(weight_map.items()))}
        write_text(self.folder / f"{self.stem}.safetensors.index.json", json.dumps(index, indent=2) + "\n")

    def _part(self, number: int) -> Path:
        return self.folder / f".part-{number:05d}"
