"""The nearest of very many models: coordinates that stay on disk, read block by block, ranked exactly.

A pool's coordinates are a matrix in a file, memory-mapped, in float32, float16 or int8 (with a scale an axis). One pass of blocked
float32 products gives every model's cosine to within a bound on its rounding; the models that can be among the nearest by that bound
are ranked again in float64. The ranking is that of comparing with every model.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xpert.basis import SubvectorBasis
from xpert.space import distances, places
from xpert.types import Array

__all__ = ["BLOCK", "PackedRows", "nearest_rows", "packed", "row_norms"]

BLOCK = 16384
"""Rows of a block: 4 MB of 64 float32 axes."""

_GROUP = 64
_NOTHING = 1e-12
Rows: TypeAlias = NDArray[np.intp]


class PackedRows:
    """``(M, K)`` coordinates that are read when they are asked for, and come as float32.

    Attributes:
        shape: ``(M, K)``.
    """

    def __init__(self, shape: tuple[int, int], load: Callable[[], tuple[NDArray[Any], Array | None, Array]]) -> None:
        """``load`` gives, once: the stored matrix, the scale ``(K,)`` of its columns or None, and ``(M,)`` lengths of the embeddings."""
        self.shape = shape
        self._load = load

    @cached_property
    def _loaded(self) -> tuple[NDArray[Any], Array | None, Array]:
        return self._load()

    @property
    def scale(self) -> Array | None:
        """``(K,)`` what stored values are multiplied by; None: they are the coordinates."""
        return self._loaded[1]

    @property
    def stored(self) -> NDArray[Any]:
        """``(M, K)`` as it lies on disk."""
        return self._loaded[0]

    @cached_property
    def inverse_norms(self) -> Array:
        """``(M,)`` one over the lengths of the embeddings that the coordinates stand for; 0 for a zero one."""
        norms = np.asarray(self._loaded[2])
        return np.divide(1, norms, out=np.zeros(len(norms), np.float32), where=norms > _NOTHING)

    @cached_property
    def reach(self) -> float:
        """The largest ``|z| / |e|``: how much rounding is blown up where axes are near-dependent."""
        largest = 0.0
        for start in range(0, len(self), BLOCK):
            block = self[start : start + BLOCK]
            lengths = np.sqrt(np.einsum("mk,mk->m", block, block)) * self.inverse_norms[start : start + BLOCK]
            largest = max(largest, float(lengths.max()))
        return largest

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: int | slice | Sequence[int] | Rows) -> Array:
        """Coordinates ``(K,)`` or ``(N, K)`` of a row or of several, as float32."""
        found = np.asarray(self.stored[rows], np.float32)
        return found if self.scale is None else found * self.scale

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """All of it, in memory."""
        return self[:].astype(np.float32 if dtype is None else dtype)


def packed(coordinates: ArrayLike, dtype: str) -> tuple[NDArray[Any], Array | None]:
    """Coordinates ``(M, K)`` as they are stored, and their scale ``(K,)`` where they are int8: the largest of a column is 127.

    >>> stored, scale = packed([[1.0, -2.0], [0.5, 1.0]], "int8")
    >>> stored.tolist(), (scale * 127).round(6).tolist()
    ([[127, -127], [64, 64]], [1.0, 2.0])
    """
    z = np.asarray(coordinates, np.float32)
    if dtype != "int8":
        return z.astype(dtype), None
    scale = (np.abs(z).max(axis=0) / 127).astype(np.float32)
    return np.rint(np.divide(z, scale, out=np.zeros_like(z), where=scale > 0)).astype(np.int8), scale


def row_norms(basis: SubvectorBasis, coordinates: Array) -> Array:
    """``(N,)`` lengths of the embeddings that coordinates ``(N, K)`` stand for."""
    return np.linalg.norm(places(basis, coordinates), axis=1).astype(np.float32)


def nearest_rows(
    basis: SubvectorBasis, rows: PackedRows, user: ArrayLike, n: int, *, metric: str = "direction", axes: str = "all"
) -> tuple[Rows, Array]:
    """The ``n`` nearest models, nearest first (of equals the earlier row), and their distances, as `xpert.space.distances` has them.

    By directions over all axes one pass of products decides who is compared exactly; any other way all are.

    Args:
        basis: The basis.
        rows: ``(M, K)``.
        user: ``(K,)`` a place.
        n: At most so many.
        metric: As in `xpert.space.distances`.
        axes: As in `xpert.space.distances`.
    """
    z, n = np.asarray(user, np.float32), min(n, len(rows))
    if metric == "direction" and axes == "all":
        among = _candidates(basis, rows, z, n)
        parts = [distances(basis, rows[among[i : i + BLOCK]], z) for i in range(0, len(among), BLOCK)]
        exact = np.concatenate(parts)
        order = np.argsort(exact, kind="stable")[:n]
        return among[order], exact[order]
    found, far = np.zeros(0, np.intp), np.zeros(0, np.float32)
    for start in range(0, len(rows), BLOCK):
        part = np.arange(start, min(start + BLOCK, len(rows)))
        found = np.concatenate([found, part])
        far = np.concatenate([far, distances(basis, rows[part[0] : part[-1] + 1], z, metric=metric, axes=axes)])
        keep = np.argsort(far, kind="stable")[:n]
        found, far = found[keep], far[keep]
    return found, far


def _candidates(basis: SubvectorBasis, rows: PackedRows, z: Array, n: int) -> Rows:
    """Rows, in their order, of which the ``n`` nearest by direction are some: cosines in float32, and a bound on their error."""
    wide = z.astype(np.float64) @ basis.vectors.astype(np.float64)
    length = float(np.linalg.norm(wide))
    towards = basis.vectors.astype(np.float64) @ wide / (length if length > _NOTHING else 1.0)
    weights = (towards if rows.scale is None else towards * rows.scale).astype(np.float32)
    slack = 4 * len(z) * float(np.finfo(np.float32).eps) * max(rows.reach * float(np.linalg.norm(towards)), 1.0)
    scores = np.empty(len(rows), np.float32)
    stored, inverse = rows.stored, rows.inverse_norms

    def score(start: int) -> float:
        """Fill a block's cosines; its n-th largest, or less."""
        block = stored[start : start + BLOCK]
        if block.dtype != np.float32:
            block = block.astype(np.float32)
        part = scores[start : start + BLOCK]
        np.dot(block, weights, out=part)
        part *= inverse[start : start + BLOCK]
        tops = (
            part[: len(part) // _GROUP * _GROUP].reshape(-1, _GROUP).max(axis=1)
        )  # the n-th of these is no more than the n-th
        return float(np.partition(tops, len(tops) - n)[len(tops) - n]) if n <= len(tops) else -np.inf

    with ThreadPoolExecutor(max(1, min(4, os.cpu_count() or 1))) as pool:
        least = max(pool.map(score, range(0, len(rows), BLOCK)))
    found = np.flatnonzero(scores >= least - slack)
    if len(found) > n:
        nth = float(np.partition(scores[found], len(found) - n)[len(found) - n])
        found = found[scores[found] >= nth - 2 * slack]
    return found
