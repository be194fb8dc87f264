"""The files of a catalog of very many models (format version 2): opened without reading them, a model's line when it is asked for."""

from __future__ import annotations

import hashlib
import json
import mmap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from xpert.basis import SubvectorBasis
from xpert.catalog_codec import from_json, models_from
from xpert.errors import CatalogCorruptError, ReferenceNotFoundError
from xpert.pool import BLOCK, PackedRows, packed, row_norms
from xpert.provenance import Fit, Provenance
from xpert.tensors.files import sha256_file
from xpert.types import Array, ModelCard

__all__ = ["DTYPES", "FITS", "INDEX", "LazyFits", "LazyModels", "MappedTensors", "open_pool", "pool_files"]

INDEX, FITS = "index.safetensors", "fits.safetensors"
DTYPES = ("float32", "float16", "int8")
"""How a pool's coordinates may be stored."""

_NAMES = {"F32": np.dtype("<f4"), "F16": np.dtype("<f2"), "I8": np.dtype("i1"), "I64": np.dtype("<i8")}
_CODES = {dtype: code for code, dtype in _NAMES.items()}
_FIT = ("residual", "named_share", "measured_share", "unnamed_share", "converged")
_AXES = ("all", "named", "named+measured")
_CARD = tuple(field.name for field in fields(ModelCard))
_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False)
_LARGEST_HEADER = 1 << 20


