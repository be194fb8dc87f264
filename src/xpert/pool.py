"""The nearest of very many models: coordinates that stay on disk, read block by block, ranked exactly.

A pool's coordinates are a matrix in a file, memory-mapped, in float32, float16 or int8 (with a scale an axis). One pass of blocked
float32 products gives every model's cosine to within a bound on its rounding; the models that can be among the nearest by that bound
are ranked again in float64. The ranking is that of comparing with every model.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, cached_property
from typing import Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xpert.basis import SubvectorBasis
from xpert.space import distances, places
from xpert.types import Array

__all__ = ["BLOCK", "PackedRows", "nearest_rows", "packed", "row_norms"]

BLOCK = 16384
"""Rows of a block: 4 MB of 64 float32 axes."""

_PASS = 4 * BLOCK
"""Rows of a block of the pass: larger, so that threads meet less often."""
_MOST_THREADS = 4
_GROUP = 64
_UNSHARED = 8192
"""Numbers in a matrix whose product with a vector OpenBLAS does not share among its threads (it does from 9,216 on)."""
_NOTHING = 1e-12
Rows: TypeAlias = NDArray[np.intp]
T = TypeVar("T")


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
    """Rows, in their order, of which the ``n`` nearest by direction are some: cosines in float32, and a bound on their error.

    One pass, block by block on threads. A block keeps the rows that may be among the nearest by what is known so far, so that
    nothing grows with ``M`` but by ties.
    """
    vectors = basis.vectors.astype(np.float64)
    # einsum is no BLAS, whose threads would look for more work during the pass
    wide = np.einsum("k,kd->d", z.astype(np.float64), vectors)
    length = float(np.linalg.norm(wide))
    towards = np.einsum("kd,d->k", vectors, wide) / (length if length > _NOTHING else 1.0)
    weights = (towards if rows.scale is None else towards * rows.scale).astype(np.float32)
    slack = 4 * len(z) * float(np.finfo(np.float32).eps) * max(rows.reach * float(np.linalg.norm(towards)), 1.0)
    stored, inverse = rows.stored, rows.inverse_norms
    least = (
        -np.inf
    )  # the n-th largest cosine is no less; that a thread may overwrite a larger one with a smaller does no harm

    def kept(start: int) -> tuple[int, Rows, Array]:
        """Of a block the rows that may be among the nearest, and their cosines; where it starts comes first, to sort by."""
        nonlocal least
        scores = _product(stored[start : start + _PASS], weights)
        scores *= inverse[start : start + _PASS]
        if least == -np.inf:
            least = max(least, _nth_or_less(scores, n))
        near = np.flatnonzero(scores >= least - slack)
        least = max(least, _nth_or_less(scores[near], n, group=1))
        return start, near + start, scores[near]

    parts = sorted(_shared(kept, range(0, len(rows), _PASS)), key=lambda part: part[0])
    found, scores = (np.concatenate(part) for part in list(zip(*parts, strict=True))[1:])
    return found[scores >= _nth_or_less(scores, n, group=1) - slack]


def _shared(work: Callable[[int], T], starts: Sequence[int]) -> list[T]:
    """The work for every start, in any order: this thread and, for each further core, another take the next one in turn."""
    todo = iter(starts)

    def some() -> list[T]:
        return [work(start) for start in todo]

    n_helpers = min(_MOST_THREADS, os.cpu_count() or 1, len(starts)) - 1
    others = [_helpers().submit(some) for _ in range(n_helpers)]
    done = some()
    return done + [one for other in others if not other.cancel() for one in other.result()]


@cache
def _helpers() -> ThreadPoolExecutor:
    """Threads that stay and wait for the next pass: on a busy machine starting one takes as long as half a million models."""
    return ThreadPoolExecutor(_MOST_THREADS - 1, thread_name_prefix="xpert-pool")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_helpers.cache_clear)  # a fork has no threads


def _product(block: NDArray[Any], weights: Array) -> Array:
    """``(N, K) @ (K,)`` in float32, by products too small for the threads of a BLAS: blocks are on threads already."""
    out, k = np.empty(len(block), np.float32), block.shape[1]
    n = max(1, _UNSHARED // k)
    step = len(block) if block.dtype == np.float32 else 32 * n  # smaller numbers are widened where a cache holds them
    for start in range(0, len(block), max(step, 1)):
        part, into = np.asarray(block[start : start + step], np.float32), out[start : start + step]
        whole = len(part) // n * n
        np.matmul(part[:whole].reshape(-1, n, k), weights, out=into[:whole].reshape(-1, n))
        np.matmul(part[whole:], weights, out=into[whole:])
    return out


def _nth_or_less(scores: Array, n: int, group: int = _GROUP) -> float:
    """The ``n``-th largest of the scores, or something less: the ``n``-th largest of the greatest of each group."""
    tops = scores[: len(scores) // group * group].reshape(-1, group).max(axis=1)
    if n > len(tops):
        tops = scores
    return float(np.partition(tops, len(tops) - n)[len(tops) - n]) if n <= len(tops) else -np.inf
