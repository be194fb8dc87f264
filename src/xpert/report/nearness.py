"""Which models of a catalog are nearest to each other, and which too near to be told apart; and a plane to draw them on. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xpert.basis import SubvectorBasis
from xpert.figures import N_ERRORS
from xpert.space import places
from xpert.types import Array

__all__ = ["Neighbour", "directions", "nearest_others", "plane"]

Wide: TypeAlias = NDArray[np.float64]
_NOTHING = 1e-12


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbour:
    """A model's nearest other.

    Attributes:
        row: The model. other: The nearest to it.
        distance: Of their directions, 0 to 2, as a selection's.
        noise: The distance that two models of one style would hardly pass by the sampling noise of both.
    """

    row: int
    other: int
    distance: float
    noise: float

    @property
    def told_apart(self) -> bool:
        """Whether they are further apart than noise explains."""
        return self.distance > self.noise


def directions(basis: SubvectorBasis, coordinates: ArrayLike) -> tuple[Wide, Wide]:
    """``(N, D)`` unit vectors of the embeddings that coordinates ``(N, K)`` stand for (a zero stays one), and ``(N,)`` lengths."""
    found = places(basis, np.nan_to_num(np.asarray(coordinates, np.float32)))
    lengths = np.linalg.norm(found, axis=1)
    return np.divide(found, lengths[:, None], out=np.zeros_like(found), where=lengths[:, None] > _NOTHING), lengths


def nearest_others(
    basis: SubvectorBasis, coordinates: Array, stderr: Array, reliability: Sequence[float | None]
) -> list[Neighbour]:
    """Each model's nearest other by direction, and what noise alone would make of their distance.

    The squared distance of two places that differ by noise of covariance ``C`` has the mean ``tr C`` and the variance ``2 tr C^2``; the noise is
    ``sqrt(tr C + 2 sqrt(2 tr C^2))``. ``C`` is made of the standard errors as if axes were independent, and as long as the reliabilities say,
    where they are known. The models answered the same prompts, so that their noise is in part the same: the rule rather says too often that two
    cannot be told apart than too seldom.

    Args:
        basis: The basis.
        coordinates: ``(N, K)``.
        stderr: ``(N, K)`` standard errors.
        reliability: Of each model, the share of its squared length that is no noise (`xpert.provenance.Fit`); None: not known.

    Returns:
        One a model, in their order; none for a single model.
    """
    unit, lengths = directions(basis, coordinates)
    if len(unit) < 2:
        return []
    apart = np.sqrt(np.maximum(2 - 2 * unit @ unit.T, 0.0))
    np.fill_diagonal(apart, np.inf)
    gram = basis.vectors.astype(np.float64) @ basis.vectors.astype(np.float64).T
    variances = [
        _variances(gram, error, length, share)
        for error, length, share in zip(np.nan_to_num(stderr), lengths, reliability, strict=True)
    ]
    found: list[Neighbour] = []
    for row, other in enumerate(apart.argmin(axis=1).tolist()):
        spread = (variances[row] + variances[other])[:, None] * gram
        mean, square = float(np.trace(spread)), float(np.sum(spread * spread.T))
        noise = float(np.sqrt(mean + N_ERRORS * np.sqrt(2 * square)))
        found.append(Neighbour(row=row, other=other, distance=float(apart[row, other]), noise=noise))
    return found


def _variances(gram: Wide, stderr: ArrayLike, length: float, reliability: float | None) -> Wide:
    """``(K,)`` variances of the coordinates of a model's unit vector."""
    if length <= _NOTHING:
        return np.zeros(len(gram))
    variances = (np.asarray(stderr, np.float64) / length) ** 2
    whole = float(variances @ np.diag(gram))
    return variances if reliability is None or whole <= 0 else variances * (1 - reliability) / whole


def plane(rows: ArrayLike, others: ArrayLike | None = None) -> tuple[Wide, Wide, tuple[float, float]]:
    """The plane on which rows ``(N, D)`` scatter most: ``(N, 2)`` places, those of others ``(n, D)`` on it, and the two shares of the variance.

    Each axis points to where the largest place on it is positive, so that a catalog is always drawn alike.

    Source: principal components (Pearson 1901).
    """
    x = np.asarray(rows, np.float64)
    mean = x.mean(axis=0)
    _, sizes, axes = np.linalg.svd(x - mean, full_matrices=False)
    axes = np.vstack([axes, np.zeros((2, x.shape[1]))])[:2]
    found = (x - mean) @ axes.T
    signs = np.where(found[np.abs(found).argmax(axis=0), [0, 1]] < 0, -1.0, 1.0)
    shares = np.append(sizes**2, [0.0, 0.0])[:2] / max(float((sizes**2).sum()), _NOTHING)
    beside = (np.zeros((0, x.shape[1])) if others is None else np.asarray(others, np.float64)) - mean
    return found * signs, beside @ axes.T * signs, (float(shares[0]), float(shares[1]))
