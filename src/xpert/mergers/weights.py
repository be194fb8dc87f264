"""Which models, with which weights: sparse non-negative least squares in the embedding space. Pure functions.

Source: Eq. 4 of Wang et al., MobiSys 2025 (arXiv 2504.13938): ``|| alpha e_1 + beta e_2 - e_u ||`` least over all pairs; here
without negative weights, and greedily extended to more than two models.
"""

from __future__ import annotations

from itertools import combinations
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["ALL_PAIRS", "NEAREST", "best_weights", "chance_gain", "pair_weights", "promising", "sparse_weights"]

Wide: TypeAlias = NDArray[np.float64]

ALL_PAIRS = 300
"""Up to so many models every pair is tried."""
NEAREST = 50
"""Beyond, every pair with one of so many nearest models."""
PROMISING = 1000
"""Of a larger pool, so many models by their own correlation with the user, and as many by that with what the best one leaves."""
_LEAST_WEIGHT = 1e-6


def best_weights(models: Wide, user: Wide, max_models: int) -> Wide:
    """Non-negative weights ``(M,)``, at most ``max_models`` of them above 0, with ``|| w @ models - user ||`` least.

    Exact for one and two models (for two up to `ALL_PAIRS` models), greedy from the third on.

    Args:
        models: ``(M, D)``.
        user: ``(D,)``.
        max_models: At least 1.
    """
    target = models @ user
    gram = models @ models.T if len(models) <= ALL_PAIRS else None
    chosen = _best_single(models, target) if max_models == 1 else _best_pair(models, user, gram, target)
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


def sparse_weights(
    models: Wide, user: Wide, max_models: int, noise: Wide, *, penalty: float
) -> tuple[Wide, list[tuple[float, float]]]:
    """`best_weights` of as many models as help by more than noise: one, and each further one only if it earns its place.

    Args:
        models: ``(M, D)``.
        user: ``(D,)``.
        max_models: At least 1.
        noise: ``(B, D)`` draws of the sampling noise between user and models; none: nothing is known of it.
        penalty: What a further model must lower the squared distance by at least, as a fraction of ``|| user ||^2``.

    Returns:
        ``(M,)`` weights; and of each further model that was tried, the last one perhaps in vain, by how much it lowered the
        squared distance, and by how much it had to, both as fractions of ``|| user ||^2``.
    """
    square = float(user @ user)
    weights, tried = best_weights(models, user, 1), list[tuple[float, float]]()
    for n in range(2, max_models + 1):
        more = best_weights(models, user, n)
        if (more > 0).sum() <= (weights > 0).sum() or not weights.any():
            break
        gain = (_left(models, user, weights) - _left(models, user, more)) / square
        needed = max(penalty, chance_gain(models, np.flatnonzero(weights), noise) / square)
        tried.append((gain, needed))
        if gain <= needed:
            break
        weights = more
    return weights, tried


def chance_gain(models: Wide, chosen: NDArray[Any], noise: Wide, *, quantile: float = 0.95) -> float:
    """By how much one more model lowers the squared distance by chance, where the user is a sum of the chosen ones but for noise.

    Of each draw the model that helps most counts: many models find something in any noise.

    Args:
        models: ``(M, D)``.
        chosen: Positions of the models that are in the sum.
        noise: ``(B, D)`` draws.
        quantile: Over the draws.
    """
    if not len(noise):
        return 0.0
    span = np.linalg.qr(models[chosen].T)[0]
    rest = models - (models @ span) @ span.T
    lengths = np.linalg.norm(rest, axis=1)
    sound = lengths > 1e-6 * np.linalg.norm(models, axis=1).clip(min=1e-300)
    if not sound.any():
        return 0.0
    along = (noise @ rest[sound].T) / lengths[sound]
    return float(np.quantile(np.maximum(along, 0).max(axis=1) ** 2, quantile))


def promising(models: Wide, user: Wide) -> NDArray[np.intp]:
    """Positions of the models that can be in a good sum, in their order: all of up to twice `PROMISING`, else a prefilter.

    By correlation: a model's own with the user, and that with what the best single model leaves of the user.
    """
    if len(models) <= 2 * PROMISING:
        return np.arange(len(models))
    squares = np.einsum("md,md->m", models, models).clip(min=1e-300)

    def best(target: Wide) -> NDArray[np.intp]:
        gains = np.maximum(target, 0) ** 2 / squares
        return np.argpartition(-gains, PROMISING)[:PROMISING]

    target = models @ user
    first = int((np.maximum(target, 0) ** 2 / squares).argmax())
    left = target - (target[first] / squares[first]) * (models @ models[first])
    return np.union1d(best(target), best(left))


def _left(models: Wide, user: Wide, weights: Wide) -> float:
    rest = weights @ models - user
    return float(rest @ rest)


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
    return _closed_form(gram[first, first], gram[second, second], gram[first, second], target[first], target[second])


def _closed_form(a: Wide, b: Wide, c: Wide, s: Wide, t: Wide) -> tuple[Wide, Wide]:
    """`pair_weights` from inner products ``(N,)``: of first with first, second with second, both; first and second with the user."""
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


def _best_single(models: Wide, target: Wide) -> list[int]:
    gains = np.maximum(target, 0) ** 2 / np.einsum("md,md->m", models, models).clip(min=1e-300)
    best = int(gains.argmax())
    return [best] if gains[best] > 0 else []


def _best_pair(models: Wide, user: Wide, gram: Wide | None, target: Wide) -> list[int]:
    """The pair (or the one model, if a second does not help) with the least error; none if no model helps."""
    n = len(models)
    if n == 1:
        return _best_single(models, target)
    if gram is not None:
        pairs = np.array(list(combinations(range(n), 2)))
        return _best_of(pairs, *pair_weights(gram, target, pairs[:, 0], pairs[:, 1]))[0]
    found: list[tuple[float, list[int]]] = []
    others = np.arange(n)
    squares = np.einsum("md,md->m", models, models)
    for i in np.argsort(np.linalg.norm(models - user, axis=1), kind="stable")[:NEAREST].tolist():
        pairs = np.stack([np.full(n, i), others], axis=1)[others != i]
        inner = (squares[pairs[:, 0]], squares[pairs[:, 1]], (models @ models[i])[pairs[:, 1]])
        chosen, gain = _best_of(pairs, *_closed_form(*inner, target[pairs[:, 0]], target[pairs[:, 1]]))
        found.append((gain, chosen))
    return max(found, key=lambda one: one[0])[1]


def _best_of(pairs: NDArray[Any], weights: Wide, gains: Wide) -> tuple[list[int], float]:
    best = int(gains.argmax())
    return [int(i) for i, w in zip(pairs[best], weights[best], strict=True) if w > _LEAST_WEIGHT], float(gains[best])


def _fit(models: Wide, user: Wide) -> tuple[Wide, float]:
    """Non-negative weights of these models, and what they leave."""
    from scipy.optimize import nnls

    weights, error = nnls(models.T, user)
    return weights, float(error)
