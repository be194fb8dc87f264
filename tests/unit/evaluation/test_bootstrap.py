from __future__ import annotations

import numpy as np
import pytest

from xpert.errors import DataError
from xpert.evaluation.bootstrap import estimate, paired_difference


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    rng = np.random.default_rng(0)
    inside = 0
    for seed in range(200):
        found = estimate(list(rng.binomial(1, 0.7, 60)), seed=seed)
        inside += found.low <= 0.7 <= found.high
    assert 0.88 <= inside / 200 <= 0.99


def test_pairs_are_sharper_than_two_means() -> None:
    rng = np.random.default_rng(1)
    hard = rng.normal(0, 10, 40)
    ours, theirs = list(hard + 1), list(hard + rng.normal(0, 0.1, 40))
    paired = paired_difference(ours, theirs)
    assert paired.low < 1.0 < paired.high
    assert paired.high - paired.low < 0.2
    assert estimate(ours).high - estimate(ours).low > 2


def test_the_seed_draws() -> None:
    values = list(np.random.default_rng(3).normal(size=30))
    assert estimate(values, seed=1) == estimate(values, seed=1) != estimate(values, seed=2)


def test_refusals() -> None:
    with pytest.raises(DataError, match="at least one"):
        estimate([])
    with pytest.raises(DataError, match="two of each user, got 1 and 2"):
        paired_difference([1.0], [1.0, 2.0])
