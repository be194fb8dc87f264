"""Checkpoints tensor by tensor: single or sharded safetensors are read lazily, and written in shards.

Nothing here holds more than one tensor and one shard in memory.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from xpert.errors import WeightsError
from xpert.tensors.files import write_text

__all__ = ["LazyCheckpoint", "ShardWriter", "open_checkpoint"]

_DTYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}


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
    _files: Mapping[str, tuple[Path, Any]] = field(repr=False)

    def tensor(self, name: str) -> torch.Tensor:
        """Read one tensor.

        Raises:
            xpert.errors.WeightsError: It has NaN or infinite values; names file and tensor.
        """
        path, file = self._files[name]
        tensor: torch.Tensor = file.get_tensor(name)
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise WeightsError(f"{path}: tensor {name} has NaN or infinite values: train or download it again")
        return tensor


@contextmanager
def open_checkpoint(files: Sequence[str | Path]) -> Iterator[LazyCheckpoint]:
    """Open safetensors files that together hold one checkpoint (`xpert.weights.weight_files` finds them).

    Raises:
        xpert.errors.WeightsError: A file is truncated or no safetensors file, or two hold the same tensor.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    dtypes: dict[str, torch.dtype | None] = {}
    handles: dict[str, tuple[Path, Any]] = {}
    with ExitStack() as stack:
        for path in map(Path, files):
            try:
                file: Any = stack.enter_context(safe_open(path, framework="pt"))
            except (SafetensorError, OSError) as error:
                raise WeightsError(f"{path}: truncated or no safetensors file ({error}): download it again") from error
            names: list[str] = file.keys()
            for name in names:
                if name in handles:
                    raise WeightsError(
                        f"{path}: tensor {name} is in {handles[name][0].name} as well: save the model again"
                    )
                part = file.get_slice(name)
                shapes[name], dtypes[name] = tuple(part.get_shape()), _DTYPES.get(part.get_dtype())
                handles[name] = (path, file)
        where = Path(files[0]).parent if files else Path()
        yield LazyCheckpoint(where=where, shapes=shapes, dtypes=dtypes, _files=handles)


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
