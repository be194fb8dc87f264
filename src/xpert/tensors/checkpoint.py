"""Checkpoints: single or sharded safetensors, of which only what is asked for is read into memory; written in shards.

Files are read, not mapped: pages of a mapped file count as memory of the process for as long as it is open, and a merge of
eight models would seem to need eight times that of one.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors.torch import save_file

from xpert.errors import WeightsError
from xpert.tensors.files import write_text
from xpert.tensors.headers import StoredTensor, read_header

__all__ = ["DTYPES", "LazyCheckpoint", "ShardWriter", "open_checkpoint"]

_FLOATING = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
DTYPES: Mapping[str, torch.dtype] = _FLOATING | {
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
"""Number types of safetensors that are read and written here; quantized ones are not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LazyCheckpoint:
    """Tensors of open safetensors files, by name; tied weights are those that are stored.

    Attributes:
        where: Folder, for messages.
        shapes: Name to shape, over all files.
        dtypes: Name to dtype; None for one that is not floating.
    """

    where: Path
    shapes: Mapping[str, tuple[int, ...]]
    dtypes: Mapping[str, torch.dtype | None]
    _files: Mapping[str, tuple[int, StoredTensor]] = field(repr=False)

    def dtype(self, name: str) -> torch.dtype:
        """A tensor's number type.

        Raises:
            xpert.errors.WeightsError: It is one that cannot be computed with, as quantized models have.
        """
        entry = self._files[name][1]
        if entry.dtype not in DTYPES:
            raise WeightsError(
                f"{entry.file}: tensor {name} is of type {entry.dtype}, expected one of {', '.join(DTYPES)}: dequantize the model"
            )
        return DTYPES[entry.dtype]

    def rows(self, name: str, start: int, stop: int) -> torch.Tensor:
        """``tensor[start:stop]``; whether its values are finite is not looked at.

        Raises:
            xpert.errors.WeightsError: The file has become shorter, or the number type cannot be computed with.
        """
        file, entry = self._files[name]
        dtype = self.dtype(name)
        row_bytes = entry.n_bytes // max(entry.shape[0], 1) if entry.shape else entry.n_bytes
        data = bytearray((stop - start) * row_bytes)
        view, place = memoryview(data), entry.start + start * row_bytes
        while view:
            count = os.preadv(file, [view], place)
            if count == 0:
                raise WeightsError(
                    f"{entry.file}: ends within tensor {name}: it changed while it was read; download it again"
                )
            view, place = view[count:], place + count
        shape = (stop - start, *entry.shape[1:]) if entry.shape else ()
        return torch.frombuffer(data, dtype=dtype).reshape(shape) if data else torch.empty(shape, dtype=dtype)

    def tensor(self, name: str) -> torch.Tensor:
        """Read one tensor.

        Raises:
            xpert.errors.WeightsError: It has NaN or infinite values; names file and tensor.
        """
        shape = self.shapes[name]
        tensor = self.rows(name, 0, shape[0] if shape else 1)
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise WeightsError(
                f"{self.file_of(name)}: tensor {name} has NaN or infinite values: train or download it again"
            )
        return tensor

    def file_of(self, name: str) -> Path:
        """The file that holds a tensor, for messages."""
        return self._files[name][1].file

    def n_elements(self, name: str) -> int:
        """How many numbers a tensor has."""
        return math.prod(self.shapes[name])


@contextmanager
def open_checkpoint(files: Sequence[str | Path]) -> Iterator[LazyCheckpoint]:
    """Open safetensors files that together hold one checkpoint (`xpert.weights.weight_files` finds them).

    Raises:
        xpert.errors.WeightsError: A file is truncated or no safetensors file, or two hold the same tensor.
    """
    found: dict[str, tuple[int, StoredTensor]] = {}
    opened: list[int] = []
    try:
        for path in map(Path, files):
            entries = read_header(path)
            opened.append(os.open(path, os.O_RDONLY))
            for name, entry in entries.items():
                if name in found:
                    raise WeightsError(
                        f"{path}: tensor {name} is in {found[name][1].file.name} as well: save the model again"
                    )
                found[name] = (opened[-1], entry)
        yield LazyCheckpoint(
            where=Path(files[0]).parent if files else Path(),
            shapes={name: entry.shape for name, (_, entry) in found.items()},
            dtypes={name: _FLOATING.get(entry.dtype) for name, (_, entry) in found.items()},
            _files=found,
        )
    finally:
        for file in opened:
            os.close(file)


@dataclass(slots=True, kw_only=True)
class ShardWriter:
    """Writes tensors, given one after another, as ``model.safetensors`` or as numbered shards with their index.

    Use as a context: leaving it without an error finishes the files. Write into a folder that takes its place when all is done
    (`xpert.tensors.files.atomic_folder`).

    Attributes:
        folder: An existing folder.
        max_bytes: Largest size of a shard (a larger tensor has one of its own).
        stem: What the files are called before ``.safetensors`` and shard numbers.
    """

    folder: Path
    max_bytes: int = 4_000_000_000
    stem: str = "model"
    _held: dict[str, torch.Tensor] = field(default_factory=dict, repr=False)
    _held_bytes: int = 0
    _total_bytes: int = 0
    _shards: list[list[str]] = field(default_factory=list, repr=False)

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._finish()

    def add(self, name: str, tensor: torch.Tensor) -> None:
        """Take one tensor; a full shard is written at once."""
        size = tensor.numel() * tensor.element_size()
        if self._held and self._held_bytes + size > self.max_bytes:
            self._flush()
        self._held[name] = tensor.contiguous()
        self._held_bytes += size
        self._total_bytes += size

    def _flush(self) -> None:
        save_file(self._held, self._part(len(self._shards)), metadata={"format": "pt"})
        self._shards.append(list(self._held))
        self._held, self._held_bytes = {}, 0

    def _finish(self) -> None:
        if self._held:
            self._flush()
        if len(self._shards) == 1:
            os.replace(self._part(0), self.folder / f"{self.stem}.safetensors")
            return
        weight_map: dict[str, str] = {}
        for i, names in enumerate(self._shards):
            final = f"{self.stem}-{i + 1:05d}-of-{len(self._shards):05d}.safetensors"
            os.replace(self._part(i), self.folder / final)
            weight_map |= dict.fromkeys(names, final)
        index = {"metadata": {"total_size": self._total_bytes}, "weight_map": dict(sorted(weight_map.items()))}
        write_text(self.folder / f"{self.stem}.safetensors.index.json", json.dumps(index, indent=2) + "\n")

    def _part(self, number: int) -> Path:
        return self.folder / f".part-{number:05d}"