class MappedTensors:
    """A safetensors file whose tensors are memory-mapped; its header is read now, its hash checked when a tensor is first asked for.

    Raises:
        xpert.errors.CatalogCorruptError: It is no such file.
    """

    def __init__(self, path: Path, sha256: str) -> None:
        self._path, self._sha256 = path, sha256
        self._mapped: dict[str, NDArray[Any]] = {}
        with open(path, "rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if not 0 < length <= _LARGEST_HEADER:
                raise CatalogCorruptError(f"{path}: not a safetensors file: fetch the file again")
            header: Any = from_json(file.read(length), str(path))
        header.pop("__metadata__", None)
        self._header, self._start, size = header, 8 + length, path.stat().st_size
        for name, tensor in header.items():
            n_bytes = (
                int(np.prod(tensor["shape"])) * _NAMES[tensor["dtype"]].itemsize if tensor["dtype"] in _NAMES else -1
            )
            first, last = tensor["data_offsets"]
            if last - first != n_bytes or self._start + last > size:
                raise CatalogCorruptError(f"{path}: tensor {name!r} is not as its header says: fetch the file again")

    def shape(self, name: str, expected: tuple[int | None, ...]) -> tuple[int, ...]:
        """A tensor's shape, which must be the expected one; None: any length.

        Raises:
            xpert.errors.CatalogCorruptError: The tensor is missing or has another shape.
        """
        found = tuple(self._header[name]["shape"]) if name in self._header else None
        if (
            found is None
            or len(found) != len(expected)
            or any(e not in (None, f) for e, f in zip(expected, found, strict=True))
        ):
            raise CatalogCorruptError(f"{self._path}: expected a tensor {name!r} of shape {expected}, found {found}")
        return found

    def __contains__(self, name: str) -> bool:
        return name in self._header

    def __getitem__(self, name: str) -> NDArray[Any]:
        """A tensor, mapped.

        Raises:
            xpert.errors.CatalogCorruptError: The file's content is not what its hash says.
        """
        if not self._mapped:
            check_hash(self._path, self._sha256)
        if name not in self._mapped:
            tensor = self._header[name]
            self._mapped[name] = np.memmap(
                self._path,
                dtype=_NAMES[tensor["dtype"]],
                mode="r",
                offset=self._start + tensor["data_offsets"][0],
                shape=tuple(tensor["shape"]),
            )
        return self._mapped[name]


def check_hash(path: Path, sha256: str) -> None:
    """The content must be what the hash says.

    Raises:
        xpert.errors.CatalogCorruptError: It is not.
    """
    if sha256_file(path) != sha256:
        raise CatalogCorruptError(f"{path}: the content is not what its hash says: fetch the file again")


class LazyModels(Sequence[ModelCard]):
    """The cards of ``models.jsonl``, each parsed when it is asked for; names are found by their digests in the index."""

    def __init__(self, path: Path, sha256: str, index: MappedTensors) -> None:
        self._path, self._sha256, self._index = path, sha256, index
        self._n = index.shape("offsets", (None,))[0] - 1
        index.shape("digests", (self._n,))
        index.shape("rows", (self._n,))

    def __len__(self) -> int:
        return self._n

    @overload
    def __getitem__(self, row: int) -> ModelCard: ...
    @overload
    def __getitem__(self, row: slice) -> tuple[ModelCard, ...]: ...
    def __getitem__(self, row: int | slice) -> ModelCard | tuple[ModelCard, ...]:
        """A card, or several."""
        if isinstance(row, slice):
            return tuple(self[i] for i in range(*row.indices(self._n)))
        place = range(self._n)[row]
        first, last = self._offsets[place], self._offsets[place + 1]
        return models_from(self._lines[first:last], f"{self._path}, line {place + 1}")[0]

    def find(self, name: str) -> int:
        """The row of a model.

        Raises:
            xpert.errors.ReferenceNotFoundError: There is none of this name.
        """
        digests, wanted = self._index["digests"], _digest(name)
        place = int(np.searchsorted(digests, wanted))
        while place < self._n and digests[place] == wanted:
            row = int(self._index["rows"][place])
            if self[row].name == name:
                return row
            place += 1
        raise ReferenceNotFoundError(f"no model {name!r} in the catalog, which has {self._n} models")

    @cached_property
    def _offsets(self) -> NDArray[Any]:
        return self._index["offsets"]

    @cached_property
    def _lines(self) -> mmap.mmap:
        check_hash(self._path, self._sha256)
        with open(self._path, "rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


class LazyFits(Mapping[str, Fit]):
    """The fits by a model's name: reliabilities lie beside the coordinates; the rest, which a device may lack, in ``fits.safetensors``."""

    def __init__(self, places: MappedTensors, tensors: MappedTensors | None, models: LazyModels) -> None:
        places.shape("reliability", (len(models), len(_AXES)))
        if tensors is not None:
            tensors.shape("fits", (len(models), len(_FIT)))
        self._places, self._tensors, self._models = places, tensors, models

    def __getitem__(self, name: str) -> Fit:
        """A model's fit.

        Raises:
            KeyError: There is no model of this name.
        """
        try:
            row = self._models.find(name)
        except ReferenceNotFoundError:
            raise KeyError(name) from None
        shares = zip(_AXES, self._places["reliability"][row].tolist(), strict=True)
        values = [float("nan")] * len(_FIT) if self._tensors is None else self._tensors["fits"][row].tolist()
        told = dict(zip(_FIT[:-1], values, strict=False))
        return Fit(**told, converged=values[-1] == 1, reliability={axes: v for axes, v in shares if v > 0})

    def __iter__(self) -> Iterator[str]:
        return (card.name for card in self._models)

    def __len__(self) -> int:
        return len(self._models)


def open_pool(
    folder: Path, hashes: Mapping[str, tuple[str, int]], header: Provenance, k: int
) -> tuple[Provenance, LazyModels, PackedRows, PackedRows]:
    """A pool's header with its fits, cards, coordinates ``(M, K)`` and standard errors; nothing of ``M`` rows is read yet.

    Without ``fits.safetensors`` the standard errors are zeros: not known.

    Raises:
        xpert.errors.CatalogCorruptError: A file or a tensor is missing or has another shape.
    """
    for name in ("coordinates.safetensors", INDEX):
        if name not in hashes:
            raise CatalogCorruptError(f"{folder / name}: the file is missing: fetch the catalog again")
    found = {name: MappedTensors(folder / name, hashes[name][0]) for name in ("coordinates.safetensors", INDEX)}
    models = LazyModels(folder / "models.jsonl", hashes["models.jsonl"][0], found[INDEX])
    coordinates = pool_rows(found["coordinates.safetensors"], len(models), k)
    m, told = len(models), None
    if FITS in hashes and (folder / FITS).is_file():
        told = MappedTensors(folder / FITS, hashes[FITS][0])
        told.shape("stderr", (m, k))

    def errors() -> tuple[NDArray[Any], None, Array]:
        unknown = np.broadcast_to(np.zeros((), np.float32), (m, k))
        return unknown if told is None else told["stderr"], None, np.zeros(m, np.float32)

    stderr = PackedRows((m, k), errors)
    fits = LazyFits(found["coordinates.safetensors"], told, models)
    return replace(header, fits=fits), models, coordinates, stderr


def pool_rows(places: MappedTensors, m: int, k: int) -> PackedRows:
    """The coordinates of a pool.

    Raises:
        xpert.errors.CatalogCorruptError: A tensor is missing or has another shape.
    """
    places.shape("coordinates", (m, k))
    places.shape("norms", (m,))
    if "scale" in places:
        places.shape("scale", (k,))

    def load() -> tuple[NDArray[Any], Array | None, Array]:
        scale = np.array(places["scale"]) if "scale" in places else None
        return places["coordinates"], scale, places["norms"]

    return PackedRows((m, k), load)


def pool_files(
    basis: SubvectorBasis,
    models: Sequence[ModelCard],
    coordinates: Array | PackedRows,
    stderr: Array | PackedRows,
    fits: Mapping[str, Fit],
    *,
    dtype: str,
    device: bool,
) -> dict[str, bytes | Iterable[bytes]]:
    """What a pool's folder holds in place of an ordinary catalog's coordinates, cards and fits.

    Args:
        basis: The axes.
        models: The cards.
        coordinates: ``(M, K)``.
        stderr: ``(M, K)``.
        fits: Per model.
        dtype: Of the stored coordinates, one of `DTYPES`.
        device: Whether ``fits.safetensors`` is left out, which selecting does without.
    """
    stored, scale = packed(coordinates, dtype)
    rows = PackedRows(stored.shape, lambda: (stored, scale, np.zeros(len(stored), np.float32)))
    norms = np.concatenate([row_norms(basis, rows[i : i + BLOCK]) for i in range(0, len(rows), BLOCK)])
    numbers, reliable = np.zeros((len(models), len(_FIT)), np.float32), np.zeros((len(models), len(_AXES)), np.float32)
    for row, card in enumerate(models):
        fit = fits[card.name]
        numbers[row] = [float(getattr(fit, name)) for name in _FIT]
        reliable[row] = [fit.reliability.get(axes, 0.0) for axes in _AXES]
    tensors = {"coordinates": stored, "norms": norms, "reliability": reliable} | (
        {} if scale is None else {"scale": scale}
    )
    files: dict[str, bytes | Iterable[bytes]] = {
        "coordinates.safetensors": _tensor_file(tensors),
        "models.jsonl": (_line(card) for card in models),
        INDEX: _tensor_file(_index(models)),
    }
    if not device:
        files[FITS] = _tensor_file({"fits": numbers, "stderr": np.asarray(stderr).astype(np.float16)})
    return files


def _index(models: Sequence[ModelCard]) -> dict[str, NDArray[Any]]:
    """Where each line of ``models.jsonl`` begins, and the rows in the order of their names' digests."""
    lengths = np.fromiter((len(_line(card)) for card in models), np.int64, len(models))
    digests = np.fromiter((_digest(card.name) for card in models), np.int64, len(models))
    order = np.argsort(digests, kind="stable")
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
    return {"offsets": offsets, "digests": digests[order], "rows": order.astype(np.int64)}


def _line(card: ModelCard) -> bytes:
    plain = {name: getattr(card, name) for name in _CARD}  # asdict copies, which a million cards feel
    return (_ENCODER.encode(plain) + "\n").encode()


def _digest(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little", signed=True)


def _tensor_file(tensors: Mapping[str, NDArray[Any]]) -> Iterator[bytes]:
    """The content of a safetensors file, piece by piece; tensors in the order of their alignment."""
    header: dict[str, Any] = {}
    ordered = sorted(tensors, key=lambda name: (-tensors[name].dtype.itemsize, name))
    offset = 0
    for name in ordered:
        tensor = tensors[name]
        header[name] = {
            "dtype": _CODES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [offset, offset + tensor.nbytes],
        }
        offset += tensor.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    yield len(text).to_bytes(8, "little") + text
    for name in ordered:
        for start in range(0, max(len(tensors[name]), 1), BLOCK):
            yield np.ascontiguousarray(tensors[name][start : start + BLOCK]).tobytes()
