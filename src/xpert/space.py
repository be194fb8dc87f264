"""Distances in the explainable space: pure functions of coordinates and a basis.

A coordinate row is compared by the embedding that it stands for, ``e = sum_i z_i v_i``: plain L2 between coefficients of
near-dependent axes means little. What a text's style is and how strong it is are told apart: the default metric compares
directions, the strength (length) divided out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xpert.basis import SubvectorBasis
from xpert.errors import SettingsError
from xpert.types import Array, AxisKind

__all__ = ["AXES", "METRICS", "AxesName", "Metric", "distances", "kinds_of", "match_threshold", "places", "restrict"]

Metric: TypeAlias = Literal["direction", "embedding", "coordinates"]
"""``direction``: L2 of the embeddings' unit vectors; ``embedding``: of the embeddings; ``coordinates``: of ``z`` (the paper)."""
AxesName: TypeAlias = Literal["all", "named", "named+measured"]
METRICS: tuple[Metric, ...] = ("direction", "embedding", "coordinates")
AXES: tuple[AxesName, ...] = ("all", "named", "named+measured")

_KINDS: dict[str, tuple[AxisKind, ...]] = {
    "all": ("word", "measured", "unnamed"),
    "named": ("word",),
    "named+measured": ("word", "measured"),
}
_NOTHING = 1e-12


def kinds_of(axes: str) -> tuple[AxisKind, ...]:
    """The kinds of axes that a choice of axes compares.

    Raises:
        xpert.errors.SettingsError: The choice is unknown.
    """
    if axes not in _KINDS:
        raise SettingsError(f"axes: expected one of {', '.join(_KINDS)}, got {axes!r}")
    return _KINDS[axes]


def restrict(basis: SubvectorBasis, coordinates: ArrayLike, axes: str) -> tuple[SubvectorBasis, Array]:
    """A basis and coordinates ``(..., K)`` on a subset of the axes.

    With least squares the embedding that the coordinates stand for is projected on the subset again, which is exact within
    the span of all axes; with the paper's projection each coefficient stands by itself and its column is kept.

    Raises:
        xpert.errors.SettingsError: The choice is unknown, or the basis has no such axis.
    """
    kinds, z = kinds_of(axes), np.asarray(coordinates, np.float32)
    keep = basis.where(kinds)
    if not keep:
        raise SettingsError(f"axes={axes!r}: the basis has no axis of kind {' or '.join(kinds)}; choose other axes")
    if len(keep) == len(basis):
        return basis, z
    subset = basis.subset(kinds)
    if basis.coefficients == "projection":
        return subset, z[..., keep]
    return subset, subset.project(basis.reconstruct(z))


def distances(
    basis: SubvectorBasis, models: ArrayLike, user: ArrayLike, *, metric: str = "direction", axes: str = "all"
) -> Array:
    """Distances of coordinate rows ``(M, K)`` from one place ``(K,)``: ``(M,)``.

    The direction of a zero embedding is the zero vector: its distance is 1 from every style and 0 from another zero.
    Directions are at most 2 apart (opposite styles); unrelated ones about 1.41.

    Raises:
        xpert.errors.SettingsError: Metric or axes are unknown, or the basis has no such axis.
    """
    if metric not in METRICS:
        raise SettingsError(f"metric: expected one of {', '.join(METRICS)}, got {metric!r}")
    both = np.vstack([np.asarray(user, np.float32)[None], np.atleast_2d(np.asarray(models, np.float32))])
    found = places(basis, both, axes, metric=metric)
    if metric == "direction":
        norms = np.linalg.norm(found, axis=1, keepdims=True)
        found = np.divide(found, norms, out=np.zeros_like(found), where=norms > _NOTHING)
    return np.linalg.norm(found[1:] - found[0], axis=1).astype(np.float32)


def places(
    basis: SubvectorBasis, coordinates: ArrayLike, axes: str = "all", *, metric: str = "direction"
) -> NDArray[np.float64]:
    """Where coordinates ``(N, K)`` lie by some of the axes: ``(N, D)`` float64 embeddings, for ``coordinates`` ``z`` itself.

    Raises:
        xpert.errors.SettingsError: The axes are unknown, or the basis has none of them.
    """
    subset, z = restrict(basis, coordinates, axes)
    wide = z.astype(np.float64)
    return wide if metric == "coordinates" else wide @ subset.vectors.astype(np.float64)


def match_threshold(
    basis: SubvectorBasis,
    coordinates: ArrayLike,
    halves: Sequence[tuple[ArrayLike, ArrayLike]],
    *,
    metric: str = "direction",
    axes: str = "all",
) -> float:
    """The distance up to which a user counts as matching a model, from what the catalog's own models show.

    The larger of two: the 95% quantile over models of the distance between two halves of a model's own pairs (below that
    nothing can be told from sampling noise), and half of the median distance from a model to its nearest other (within half
    the way no other model can be nearer). A single model: twice the distance of its halves. Directions: at most 0.99, so that
    a user without any style (distance 1 from everything) matches nothing.

    Args:
        basis: The basis.
        coordinates: ``(M, K)``.
        halves: Per model, the coordinates ``(K,)`` of the first and of the second half of its pairs.
        metric: As in `distances`.
        axes: As in `distances`.
    """
    z = np.atleast_2d(np.asarray(coordinates, np.float32))
    noise = [float(distances(basis, one, other, metric=metric, axes=axes)[0]) for one, other in halves]
    if len(z) == 1:
        threshold = 2 * noise[0]
    else:
        apart = np.stack([distances(basis, z, row, metric=metric, axes=axes) for row in z])
        np.fill_diagonal(apart, np.inf)
        threshold = max(float(np.quantile(noise, 0.95)), 0.5 * float(np.median(apart.min(axis=1))))
    return min(threshold, 0.99) if metric == "direction" else threshold
