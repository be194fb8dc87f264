"""The matrix products of Algorithm 1: embeddings and candidate words against the accepted words, a panel of words at a time.

Nothing here is D wide beside the rows themselves. A row (an embedding or a word) is known by its *columns*: one number for each
accepted word. By least squares the column is the inner product with the word's own new direction (a Cholesky factor, one
column an accepted word); by projection it is the inner product with the word's sub-vector. Columns of all rows are computed
together, once a panel of words has been accepted, so that the work is in large matrix products; for the few rows that are
looked at before, the open panel's columns are computed apart. Products over the width are taken in the type of the
embeddings (float64, or float32 for speed), all that follows in float64.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from xpert.decompose.coefficients import CoefficientRule

__all__ = ["NOTHING", "Block", "Elimination", "ImpreciseError", "Place"]

Float64: TypeAlias = NDArray[np.float64]
Rows: TypeAlias = NDArray[np.floating[Any]]
Indices: TypeAlias = NDArray[np.intp]

NOTHING = 1e-8
"""A norm below this is that of a zero vector."""
_DEPENDENT = 1e-12
"""A word whose new part has less than this share of its squared norm adds no direction."""
_DOUBTFUL = 1e-3
"""Below this share, products in float32 do not tell how long the new part is."""
_EQUAL = 1e-9
"""Alignments that differ by less than this share of the largest are equal."""
_FOLD = 32
"""Words accepted in a block before their columns are taken out of its inner products."""


class ImpreciseError(ArithmeticError):
    """Accepted words are too nearly dependent for products in float32."""


@dataclass(slots=True, kw_only=True)
class Place:
    """Where one embedding stands: its columns, the weights of the accepted words, and its squared residual."""

    embedding: Rows
    columns: Float64
    weights: Float64
    left: float


@dataclass(slots=True, kw_only=True, eq=False)
class Elimination:
    """Rows and their columns.

    Attributes:
        embeddings: ``(M, D)`` float64, or float32 for products in float32.
        rule: How coefficients are computed.
        orthogonal: Whether axes are made orthogonal: then a word is compared with the new parts of the accepted ones.
        vectors: ``(W, D)`` of the known words; rows behind ``n_words`` are room to grow.
        cosines: ``(W,)`` largest ``|cos|`` with the accepted words, up to the open panel; infinite for a zero vector.
        accepted: Accepted words. The last ``len(panel)`` of them are in the open panel.
        panel: ``(B, B)`` columns of the panel's words over the panel.
        squares: ``(M,)`` squared norms of the embeddings.
        left: ``(M,)`` their squared residuals, up to the open panel.
    """

    embeddings: Rows
    rule: CoefficientRule
    orthogonal: bool
    n_words: int = 0
    accepted: list[int] = field(default_factory=list[int])
    vectors: Rows = field(init=False)
    norms: Float64 = field(init=False)
    cosines: Float64 = field(init=False)
    panel: Float64 = field(init=False)
    squares: Float64 = field(init=False)
    left: Float64 = field(init=False)
    _words: Float64 = field(init=False)
    _embedded: Float64 = field(init=False)

    def __post_init__(self) -> None:
        m, d = self.embeddings.shape
        self.vectors, self.panel = np.zeros((0, d), self.embeddings.dtype), np.zeros((0, 0))
        self.norms, self.cosines = np.zeros(0), np.zeros(0)
        self.squares = _squares(self.embeddings)
        self.left = self.squares.copy()
        self._words, self._embedded = np.zeros((0, 0)), np.zeros((m, 0))

    @property
    def n_closed(self) -> int:
        """Accepted words whose columns all rows have."""
        return len(self.accepted) - len(self.panel)

    @property
    def open_words(self) -> list[int]:
        """The words of the open panel."""
        return self.accepted[self.n_closed :]

    def add(self, rows: NDArray[Any]) -> Indices:
        """Words ``(N, D)`` become known; their numbers."""
        first, last, n = self.n_words, self.n_words + len(rows), self.n_closed
        self.vectors = _room(self.vectors, last, rows.shape[1])
        self._words = _room(self._words, last, n)
        self.vectors[first:last] = rows
        norms = np.sqrt(_squares(self.vectors[first:last]))
        cosines, closed = np.zeros(len(rows)), self.accepted[:n]
        if closed:
            inner = _inner(self.vectors[first:last], self.vectors[closed])
            least = self.rule == "least-squares"
            columns = _solved(inner, self._words[closed, :n]) if least else inner
            self._words[first:last, :n] = columns
            cosines = self._cosines(inner, columns, closed, norms)
        cosines[norms < NOTHING] = np.inf
        self.norms, self.cosines = np.append(self.norms, norms), np.append(self.cosines, cosines)
        self.n_words = last
        return np.arange(first, last)

    def close(self, embeddings: slice, words: Indices) -> None:
        """Close the panel: these embeddings and words get its columns, the embeddings their new residual."""
        n, opened = self.n_closed, self.open_words
        if not opened:
            return
        last = len(self.accepted)
        self._words = _room(self._words, self.n_words, last)
        self._embedded = _room(self._embedded, len(self.embeddings), last)
        _, columns = self._columns(self.embeddings[embeddings], self._embedded[embeddings, :n])
        self._embedded[embeddings, n:last] = columns
        weights = self._weights(self._embedded[embeddings, :last])
        self.left[embeddings] += self._change(weights, columns)
        rows = _together(words)
        inner, columns = self._columns(self.vectors[rows], self._words[rows, :n])
        self._words[rows, n:last] = columns
        seen = self._cosines(inner, columns, opened, self.norms[words])
        self.cosines[words] = np.maximum(self.cosines[words], seen)
        self._words[opened, n:last] = self.panel
        self.panel = np.zeros((0, 0))

    def place(self, m: int) -> Place:
        """An embedding against all accepted words, those of the open panel included."""
        n, embedding = self.n_closed, self.embeddings[m]
        closed = self._embedded[m, :n]
        _, opened = self._columns(embedding[None], closed[None])
        columns = np.concatenate([closed, opened[0]])
        weights = self._weights(columns[None])
        left = float(self.left[m] + self._change(weights, opened)[0])
        return Place(embedding=embedding, columns=columns, weights=weights[0], left=left)

    def block(self, place: Place, words: Indices, eps_orth: float) -> Block:
        """What is needed to accept some of these words one after another."""
        rows, n = _together(words), self.n_closed
        inner, opened = self._columns(self.vectors[rows], self._words[rows, :n])
        seen = np.maximum(self.cosines[words], self._cosines(inner, opened, self.open_words, self.norms[words]))
        keep = seen <= eps_orth
        words, opened = words[keep], opened[keep]
        rows = _together(words)
        vectors, columns = self.vectors[rows], np.concatenate([self._words[rows, :n], opened], axis=1)
        gram, toward = _inner(vectors, vectors), _inner(vectors, place.embedding[None])[:, 0]
        np.fill_diagonal(gram, self.norms[words] ** 2)
        return Block(
            words=words,
            norms=self.norms[words],
            gram=gram,
            rest=gram - columns @ columns.T if self.rule == "least-squares" else gram,
            opened=opened,
            toward=toward,
            aligned=toward - columns @ place.weights,
            left=place.left,
            rule=self.rule,
            orthogonal=self.orthogonal,
            eps_orth=eps_orth,
            doubtful=_DOUBTFUL if self.embeddings.dtype == np.float32 else 0.0,
        )

    def accept(self, block: Block) -> None:
        """The words taken in a block join the open panel."""
        before, total = len(self.panel), len(self.panel) + len(block.taken)
        panel = np.zeros((total, total))
        panel[:before, :before] = self.panel
        panel[before:, :before] = block.opened[block.taken]
        panel[before:, before:] = np.tril(block.own[block.taken, : len(block.taken)])
        self.panel = panel
        self.accepted.extend(block.words[block.taken].tolist())

    def _columns(self, rows: Rows, closed: Float64) -> tuple[Float64, Float64]:
        """Inner products of rows ``(N, D)`` with the open panel, and their columns ``(N, B)``."""
        opened = self.open_words
        inner = _inner(rows, self.vectors[_together(np.array(opened, np.intp))])
        if self.rule == "projection" or not opened:
            return inner, inner
        before = self._words[opened, : self.n_closed]
        return inner, _solved(inner - closed @ before.T, self.panel)

    def _weights(self, columns: Float64) -> Float64:
        """Weights ``(N, K)`` of the accepted words' directions (least squares) or sub-vectors (projection)."""
        if self.rule == "least-squares":
            return columns
        squares = self.norms[self.accepted] ** 2
        return columns / np.where(squares > 0, squares, 1.0)

    def _change(self, weights: Float64, opened: Float64) -> Float64:
        """``(N,)`` by how much the open panel changes the squared residual."""
        n = self.n_closed
        new = weights[:, n:]
        if self.rule == "least-squares":
            return -np.einsum("nb,nb->n", new, new)
        lower = np.tril(self.panel)
        gram = lower + np.tril(lower, -1).T
        along = opened - weights[:, :n] @ self._words[self.open_words, :n].T
        return np.einsum("nb,nb->n", new @ gram - 2 * along, new)

    def _cosines(self, inner: Float64, columns: Float64, words: Sequence[int], norms: Float64) -> Float64:
        """``(N,)`` largest ``|cos|`` of rows with these accepted words."""
        if not len(words):
            return np.zeros(len(inner))
        length = np.maximum(norms, NOTHING)
        if self.orthogonal:
            return np.abs(columns).max(axis=1) / length
        return (np.abs(inner) / np.maximum(self.norms[list(words)], NOTHING)).max(axis=1) / length


