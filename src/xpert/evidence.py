"""Why a model was chosen, and what no model has: squared distances told axis by axis. Pure functions.

A squared distance is a sum over axes, ``d^2 = sum_k x_k (G x)_k`` with ``x`` the difference of two places in coordinates (divided
by the embeddings' lengths where directions are compared) and ``G`` the inner products of the axes. So the difference of two squared
distances is one as well, and each axis has its part in a choice. The parts sum to the whole, whatever the angles between axes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xpert.basis import SubvectorBasis
from xpert.space import kinds_of, restrict
from xpert.telling import adjectives, told
from xpert.types import Coordinates

__all__ = ["distance_parts", "nearer_by", "spoken", "strongest", "uncovered"]

_NOTHING = 1e-12
_N_TOLD = 5


def distance_parts(
    basis: SubvectorBasis, one: ArrayLike, other: ArrayLike | None, *, metric: str = "direction", axes: str = "all"
) -> tuple[SubvectorBasis, NDArray[np.float64]]:
    """The axes that are compared, and what each adds ``(K,)`` to the squared distance of two places ``(K,)``.

    Args:
        basis: The basis.
        one: A place.
        other: Another; None: the base's, where all is zero.
        metric: As in `xpert.space.distances`.
        axes: As in `xpert.space.distances`.
    """
    both = np.stack(
        [np.asarray(one, np.float32), np.zeros_like(one, np.float32) if other is None else np.asarray(other)]
    )
    subset, z = restrict(basis, both, axes)
    wide, vectors = z.astype(np.float64), subset.vectors.astype(np.float64)
    if metric == "direction":
        lengths = np.linalg.norm(wide @ vectors, axis=1, keepdims=True)
        wide = np.divide(wide, lengths, out=np.zeros_like(wide), where=lengths > _NOTHING)
    apart = wide[0] - wide[1]
    return subset, apart * (apart if metric == "coordinates" else vectors @ (apart @ vectors))


def nearer_by(
    basis: SubvectorBasis,
    user: ArrayLike,
    chosen: ArrayLike,
    than: ArrayLike | None,
    *,
    metric: str = "direction",
    axes: str = "all",
) -> tuple[tuple[str, float], ...]:
    """``(word, part)`` of how much nearer ``chosen`` is than another place: the parts sum to the difference of squared distances.

    Args:
        basis: The basis.
        user: ``(K,)``.
        chosen: ``(K,)`` of the chosen model.
        than: ``(K,)`` of another; None: the base.
        metric: As in `xpert.space.distances`.
        axes: As in `xpert.space.distances`.

    Returns:
        All compared axes, the largest part first: those at the end speak for the other.
    """
    subset, far = distance_parts(basis, user, than, metric=metric, axes=axes)
    parts = far - distance_parts(basis, user, chosen, metric=metric, axes=axes)[1]
    words = subset.words
    return tuple((words[i], float(parts[i])) for i in np.argsort(-parts, kind="stable"))


def strongest(parts: Sequence[tuple[str, float]], n: int = _N_TOLD) -> tuple[tuple[str, float], ...]:
    """The first parts that speak for the choice, at most ``n``.

    >>> strongest([("friendly", 0.5), ("concise", -0.1)])
    (('friendly', 0.5),)
    """
    return tuple(part for part in parts[:n] if part[1] > 0)


def spoken(basis: SubvectorBasis, change: ArrayLike, *, axes: str = "all") -> dict[str, tuple[str, int]]:
    """Of the compared axes that have an adjective in either direction: the one that a change ``(K,)`` goes towards, and its sign.

    A model that is nearer by length than another, for it writes less, is nearer by being *brief*: ``{"longer": ("brief", -1)}``.
    """
    subset, z = restrict(basis, np.asarray(change, np.float32), axes)
    return {subset.words[i]: (pole, -1 if z[i] < 0 else 1) for i, pole in adjectives(subset, z).items()}


def uncovered(
    basis: SubvectorBasis,
    user: Coordinates,
    models: ArrayLike,
    weights: ArrayLike,
    said: Sequence[str] = (),
    *,
    axes: str = "all",
) -> tuple[str, ...]:
    """Words of a user's text that a weighted sum of models does not have, at most five.

    First the axes' words that name what the sum leaves of the user, where the user has more of them than two standard errors,
    then words that the summarizer said of the user and that are no axis.

    Args:
        basis: The basis.
        user: The user's place.
        models: ``(N, K)``.
        weights: ``(N,)`` weights of the models.
        said: Words of the summarizer for the user, best first.
        axes: As in `xpert.space.distances`.
    """
    z = user.values
    left = (z - np.asarray(weights, np.float32) @ np.asarray(models, np.float32)).astype(np.float32)
    compared, rest = restrict(basis, left, axes)
    kept = basis.where(kinds_of(axes))
    found = [
        word
        for i, word, _ in told(compared, rest)
        if compared.axes[i].kind != "unnamed"
        and abs(rest[i]) > 2 * user.stderr[kept[i]]
        and rest[i] * z[kept[i]] > 0
        and (z[kept[i]] > 0 or word != compared.words[i])
    ]
    own = set(basis.words)
    return tuple(dict.fromkeys([*found, *(word for word in said if word not in own)]))[:_N_TOLD]
