"""Which words people see: an embedding as a sum of words that are all there, none of them taken away."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import nnls

from xpert.decompose.coefficients import CoefficientRule

__all__ = ["inner_products", "naming_weights"]

Float64: TypeAlias = NDArray[np.float64]

_NOTHING = 1e-12
"""Share of the largest squared length below which a direction of the words' span is empty."""


def inner_products(vectors: ArrayLike, coordinates: ArrayLike, rule: CoefficientRule) -> Float64:
    """``(K,)`` inner products ``<v_i, e>`` of sub-vectors ``(K, D)`` with the embedding that coordinates ``(K,)`` stand for.

    By projection each coordinate says it of itself; by least squares the coordinates say what the embedding is.
    """
    v, z = np.asarray(vectors, np.float64), np.asarray(coordinates, np.float64)
    if rule == "projection":
        return z * np.einsum("kd,kd->k", v, v)
    return v @ (z @ v)


def naming_weights(vectors: ArrayLike, inner: ArrayLike) -> Float64:
    """The weights ``w >= 0`` with the least ``|| e - sum_i w_i v_i ||``.

    With a hundred axes that are only nearly orthogonal, least squares makes words strong that stand for the opposite of the
    text and are balanced by others. Where no word may be taken away, few words remain, and they are those that name the text
    best (``docs/decomposition.md``).

    Args:
        vectors: ``(K, D)`` sub-vectors.
        inner: ``(K,)`` inner products ``<v_i, e>``; all that need be known of the embedding.

    Returns:
        ``(K,)``, most of them 0.

    Source: non-negative least squares (Lawson and Hanson 1974); for naming it is ours.
    """
    v, c = np.asarray(vectors, np.float64), np.asarray(inner, np.float64)
    if not len(v):
        return np.zeros(0)
    lengths = np.linalg.norm(v, axis=1)
    lengths = np.where(lengths > 0, lengths, 1.0)
    values, directions = np.linalg.eigh((v @ v.T) / np.outer(lengths, lengths))
    kept = values > _NOTHING * max(float(values[-1]), _NOTHING)
    if not kept.any():
        return np.zeros(len(v))
    roots = np.sqrt(values[kept])
    weights, _ = nnls(roots[:, None] * directions[:, kept].T, (directions[:, kept].T @ (c / lengths)) / roots)
    return weights / lengths
