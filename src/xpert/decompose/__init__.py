"""Embeddings as sums of sub-vectors: coefficients and residuals, and Algorithm 1, which finds the sub-vectors.

Pure functions of NumPy arrays; everything is computed in float64. ``coefficients`` holds the algebra of a given set of
sub-vectors, ``algorithm1`` the search for the set, ``elimination`` the search's matrix products, ``naming`` which words people see.

Source: Wang et al. 2025 (arXiv 2504.13938), section 4, Eq. 2-3 and Algorithm 1. Deviations are options, named where they are:
coefficients by least squares, candidates re-ranked by the residual, orthogonalised axes.
"""

from xpert.decompose.algorithm1 import CHUNK, AxesRule, CandidateOrder, Decomposition, VectorsOf, algorithm1
from xpert.decompose.coefficients import (
    CoefficientRule,
    coefficients,
    orthogonalised,
    relative_residual,
    residual_directions,
    span_norm,
)
from xpert.decompose.naming import inner_products, naming_weights

__all__ = [
    "CHUNK",
    "AxesRule",
    "CandidateOrder",
    "CoefficientRule",
    "Decomposition",
    "VectorsOf",
    "algorithm1",
    "coefficients",
    "inner_products",
    "naming_weights",
    "orthogonalised",
    "relative_residual",
    "residual_directions",
    "span_norm",
]
