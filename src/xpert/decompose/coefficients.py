"""Embeddings as sums of sub-vectors: coefficients, residuals, and directions for what is left.

Pure functions of NumPy arrays; everything is computed in float64. Axis letters as in `xpert.types`.

Source: Wang et al. 2025 (arXiv 2504.13938), section 4, Eq. 2-3. Coefficients by least squares are ours.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xpert.errors import SettingsError

__all__ = [
    "CoefficientRule",
    "coefficients",
    "orthogonalised",
    "relative_residual",
    "residual_directions",
    "span_norm",
]

CoefficientRule: TypeAlias = Literal["least-squares", "projection"]
"""``least-squares``: all coefficients at once, right for axes that are only nearly orthogonal. ``projection``: the paper's Eq. 2."""
Float64: TypeAlias = NDArray[np.float64]

_DEPENDENT = 1e-6
"""Directions weaker than this share of the strongest count as linearly dependent."""
_NOTHING = 1e-8
"""A norm below this is that of a zero vector."""


def coefficients(vectors: ArrayLike, embeddings: ArrayLike, rule: CoefficientRule = "least-squares") -> Float64:
    """Coefficients ``z`` of embeddings over sub-vectors.

    Args:
        vectors: ``(K, D)`` sub-vectors.
        embeddings: ``(D,)`` or ``(..., D)``.
        rule: ``projection`` is ``z_i = <e, v_i> / <v_i, v_i>`` (Eq. 2); ``least-squares`` minimises ``|| e - sum_i z_i v_i ||``
            (the solution of least norm where the axes are dependent). Both agree on orthogonal axes.

    Returns:
        ``(K,)`` or ``(..., K)``.

    Source: Eq. 2; least squares is ours.
    """
    v, e = np.asarray(vectors, np.float64), np.asarray(embeddings, np.float64)
    if len(v) == 0:
        return np.zeros((*e.shape[:-1], 0))
    if rule == "projection":
        squares = np.einsum("kd,kd->k", v, v)
        return (e @ v.T) / np.where(squares > 0, squares, 1.0)
    if rule != "least-squares":
        raise SettingsError(f"coefficients: expected 'least-squares' or 'projection', got {rule!r}")
    solution = np.linalg.lstsq(v.T, e.reshape(-1, e.shape[-1]).T, rcond=_DEPENDENT)[0]
    return np.asarray(solution.T.reshape(*e.shape[:-1], len(v)), np.float64)


def relative_residual(vectors: ArrayLike, embedding: ArrayLike, rule: CoefficientRule = "least-squares") -> float:
    """``|| e - sum_i z_i v_i || / || e ||``: the left side of Eq. 3 over ``|| e ||``; 0 for a zero embedding."""
    v, e = np.asarray(vectors, np.float64), np.asarray(embedding, np.float64)
    norm = float(np.linalg.norm(e))
    if norm < _NOTHING:
        return 0.0
    return float(np.linalg.norm(e - coefficients(v, e, rule) @ v)) / norm if len(v) else 1.0


def span_norm(vectors: ArrayLike, embedding: ArrayLike) -> float:
    """Norm of the part of an embedding ``(D,)`` that the sub-vectors ``(K, D)`` span."""
    v = np.asarray(vectors, np.float64)
    return float(np.linalg.norm(coefficients(v, embedding) @ v)) if len(v) else 0.0


def orthogonalised(vectors: ArrayLike) -> Float64:
    """Each sub-vector ``(K, D)`` less its part in the span of those before it; the vectors must be independent.

    A row keeps its direction in what is new of it, so the word keeps its axis; coefficients by projection and by least squares
    are then the same.
    """
    v = np.asarray(vectors, np.float64)
    q, r = np.linalg.qr(v.T)
    return (q * np.diag(r)).T


def residual_directions(
    vectors: ArrayLike, embeddings: ArrayLike, *, energy: float = 0.995, negligible: float = 1e-4, most: int = 32
) -> Float64:
    """Orthonormal directions that take up what the sub-vectors leave of the embeddings.

    Args:
        vectors: ``(K, D)`` sub-vectors; the directions are orthogonal to their span.
        embeddings: ``(M, D)``.
        energy: Share of the residuals' summed squares to cover.
        negligible: Share of the embeddings' summed squares that may be left in any case (1e-4: a hundredth of the norm).
        most: Directions at most.

    Returns:
        ``(U, D)``, the strongest first, each with its largest entry positive; none where the residuals are negligible.
    """
    v, e = np.asarray(vectors, np.float64), np.asarray(embeddings, np.float64)
    rest = e - coefficients(v, e) @ v if len(v) else e
    total, left = float(np.sum(e**2)), float(np.sum(rest**2))
    may_stay = max((1 - energy) * left, negligible * total)
    if left <= may_stay or most < 1:
        return np.zeros((0, e.shape[-1]))
    _, strengths, directions = np.linalg.svd(rest, full_matrices=False)
    uncovered = left - np.cumsum(strengths**2)
    count = min(int(np.argmax(uncovered <= may_stay + 1e-12 * left)) + 1, most)
    directions = directions[:count]
    signs = np.sign(directions[np.arange(count), np.abs(directions).argmax(axis=1)])
    return directions * signs[:, None]
