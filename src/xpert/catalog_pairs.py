"""A catalog's pair rows, which stay on disk: written and read a model at a time, whatever the number of models."""

from __future__ import annotations

import json
import weakref
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

import numpy as np

from xpert.catalog_codec import from_json
from xpert.errors import CatalogCorruptError
from xpert.tensors.files import sha256_file
from xpert.types import Array

__all__ = ["PAIRS", "PairRows"]

PAIRS = "pairs.safetensors"
_TENSOR = "rows"
_LARGEST_HEADER = 1 << 20


class PairRows:
    """``(M, P, D)`` float32: per model the embeddings of its probe pairs, centred; the measured block is not yet scaled.

    A sequence over models: ``rows[i]`` reads one model's ``(P, D)``. Made by `empty` and filled with `put`, or opened on a
    catalog's file with `open`.

    Attributes:
        shape: ``(M, P, D)``.
        made_by: What made them: the fingerprints of ``base``, ``summarizer`` and ``subvectors``, as far as these had one.
    """

    def __init__(
        self, shape: tuple[int, int, int], made_by: Mapping[str, str], file: IO[bytes] | Path, start: int
    ) -> None:
        """For `empty` and `open`."""
        self.shape, self.made_by = shape, dict(made_by)
        self._file, self._start = file, start
        self._expected: str | None = None
        self._seen: tuple[int, int] | None = None
        if not isinstance(file, Path):
            weakref.finalize(self, file.close)

    @classmethod
    def empty(cls, shape: tuple[int, int, int], made_by: Mapping[str, str]) -> PairRows:
        """Rows to be filled by `put`, in a temporary file without a name, which goes with the object or the process."""
        return cls(shape, made_by, TemporaryFile(), 0)

    @classmethod
    def open(cls, path: Path, shape: tuple[int, int, int], sha256: str) -> PairRows:
        """The rows of a catalog's file; its hash is checked when a row is first read.

        Raises:
            xpert.errors.CatalogCorruptError: Its header is not that of such rows.
        """
        with open(path, "rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if not 0 < length <= _LARGEST_HEADER:
                raise CatalogCorruptError(f"{path}: not a safetensors file: fetch the file again")
            header: Any = from_json(file.read(length), str(path))
        n_bytes = 4 * shape[0] * shape[1] * shape[2]
        expected = {"dtype": "F32", "shape": list(shape), "data_offsets": [0, n_bytes]}
        about = header.pop("__metadata__", {}) if isinstance(header, dict) else {}
        if header != {_TENSOR: expected} or path.stat().st_size != 8 + length + n_bytes:
            raise CatalogCorruptError(
                f"{path}: expected one tensor {_TENSOR!r} of shape {shape}, found another content"
            )
        rows = cls(shape, about, path, 8 + length)
        rows._expected = sha256
        return rows

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, model: int) -> Array:
        """One model's rows ``(P, D)``.

        Raises:
            IndexError: There is no such model.
            xpert.errors.CatalogCorruptError: The file's content is not what its hash says, or a value is not finite.
        """
        if not 0 <= model < len(self):
            raise IndexError(model)
        _, pairs, width = self.shape
        size = 4 * pairs * width
        if isinstance(self._file, Path):
            self._check(self._file)
            with open(self._file, "rb") as file:
                file.seek(self._start + model * size)
                data = file.read(size)
        else:
            self._file.seek(self._start + model * size)
            data = self._file.read(size)
        rows = np.frombuffer(data, "<f4").reshape(pairs, width).astype(np.float32, copy=False)
        if not np.isfinite(rows).all():
            raise CatalogCorruptError(f"{self._file}: the rows of model {model} are not finite: explain it again")
        return rows

    def __iter__(self) -> Iterator[Array]:
        return (self[model] for model in range(len(self)))

    def put(self, model: int, rows: Array) -> None:
        """Store one model's rows ``(P, D)``; models may come in any order."""
        if isinstance(self._file, Path) or rows.shape != self.shape[1:]:
            raise ValueError(f"expected rows {self.shape[1:]} for rows made by empty(), got {rows.shape}")
        self._file.seek(self._start + 4 * model * rows.size)
        self._file.write(np.ascontiguousarray(rows, "<f4").tobytes())

    def chunks(self) -> Iterator[bytes]:
        """The content of a safetensors file with the rows, piece by piece."""
        n_bytes = 4 * self.shape[0] * self.shape[1] * self.shape[2]
        tensor = {"dtype": "F32", "shape": list(self.shape), "data_offsets": [0, n_bytes]}
        header = json.dumps({"__metadata__": dict(sorted(self.made_by.items())), _TENSOR: tensor}).encode()
        header += b" " * (-len(header) % 8)
        yield len(header).to_bytes(8, "little") + header
        for rows in self:
            yield np.ascontiguousarray(rows, "<f4").tobytes()

    def _check(self, path: Path) -> None:
        """Hash the file before its first row is read, and again should it have changed since."""
        now = path.stat()
        if self._seen == (now.st_mtime_ns, now.st_size):
            return
        if sha256_file(path) != self._expected:
            raise CatalogCorruptError(f"{path}: the content is not what its hash says: fetch the file again")
        self._seen = (now.st_mtime_ns, now.st_size)
