"""Algorithm 1: a common set of sub-vectors for many embeddings, found one embedding after another.

Source: Wang et al. 2025 (arXiv 2504.13938), section 4, Eq. 2-3 and Algorithm 1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xpert.decompose.coefficients import CoefficientRule, orthogonalised
from xpert.decompose.elimination import NOTHING, Elimination, Place
from xpert.errors import WeightsError
from xpert.types import Array

__all__ = ["CHUNK", "AxesRule", "CandidateOrder", "Decomposition", "VectorsOf", "algorithm1"]

CandidateOrder: TypeAlias = Literal["given", "residual"]
"""``given``: the summarizer's order, as in the paper. ``residual``: the admissible word next that covers most of what is left."""
AxesRule: TypeAlias = Literal["found", "orthogonalised"]
"""``found``: axes are the accepted sub-vectors, as in the paper. ``orthogonalised``: each is made orthogonal to those before it."""
VectorsOf: TypeAlias = Callable[[Sequence[str]], Array]
"""Words to their sub-vectors ``(W, D)``."""

CHUNK = 8
"""Words that a source is asked for at once where it does not say that more is cheap."""
_PANEL = 64
"""Accepted words after which all rows get their columns."""
_TRIED = (8, 128)
"""Words tried together: at first, and at most."""
_ROUNDING = 1e-12
"""A cosine may exceed the threshold by so much: two equal vectors have cosine 1 up to rounding."""
_NO_RESIDUAL = 1e-14
"""A squared residual below this share of the embedding's square cannot be told from none."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Decomposition:
    """What Algorithm 1 found.

    Attributes:
        words: Accepted words, in the order of acceptance; those that it started with come first.
        vectors: ``(K, D)`` their axes.
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
    axes: AxesRule = "found",
    start: tuple[Sequence[str], ArrayLike] | None = None,
    chunk: int = CHUNK,
) -> Decomposition:
    """The common set of sub-vectors of many embeddings, found one embedding after another.

    Each embedding first tries the sub-vectors found so far; only while its residual exceeds ``eps_dec`` are its candidates gone
    through. One is accepted iff its ``|cos|`` with every accepted axis is at most ``eps_orth``. A word whose sub-vector is
    zero names nothing and is passed over; a word examined for one embedding is not examined again, because the accepted set
    only grows.

    The work is done in large matrix products (see `xpert.decompose.elimination`), in float64. The words are those of a plain
    loop; a cosine may exceed ``eps_orth`` by 1e-12, residuals are exact to 1e-7 of the embedding's norm, and a smaller residual counts as none.

    Args:
        embeddings: ``(M, D)``.
        candidates: For each embedding, its words, best first.
        vectors_of: Asked for at most ``chunk`` new words at once (an LLM writes texts for each); with ``order="residual"``
            for all of an embedding's new words.
        eps_orth: Largest ``|cos|`` between two accepted axes.
        eps_dec: Residual, as a fraction of the embedding's norm, at which an embedding is done.
        rule: How coefficients are computed in the residual.
        order: In which order an embedding's candidates are tried.
        axes: ``orthogonalised``: a word is compared with the orthogonal axes, one of which nothing new is left is passed over, and
            both rules for coefficients are the same.
        start: Words and axes ``(K0, D)`` that are accepted beforehand (orthogonal ones, where ``axes`` says so).
        chunk: See ``vectors_of``; large where sub-vectors are cheap.

    Raises:
        xpert.errors.WeightsError: A sub-vector is not finite, or the source returned another shape.

    Source: Algorithm 1; ``order="residual"``, ``rule="least-squares"`` and ``axes="orthogonalised"`` are ours.
    """
    orthogonal = axes == "orthogonalised"
    search = _Search(
        state=Elimination(
            embeddings=np.atleast_2d(np.asarray(embeddings, np.float64)),
            rule="least-squares" if orthogonal else rule,
            orthogonal=orthogonal,
        ),
        vectors_of=vectors_of,
        eps_orth=eps_orth + _ROUNDING,
        eps_dec=eps_dec,
        chunk=chunk,
    )
    if start is not None and len(start[0]):
        search.begin(start[0], np.asarray(start[1]))
    walk = search.by_residual if order == "residual" else search.as_given
    converged = [search.turn(m, words, walk) for m, words in zip(range(search.n_embeddings), candidates, strict=True)]
    accepted = search.state.accepted
    vectors = search.state.vectors[accepted]
    return Decomposition(
        words=tuple(search.words[i] for i in accepted),
        vectors=(orthogonalised(vectors) if orthogonal and len(vectors) else vectors).astype(np.float32),
        n_examined=search.n_examined,
        converged=tuple(converged),
    )


