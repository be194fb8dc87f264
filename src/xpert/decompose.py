"""Embeddings as sums of sub-vectors: coefficients, residuals, and Algorithm 1, which finds the sub-vectors.

Pure functions of NumPy arrays; everything is computed in float64. Axis letters as in `xpert.types`.

Source: Wang et al. 2025 (arXiv 2504.13938), section 4, Eq. 2-3 and Algorithm 1. Deviations are options, named here:
coefficients by least squares, candidates re-ranked by the residual.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xpert.errors import SettingsError, WeightsError
from xpert.types import Array

__all__ = [
    "CandidateOrder",
    "CoefficientRule",
    "Decomposition",
    "VectorsOf",
    "algorithm1",
    "coefficients",
    "relative_residual",
    "residual_directions",
    "span_norm",
]

CoefficientRule: TypeAlias = Literal["least-squares", "projection"]
"""``least-squares``: all coefficients at once, right for axes that are only nearly orthogonal. ``projection``: the paper's Eq. 2."""
CandidateOrder: TypeAlias = Literal["given", "residual"]
"""``given``: the summarizer's order, as in the paper. ``residual``: the admissible word next that covers most of what is left."""
VectorsOf: TypeAlias = Callable[[Sequence[str]], Array]
"""Words to their sub-vectors ``(W, D)``."""
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


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Decomposition:
    """What Algorithm 1 found.

    Attributes:
        words: Accepted words, in the order of acceptance; those that it started with come first.
        vectors: ``(K, D)`` their sub-vectors.
        n_examined: Different candidate words whose sub-vector was looked at.
        converged: Per embedding, whether the stop rule held when its turn was over.
    """

    words: tuple[str, ...]
    vectors: Array
    n_examined: int
    converged: tuple[bool, ...]


def algorithm1(
    embeddings: ArrayLike,
    candidates: Sequence[Sequence[str]],
    vectors_of: VectorsOf,
    *,
    eps_orth: float,
    eps_dec: float,
    rule: CoefficientRule = "least-squares",
    order: CandidateOrder = "given",
    start: tuple[Sequence[str], ArrayLike] | None = None,
    chunk: int = 8,
) -> Decomposition:
    """The common set of sub-vectors of many embeddings, found one embedding after another.

    Each embedding first tries the sub-vectors found so far; only while its residual exceeds ``eps_dec`` are its candidates gone
    through. One is accepted iff its ``|cos|`` with every accepted sub-vector is at most ``eps_orth``. A word whose sub-vector is
    zero names nothing and is passed over; a word examined for one embedding is not examined again, because the accepted set
    only grows.

    Args:
        embeddings: ``(M, D)``.
        candidates: For each embedding, its words, best first.
        vectors_of: Asked for at most ``chunk`` new words at once (an LLM writes texts for each); with ``order="residual"``
            for all of an embedding's new words.
        eps_orth: Largest ``|cos|`` between two accepted sub-vectors.
        eps_dec: Residual, as a fraction of the embedding's norm, at which an embedding is done.
        rule: How coefficients are computed in the residual.
        order: In which order an embedding's candidates are tried.
        start: Words and sub-vectors ``(K0, D)`` that are accepted beforehand.
        chunk: See ``vectors_of``.

    Raises:
        xpert.errors.WeightsError: A sub-vector is not finite, or the source returned another shape.

    Source: Algorithm 1; ``order="residual"`` and ``rule="least-squares"`` are ours.
    """
    e = np.atleast_2d(np.asarray(embeddings, np.float64))
    search = _Search(
        width=e.shape[1], vectors_of=vectors_of, eps_orth=eps_orth, eps_dec=eps_dec, rule=rule, chunk=chunk
    )
    if start is not None:
        for word, vector in zip(start[0], np.asarray(start[1], np.float64), strict=True):
            search.accept(word, vector)
    converged: list[bool] = []
    for embedding, words in zip(e, candidates, strict=True):
        walk = search.by_residual if order == "residual" else search.as_given
        converged.append(search.done(embedding) or walk(embedding, words))
    return Decomposition(
        words=tuple(search.words),
        vectors=search.vectors().astype(np.float32),
        n_examined=search.n_examined,
        converged=tuple(converged),
    )


@dataclass(slots=True, kw_only=True)
class _Search:
    """The state of one run of Algorithm 1."""

    width: int
    vectors_of: VectorsOf
    eps_orth: float
    eps_dec: float
    rule: CoefficientRule
    chunk: int
    words: list[str] = field(default_factory=list[str])
    n_examined: int = 0
    rows: list[Float64] = field(default_factory=list[Float64])
    units: list[Float64] = field(default_factory=list[Float64])
    known: dict[str, Float64] = field(default_factory=dict[str, Float64])
    examined: set[str] = field(default_factory=set[str])

    def vectors(self) -> Float64:
        return np.stack(self.rows) if self.rows else np.zeros((0, self.width))

    def accept(self, word: str, vector: Float64) -> None:
        self.words.append(word)
        self.examined.add(word)
        self.rows.append(vector)
        self.units.append(vector / max(float(np.linalg.norm(vector)), _NOTHING))

    def done(self, embedding: Float64) -> bool:
        return relative_residual(self.vectors(), embedding, self.rule) <= self.eps_dec

    def as_given(self, embedding: Float64, candidates: Sequence[str]) -> bool:
        """Try the words in their order, a chunk of sub-vectors at a time; whether the stop rule was met."""
        new = [word for word in dict.fromkeys(candidates) if word not in self.examined]
        for first in range(0, len(new), self.chunk):
            words = new[first : first + self.chunk]
            self._fetch(words)
            for word in words:
                vector = self._examine(word)
                if self._admissible(vector):
                    self.accept(word, vector)
                    if self.done(embedding):
                        return True
        return False

    def by_residual(self, embedding: Float64, candidates: Sequence[str]) -> bool:
        """Try next the admissible word most aligned with the residual; whether the stop rule was met."""
        open_words = [word for word in dict.fromkeys(candidates) if word not in self.examined]
        self._fetch(open_words)
        vectors = {word: self._examine(word) for word in open_words}
        while vectors := {word: v for word, v in vectors.items() if self._admissible(v)}:
            accepted = self.vectors()
            rest = embedding - coefficients(accepted, embedding) @ accepted
            word = max(vectors, key=lambda w: abs(float(vectors[w] @ rest)) / float(np.linalg.norm(vectors[w])))
            self.accept(word, vectors.pop(word))
            if self.done(embedding):
                return True
        return False

    def _fetch(self, words: Sequence[str]) -> None:
        asked = [word for word in words if word not in self.known]
        if not asked:
            return
        rows = np.asarray(self.vectors_of(asked), np.float64)
        if rows.shape != (len(asked), self.width):
            raise WeightsError(f"sub-vectors: expected shape {(len(asked), self.width)}, got {rows.shape}")
        if not np.isfinite(rows).all():
            bad = next(word for word, row in zip(asked, rows, strict=True) if not np.isfinite(row).all())
            raise WeightsError(f"the sub-vector of {bad!r} is not finite: check the summarizer's weights")
        self.known.update(zip(asked, rows, strict=True))

    def _examine(self, word: str) -> Float64:
        self.examined.add(word)
        self.n_examined += 1
        return self.known[word]

    def _admissible(self, vector: Float64) -> bool:
        norm = float(np.linalg.norm(vector))
        if norm < _NOTHING:
            return False
        if not self.units:
            return True
        return float(np.abs(np.stack(self.units) @ vector).max()) / norm <= self.eps_orth
