"""How sure a choice is: the share of resamples of a user's pairs in which each model is the nearest.

What a user's text says of the user is an average over a few pairs, and so is what the probes say of a model. Both scatter; a choice
between two models that are nearly as far is a draw. Pure functions of coordinates and a basis.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xpert.basis import SubvectorBasis
from xpert.errors import SettingsError
from xpert.space import METRICS, places
from xpert.types import Array

__all__ = ["N_DRAWS", "nearest_shares"]

N_DRAWS = 500
"""Resamples: a share of a half has a standard error of 2 points."""

_NOTHING = 1e-12
_TIE = 1e-9
Float64 = NDArray[np.float64]


def nearest_shares(
    basis: SubvectorBasis,
    models: ArrayLike,
    rows: ArrayLike,
    *,
    n_probes: int,
    metric: str = "direction",
    axes: str = "all",
    n_draws: int = N_DRAWS,
    seed: int = 0,
) -> Array | None:
    """In which share of the resamples each model is the nearest; None for a single pair, which shows no scatter.

    A resample is the user's mean plus a weighted sum of the pairs' deviations from it, the weights normal: it scatters as the mean
    of ``n`` pairs does (covariance ``S / n``), divided by the chi of ``n - 1`` degrees of freedom, so that in each direction the
    deviation is Student's: few pairs know their own scatter badly. The models' own sampling noise is taken to be like the user's,
    with ``n_probes`` pairs, and widens the deviation by ``sqrt(1 + n / n_probes)``. Models as near as each other share a resample.

    Args:
        basis: The basis.
        models: ``(M, K)`` coordinates.
        rows: ``(n, K)`` coordinates of the user's single pairs; their mean is the user's place.
        n_probes: Pairs behind each model.
        metric: As in `xpert.space.distances`.
        axes: As in `xpert.space.distances`.
        n_draws: Resamples.
        seed: Of the weights; two runs with one seed agree.

    Returns:
        ``(M,)`` float32 shares that sum to 1.

    Raises:
        xpert.errors.SettingsError: Metric or axes are unknown, or ``n_probes`` or ``n_draws`` is below 1.

    Source: ours. The multiplier bootstrap of a mean: it asks which model is nearest to the user's true place, wherever that is. Of
        users whose style is exactly a model's more choices are right than it says; it errs on the careful side
        (``benchmarks/confidence``).
    """
    if metric not in METRICS:
        raise SettingsError(f"metric: expected one of {', '.join(METRICS)}, got {metric!r}")
    if n_probes < 1 or n_draws < 1:
        raise SettingsError(f"n_probes, n_draws: expected 1 or more, got {n_probes} and {n_draws}")
    z, pairs = np.atleast_2d(np.asarray(models, np.float32)), np.atleast_2d(np.asarray(rows, np.float32))
    m, n = len(z), len(pairs)
    if n < 2:
        return None
    found = places(basis, np.vstack([z, pairs]), axes, metric=metric)
    weights = _weights(n, np.sqrt(1 + n / n_probes), n_draws, seed)
    inner = found @ found.T  # all that distances need
    of_models, of_users = np.diag(inner)[:m], np.einsum("bi,ij,bj->b", weights, inner[m:, m:], weights, optimize=True)
    between = weights @ inner[m:, :m]
    if metric == "direction":
        between = between * _inverse_norm(of_users)[:, None] * _inverse_norm(of_models)
        of_models = (of_models > _NOTHING**2).astype(np.float64)
    far = of_models - 2 * between  # squared distances, less what all models of a draw have in common
    nearest = far <= far.min(axis=1, keepdims=True) + _TIE * max(float(np.abs(far).max()), _NOTHING)
    return (nearest / nearest.sum(axis=1, keepdims=True)).mean(axis=0).astype(np.float32)


def _weights(n: int, inflation: float, n_draws: int, seed: int) -> Float64:
    """``(n_draws, n)`` weights of pairs, each row summing to 1: the mean's, and the deviation's."""
    rng = np.random.default_rng(seed)
    normal = rng.standard_normal((n_draws, n))
    normal -= normal.mean(axis=1, keepdims=True)
    student = np.sqrt((n - 1) / rng.chisquare(n - 1, size=(n_draws, 1)))
    return 1 / n + normal * student * (inflation / np.sqrt(n * (n - 1)))


def _inverse_norm(squares: Float64) -> Float64:
    """One over the norms; 0 for a zero vector."""
    norms = np.sqrt(np.maximum(squares, 0.0))
    return np.divide(1.0, norms, out=np.zeros_like(norms), where=norms > _NOTHING)
