"""Algorithm 1: a common set of sub-vectors for many embeddings, found one embedding after another.

Source: Wang et al. 2025 (arXiv 2504.13938), section 4, Eq. 2-3 and Algorithm 1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xpert.decompose.coefficients import CoefficientRule, orthogonalised
from xpert.decompose.elimination import NOTHING, Elimination, ImpreciseError, Place
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
_PANEL = 256
"""Accepted words after which all rows get their columns."""
_TRIED = (8, 256)
"""Words tried together: at first, and at most."""
_ROUNDING = {"float32": 1e-6, "float64": 1e-12}
"""A cosine may exceed the threshold by so much: two equal vectors have cosine 1 up to rounding."""
_LARGE = 1e10
"""Floating-point operations in products above which they are taken in float32."""
_COARSE = 0.05
"""An ``eps_dec`` from which products in float32 are precise enough: residuals are known to 1e-5."""
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
    products: Literal["auto", "float32", "float64"] = "auto",
) -> Decomposition:
    """The common set of sub-vectors of many embeddings, found one embedding after another.

    Each embedding first tries the sub-vectors found so far; only while its residual exceeds ``eps_dec`` are its candidates gone
    through. One is accepted iff its ``|cos|`` with every accepted axis is at most ``eps_orth``. A word whose sub-vector is
    zero names nothing and is passed over; a word examined for one embedding is not examined again, because the accepted set
    only grows.

    The work is done in large matrix products (see `xpert.decompose.elimination`), and the words are those of a plain loop.
    Precision: decisions are taken in float64 from products in float64; a cosine may exceed ``eps_orth`` by 1e-12, and
    residuals are exact to 1e-7 of the embedding's norm (a smaller one counts as none). Beyond 10 GFLOP and with ``eps_dec`` from
    0.05, products are taken in float32: 1e-6 and 1e-5 then. Words so nearly dependent that this does not hold make the run
    begin again with float64.

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
        products: Number type of the products over the width; ``auto``: as told above.

    Raises:
        xpert.errors.WeightsError: A sub-vector is not finite, or the source returned another shape.

    Source: Algorithm 1; ``order="residual"``, ``rule="least-squares"`` and ``axes="orthogonalised"`` are ours.
    """
    e = np.atleast_2d(np.asarray(embeddings))
    if products == "auto":
        n_words = len(set().union(*candidates))
        large = 2 * n_words * (n_words + len(e)) * e.shape[1] > _LARGE and eps_dec >= _COARSE
        products = "float32" if large else "float64"
    orthogonal, known = axes == "orthogonalised", {}
    for dtype in dict.fromkeys([products, "float64"]):
        state = Elimination(
            embeddings=e.astype(dtype, copy=False),
            rule="least-squares" if orthogonal else rule,
            orthogonal=orthogonal,
        )
        search = _Search(
            state=state,
            vectors_of=vectors_of,
            eps_orth=eps_orth + _ROUNDING[dtype],
            eps_dec=eps_dec,
            chunk=chunk,
            known=known,
        )
        try:
            return search.run(candidates, order, start)
        except ImpreciseError:
            known = search.all_known()
    raise AssertionError("products in float64 are never imprecise")


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
    known: dict[str, NDArray[np.floating[Any]]] = field(default_factory=dict[str, NDArray[np.floating[Any]]])
    settled: bool = True

    def run(
        self, candidates: Sequence[Sequence[str]], order: CandidateOrder, start: tuple[Sequence[str], ArrayLike] | None
    ) -> Decomposition:
        """All embeddings' turns."""
        if start is not None and len(start[0]):
            self.begin(start[0], np.asarray(start[1]))
        walk = self.by_residual if order == "residual" else self.as_given
        converged = [self.turn(m, words, walk) for m, words in zip(range(self.n_embeddings), candidates, strict=True)]
        accepted = self.state.accepted
        vectors = self.state.vectors[accepted]
        if self.state.orthogonal and accepted:
            vectors = orthogonalised(vectors)
        return Decomposition(
            words=tuple(self.words[i] for i in accepted),
            vectors=vectors.astype(np.float32),
            n_examined=self.n_examined,
            converged=tuple(converged),
        )

    def all_known(self) -> dict[str, NDArray[np.floating[Any]]]:
        """The vectors that the source gave, so that it is not asked again."""
        return self.known | {word: self.state.vectors[i] for word, i in self.numbers.items()}

    @property
    def n_embeddings(self) -> int:
        return len(self.state.embeddings)

    def begin(self, words: Sequence[str], vectors: NDArray[np.floating[Any]]) -> None:
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
            new = [] if self.examined.issuperset(candidates) else list(dict.fromkeys(candidates))
            met = walk(m, [word for word in new if word not in self.examined])
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
        if not len(state.panel):
            return
        fresh = [i for i in np.flatnonzero(state.cosines <= self.eps_orth) if self.words[i] not in self.examined]
        state.close(slice(m, None), np.array(fresh, np.intp))

    def _examine(self, words: Sequence[str]) -> None:
        self.examined.update(words)
        self.n_examined += len(words)

    def _fetch(self, words: Sequence[str]) -> NDArray[np.intp]:
        """Numbers of words; the source is asked for those that are not known."""
        asked = [word for word in words if word not in self.numbers]
        old = [word for word in asked if word in self.known]
        new = [word for word in asked if word not in self.known]
        if old:
            self._know(old, np.stack([self.known[word] for word in old]))
        if new:
            self._know(new, np.asarray(self.vectors_of(new)))
        return np.array([self.numbers[word] for word in words], np.intp)

    def _know(self, words: Sequence[str], rows: NDArray[np.floating[Any]]) -> NDArray[np.intp]:
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
