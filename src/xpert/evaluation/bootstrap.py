"""Intervals by resampling: how far a mean over users, or a difference between two methods on the same users, may be by chance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from xpert.errors import DataError

__all__ = ["LEVEL", "Estimate", "estimate", "paired_difference"]

LEVEL = 0.95
"""Share of resamples that an interval holds."""

_N_RESAMPLES = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A mean with its interval.

    Attributes:
        mean: Over all values.
        low, high: The percentile interval of its resamples, `LEVEL` of them.
        n: How many values.
    """

    mean: float
    low: float
    high: float
    n: int


def estimate(values: Sequence[float], *, level: float = LEVEL, seed: int = 0) -> Estimate:
    """Mean of values, one a user, and its interval over resamples of the users.

    Values that are all the same have an interval of no width, which says nothing of users that were not drawn.

    >>> found = estimate([0.0, 1.0, 1.0, 1.0])
    >>> found.mean, found.low < 0.75 < found.high
    (0.75, True)

    Args:
        values: One a user.
        level: Share of resamples inside.
        seed: Of the resamples.

    Raises:
        xpert.errors.DataError: No values.

    Source: Efron 1979; the percentile interval.
    """
    if not len(values):
        raise DataError("values: expected at least one, got none")
    own = np.asarray(values, np.float64)
    draws = np.random.default_rng(seed).integers(0, len(own), (_N_RESAMPLES, len(own)))
    low, high = np.quantile(own[draws].mean(axis=1), [(1 - level) / 2, (1 + level) / 2])
    return Estimate(mean=float(own.mean()), low=float(low), high=float(high), n=len(own))


def paired_difference(
    ours: Sequence[float], theirs: Sequence[float], *, level: float = LEVEL, seed: int = 0
) -> Estimate:
    """Mean of ``ours - theirs`` on the same users in the same order, with its interval.

    Raises:
        xpert.errors.DataError: No values, or different numbers of them.
    """
    if len(ours) != len(theirs):
        raise DataError(f"values: expected two of each user, got {len(ours)} and {len(theirs)}")
    return estimate([a - b for a, b in zip(ours, theirs, strict=True)], level=level, seed=seed)