@dataclass(slots=True, kw_only=True, eq=False)
class Block:
    """Candidate words that are tried one after another for one embedding, without looking at vectors again.

    Attributes:
        words: ``N`` words, none of which breaks the orthogonality rule with what was accepted before.
        norms: ``(N,)`` of their sub-vectors.
        gram: ``(N, N)`` inner products.
        rest: Least squares: the same of what the accepted words leave of them, up to the last folding.
        opened: ``(N, B)`` columns over the open panel.
        toward: ``(N,)`` inner products with the embedding.
        aligned: ``(N,)`` inner products with its residual.
        left: Its squared residual.
        taken: Positions of the words accepted here.
        own: ``(N, ...)`` columns over the words accepted here.
        alive: ``(N,)`` which words may still be accepted.
        doubtful: Share of a word's squared norm below which its new part is not known; 0 where products are exact.
    """

    words: Indices
    norms: Float64
    gram: Float64
    rest: Float64
    opened: Float64
    toward: Float64
    aligned: Float64
    left: float
    rule: CoefficientRule
    orthogonal: bool
    eps_orth: float
    doubtful: float
    taken: list[int] = field(default_factory=list[int])
    own: Float64 = field(init=False)
    alive: NDArray[np.bool_] = field(init=False)
    _folded: int = 0

    def __post_init__(self) -> None:
        self.alive = np.ones(len(self.words), bool)
        self.own = np.zeros((len(self.words), min(_FOLD, len(self.words))))

    def first(self) -> int:
        """The first word that may still be accepted."""
        return int(self.alive.argmax())

    def best(self) -> int:
        """The word that may still be accepted and is most aligned with the residual; the first of equals."""
        aligned = np.where(self.alive, np.abs(self.aligned) / self.norms, -1.0)
        return int((aligned >= aligned.max() * (1 - _EQUAL)).argmax())

    def take(self, j: int, *, even_empty: bool = False) -> bool:
        """Accept a word; False where orthogonalised axes leave nothing of it (and ``even_empty`` is not asked for)."""
        self.alive[j] = False
        column = self._column(j)
        if self.orthogonal and column[j] == 0 and not even_empty:
            return False
        if self.rule == "least-squares":
            weight = self.aligned[j] / column[j] if column[j] > 0 else 0.0
            self.left -= float(weight**2)
        else:
            square = float(self.gram[j, j])
            weight = self.toward[j] / square if square > 0 else 0.0
            self.left += float(weight**2 * square - 2 * weight * self.aligned[j])
        self.aligned = self.aligned - column * weight
        against = np.abs(column) if self.orthogonal else np.abs(self.gram[:, j]) / max(float(self.norms[j]), NOTHING)
        self.alive &= against <= self.eps_orth * self.norms
        self._remember(j, column)
        return True

    def _column(self, j: int) -> Float64:
        """``(N,)`` the words' columns over word ``j``; zeros where it adds no direction.

        Raises:
            ImpreciseError: Products in float32 do not tell whether it does.
        """
        if self.rule == "projection":
            return self.gram[:, j]
        recent = self.own[:, self._folded : len(self.taken)]
        inner = self.rest[:, j] - np.einsum("nk,k->n", recent, recent[j])  # BLAS would wake its threads for each word
        share = float(inner[j]) / max(float(self.norms[j]) ** 2, NOTHING**2)
        if self.doubtful and share < self.doubtful:
            raise ImpreciseError
        if share <= _DEPENDENT:
            return np.zeros(len(inner))
        return inner / np.sqrt(inner[j])

    def _remember(self, j: int, column: Float64) -> None:
        k = len(self.taken)
        self.own = _room(self.own, len(self.words), k + 1)
        self.own[:, k] = column
        self.taken.append(j)
        if self.rule == "least-squares" and k + 1 - self._folded == _FOLD and self.alive.any():
            recent = self.own[:, self._folded : k + 1]
            self.rest = self.rest - recent @ recent.T
            self._folded = k + 1