@dataclass(slots=True, kw_only=True, eq=False)
class _Search:
    """One run: which words are known, examined, accepted. Words are numbered as they become known."""

    state: Elimination
    vectors_of: VectorsOf
    eps_orth: float
    eps_dec: float
    chunk: int
    n_examined: int = 0
    words: list[str] = field(default_factory=list[str])
    numbers: dict[str, int] = field(default_factory=dict[str, int])
    examined: set[str] = field(default_factory=set[str])
    settled: bool = True

    @property
    def n_embeddings(self) -> int:
        return len(self.state.embeddings)

    def begin(self, words: Sequence[str], vectors: NDArray[np.floating]) -> None:
        """Accept words without a question."""
        numbers = self._know(words, vectors)
        self.examined.update(words)
        nowhere = Place(
            embedding=np.zeros(self.state.embeddings.shape[1]), columns=np.zeros(0), weights=np.zeros(0), left=0.0
        )
        block = self.state.block(nowhere, numbers, np.inf)
        for j in range(len(words)):
            block.take(j, even_empty=True)
        self.state.accept(block)
        self.state.close(slice(0, None), np.zeros(0, np.intp))

    def turn(self, m: int, candidates: Sequence[str], walk: Callable[[int, list[str]], bool]) -> bool:
        """One embedding's turn; whether the stop rule was met."""
        if self.settled or len(self.state.panel) >= _PANEL:
            self._close(m)
        n_before = len(self.state.accepted)
        met = self._met(m, self.state.place(m).left)
        if not met:
            new = [word for word in dict.fromkeys(candidates) if word not in self.examined]
            met = walk(m, new)
        self.settled = len(self.state.accepted) == n_before
        return met

    def as_given(self, m: int, new: list[str]) -> bool:
        """Try the words in their order, a chunk of sub-vectors at a time; whether the stop rule was met."""
        size, most = _TRIED
        for first in range(0, len(new), self.chunk):
            words = new[first : first + self.chunk]
            numbers, at = self._fetch(words), 0
            while at < len(words):
                if self._try(m, numbers[at : at + size], words[at : at + size]):
                    return True
                at, size = at + size, min(2 * size, most)
        return False

    def by_residual(self, m: int, new: list[str]) -> bool:
        """Try next the admissible word most aligned with the residual; whether the stop rule was met."""
        numbers = self._fetch(new)
        self._examine(new)
        block = self.state.block(self.state.place(m), numbers, self.eps_orth)
        met = False
        while not met and block.alive.any():
            met = block.take(block.best()) and self._met(m, block.left)
        self.state.accept(block)
        return met

    def _try(self, m: int, numbers: NDArray[np.intp], words: list[str]) -> bool:
        block, met = self.state.block(self.state.place(m), numbers, self.eps_orth), False
        while not met and block.alive.any():
            met = block.take(block.first()) and self._met(m, block.left)
        self.state.accept(block)
        looked_at = numbers.tolist().index(self.state.accepted[-1]) + 1 if met else len(words)
        self._examine(words[:looked_at])
        if len(self.state.panel) >= _PANEL:
            self._close(m)
        return met

    def _met(self, m: int, left: float) -> bool:
        square = self.state.squares[m]
        return bool(square < NOTHING**2 or left <= max(self.eps_dec**2, _NO_RESIDUAL) * square)

    def _close(self, m: int) -> None:
        """Give the panel's columns to whoever may still need them."""
        state = self.state
        fresh = [i for i in np.flatnonzero(state.cosines <= self.eps_orth) if self.words[i] not in self.examined]
        state.close(slice(m, None), np.array(fresh, np.intp))

    def _examine(self, words: Sequence[str]) -> None:
        self.examined.update(words)
        self.n_examined += len(words)

    def _fetch(self, words: Sequence[str]) -> NDArray[np.intp]:
        """Numbers of words; the source is asked for those that are not known."""
        asked = [word for word in words if word not in self.numbers]
        if asked:
            self._know(asked, np.asarray(self.vectors_of(asked)))
        return np.array([self.numbers[word] for word in words], np.intp)

    def _know(self, words: Sequence[str], rows: NDArray[np.floating]) -> NDArray[np.intp]:
        expected = (len(words), self.state.embeddings.shape[1])
        if rows.shape != expected:
            raise WeightsError(f"sub-vectors: expected shape {expected}, got {rows.shape}")
        if not np.isfinite(rows).all():
            bad = next(word for word, row in zip(words, rows, strict=True) if not np.isfinite(row).all())
            raise WeightsError(f"the sub-vector of {bad!r} is not finite: check the summarizer's weights")
        numbers = self.state.add(rows)
        self.words.extend(words)
        self.numbers.update(zip(words, numbers.tolist(), strict=True))
        return numbers
