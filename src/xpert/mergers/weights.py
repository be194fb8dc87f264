"""Which models, with which weights: sparse non-negative least squares in the embedding space. Pure functions.

Source: Eq. 4 of Wang et al., MobiSys 2025 (arXiv 2504.13938): ``|| alpha e_1 + beta e_2 - e_u ||`` least over all pairs; here
without negative weights, and greedily extended to more than two models.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["ALL_PAIRS", "NEAREST", "best_weights", "pair_weights"]

Wide: TypeAlias = NDArray[np.float64]

ALL_PAIRS = 300
"""Up to so many models every pair is tried."""
NEAREST = 50
"""Beyond, every pair with one of so many nearest models."""
_LEAST_WEIGHT = 1e-6


def best_weights(models: Wide, user: Wide, max_models: int) -> Wide:
    """Non-negative weights ``(M,)``, at most ``max_models`` of them above 0, with ``|| w @ models - user ||`` least.

    Exact for one and two models (for two up to `ALL_PAIRS` models), greedy from the third on.

    Args:
        models: ``(M, D)``.
        user: ``(D,)``.
        max_models: At least 1.
    """
    gram, target = models @ models.T, models @ user
    chosen = _best_single(gram, target) if max_models == 1 else _best_pair(models, user, gram, target)
    while 0 < len(chosen) < max_models:
        tried = [(_fit(models[[*chosen, i]], user)[1], i) for i in range(len(models)) if i not in chosen]
        error, i = min(tried, default=(np.inf, -1))
        if error >= _fit(models[chosen], user)[1] * (1 - 1e-6):
            break
        chosen = [*chosen, i]
    weights = np.zeros(len(models))
    if chosen:
        weights[chosen] = _fit(models[chosen], user)[0]
    weights[weights < _LEAST_WEIGHT] = 0.0
    return weights


def pair_weights(gram: Wide, target: Wide, first: NDArray[Any], second: NDArray[Any]) -> tuple[Wide, Wide]:
    """Non-negative weights of many pairs at once, in closed form.

    Args:
        gram: ``(M, M)`` inner products of the models.
        target: ``(M,)`` their inner products with the user.
        first: ``(N,)`` position of each pair's first model.
        second: ``(N,)`` of its second.

    Returns:
        ``(N, 2)`` weights, and ``(N,)`` how much each pair lowers ``|| user ||^2``.
    """
    a, b, c = gram[first, first], gram[second, second], gram[first, second]
    s, t = target[first], target[second]
    determinant = a * b - c * c
    sound = determinant > 1e-12 * np.maximum(a * b, 1e-300)
    safe = np.where(sound, determinant, 1.0)
    inner = np.stack([(b * s - c * t) / safe, (a * t - c * s) / safe], axis=1)
    inside = sound & (inner >= 0).all(axis=1)
    alone = [np.maximum(x, 0) / np.maximum(n, 1e-300) for x, n in ((s, a), (t, b))]
    gains = np.stack([np.where(inside, inner[:, 0] * s + inner[:, 1] * t, -1.0), alone[0] * s, alone[1] * t], axis=1)
    zeros = np.zeros_like(s)
    options = np.stack([inner, np.stack([alone[0], zeros], 1), np.stack([zeros, alone[1]], 1)], axis=1)
    best = gains.argmax(axis=1)
    rows = np.arange(len(s))
    return options[rows, best], gains[rows, best]


def _best_single(gram: Wide, target: Wide) -> list[int]:
    gains = np.maximum(target, 0) ** 2 / np.maximum(np.diag(gram), 1e-300)
    best = int(gains.argmax())
    return [best] if gains[best] > 0 else []


def _best_pair(models: Wide, user: Wide, gram: Wide, target: Wide) -> list[int]:
    """The pair (or the one model, if a second does not help) with the least error; none if no model helps."""
    n = len(models)
    near: Sequence[int] = range(n)
    if n > ALL_PAIRS:
        near = [int(i) for i in np.argsort(np.linalg.norm(models - user, axis=1), kind="stable")[:NEAREST]]
    if n == 1:
        return _best_single(gram, target)
    pairs = np.array(
        list(combinations(range(n), 2)) if n <= ALL_PAIRS else [(i, j) for i in near for j in range(n) if i != j]
    )
    weights, gains = pair_weights(gram, target, pairs[:, 0], pairs[:, 1])
    best = int(gains.argmax())
    return [int(i) for i, w in zip(pairs[best], weights[best], strict=True) if w > _LEAST_WEIGHT]


def _fit(models: Wide, user: Wide) -> tuple[Wide, float]:
    """Non-negative weights of these models, and what they leave."""
    from scipy.optimize import nnls

    weights, error = nnls(models.T, user)
    return weights, float(error)