def _solved(inner: Float64, factor: Float64) -> Float64:
    """Columns ``(N, B)`` from inner products by forward substitution in blocks; zeros for words that add no direction.

    In NumPy alone: SciPy's BLAS has threads of its own, and the two would wait for each other.
    """
    empty = np.diag(factor) == 0
    if empty.any():
        factor = factor + np.diag(empty.astype(np.float64))
    solved = np.empty_like(inner)
    for first in range(0, len(factor), _FOLD):
        part = slice(first, first + _FOLD)
        rest = inner[:, part] - solved[:, :first] @ factor[part, :first].T
        np.matmul(rest, np.linalg.inv(factor[part, part]).T, out=solved[:, part])
    solved[:, empty] = 0
    return solved


def _together(words: Indices) -> Indices | slice:
    """The same numbers as a slice, which copies nothing, where they follow each other."""
    if len(words) and words[-1] - words[0] == len(words) - 1 and (np.diff(words) == 1).all():
        return slice(int(words[0]), int(words[-1]) + 1)
    return words


def _inner(rows: Rows, others: Rows) -> Float64:
    """Inner products ``(N, B)``, taken in the rows' type."""
    return (rows @ others.T).astype(np.float64, copy=False)


def _squares(rows: Rows) -> Float64:
    """``(N,)`` squared norms in float64, a few rows at a time."""
    parts = [rows[i : i + 256].astype(np.float64, copy=False) for i in range(0, len(rows), 256)]
    return np.concatenate([np.zeros(0), *(np.einsum("nd,nd->n", part, part) for part in parts)])


def _room(array: Rows, rows: int, columns: int) -> Any:
    """The array, or a copy with room for so many rows and columns and as many again."""
    if array.shape[0] >= rows and array.shape[1] >= columns:
        return array
    shape = [old if old >= new else max(new, 2 * old) for old, new in zip(array.shape, (rows, columns), strict=True)]
    larger = np.zeros(shape, array.dtype)
    larger[: array.shape[0], : array.shape[1]] = array
    return larger
