"""SubvectorBasis: the common axes of the explainable space, each a word, a measured quantity or an unnamed direction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from xpert.decompose import (
    CHUNK,
    AxesRule,
    CandidateOrder,
    CoefficientRule,
    Decomposition,
    VectorsOf,
    algorithm1,
    coefficients,
    inner_products,
    naming_weights,
    relative_residual,
)
from xpert.errors import SettingsError, WeightsError
from xpert.types import Array, Axis, AxisKind

__all__ = ["FIRST", "SubvectorBasis"]

FIRST = 3
"""Words that stand before all others when the summarizer said them first: as many as one reads at a glance."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SubvectorBasis:
    """Named sub-vectors, and what it means to measure an embedding by them.

    Embeddings given to its methods are centred: the null embedding is already subtracted (`centre` does it).

    Attributes:
        axes: ``K`` axes: word and kind.
        vectors: ``(K, D)`` float32 sub-vectors.
        null: ``(D,)`` float32 null embedding: what the summarizer says about two answers of the base itself.
        coefficients: The rule for coefficients: ``least-squares``, or the paper's ``projection`` (Eq. 2).

    >>> import numpy as np
    >>> basis = SubvectorBasis(
    ...     axes=(Axis(word="friendly"), Axis(word="concise")),
    ...     vectors=np.array([[2, 0, 0], [0, 1, 0]], np.float32),
    ...     null=np.zeros(3, np.float32),
    ... )
    >>> basis.words, basis.project(np.array([1.0, 3.0, 0.0])).tolist()
    (('friendly', 'concise'), [0.5, 3.0])
    """

    axes: tuple[Axis, ...]
    vectors: Array
    null: Array
    coefficients: CoefficientRule = "least-squares"

    def __post_init__(self) -> None:
        """Check shapes and values.

        Raises:
            xpert.errors.SettingsError: Shapes do not fit each other, or the rule is unknown.
            xpert.errors.WeightsError: A value is not finite.
        """
        if self.vectors.shape != (len(self.axes), self.null.shape[0]) or self.null.ndim != 1:
            raise SettingsError(
                f"basis: expected vectors ({len(self.axes)}, D) and null (D,), got {self.vectors.shape} and {self.null.shape}"
            )
        if self.coefficients not in ("least-squares", "projection"):
            raise SettingsError(f"coefficients: expected 'least-squares' or 'projection', got {self.coefficients!r}")
        if not (np.isfinite(self.vectors).all() and np.isfinite(self.null).all()):
            raise WeightsError("basis: a sub-vector or the null embedding is not finite")

    @classmethod
    def empty(cls, null: Array, coefficients: CoefficientRule = "least-squares") -> SubvectorBasis:
        """A basis without axes, for `extend` and `appended`."""
        vectors = np.zeros((0, null.shape[0]), np.float32)
        return cls(axes=(), vectors=vectors, null=null, coefficients=coefficients)

    @property
    def words(self) -> tuple[str, ...]:
        """The ``K`` names of the axes."""
        return tuple(axis.word for axis in self.axes)

    @property
    def width(self) -> int:
        """``D``, the width of the embeddings."""
        return self.null.shape[0]

    @property
    def gram(self) -> Array:
        """``(K, K)`` inner products of the sub-vectors."""
        return self.vectors @ self.vectors.T

    def __len__(self) -> int:
        return len(self.axes)

    def centre(self, embeddings: ArrayLike) -> Array:
        """Embeddings ``(..., D)`` relative to the null embedding."""
        return np.asarray(embeddings, np.float32) - self.null

    def project(self, embeddings: ArrayLike) -> Array:
        """Coordinates ``(K,)`` or ``(..., K)`` of centred embeddings ``(D,)`` or ``(..., D)``.

        Raises:
            xpert.errors.SettingsError: The embeddings are not ``D`` wide.
        """
        return coefficients(self.vectors, self._checked(embeddings), self.coefficients).astype(np.float32)

    def reconstruct(self, coordinates: ArrayLike) -> Array:
        """``sum_i z_i v_i``: embeddings ``(..., D)`` from coordinates ``(..., K)``."""
        return np.asarray(coordinates, np.float32) @ self.vectors

    def residual(self, embedding: ArrayLike) -> float:
        """``|| e - sum_i z_i v_i || / || e ||`` of a centred embedding ``(D,)``: Eq. 3's left side over ``|| e ||``."""
        return relative_residual(self.vectors, self._checked(embedding), self.coefficients)

    def ranked(self, coordinates: Array, said: Sequence[str] = ()) -> tuple[tuple[str, float], ...]:
        """``(word, coefficient)`` over all axes, in their `order`."""
        return tuple((self.axes[i].word, float(coordinates[i])) for i in self.order(coordinates, said))

    def order(self, coordinates: Array, said: Sequence[str] = ()) -> tuple[int, ...]:
        """The places of all axes in the order in which people read them: the words, then the measured, then the unnamed ones.

        First come the first `FIRST` words that the summarizer said of the embedding and that are there (their coefficient is
        positive), the largest coefficient first: it knows which words are true, the coefficients how much
        (``benchmarks/words``). Then the others that it said, in the same way; the rest follows in the order in which it names
        the embedding: by the length ``w_i || v_i ||`` that each adds to its nearest
        sum ``sum_i w_i v_i`` of words of which none is taken away (``w_i >= 0``); words that are not in that sum follow by
        their cosine with the embedding. Measured and unnamed axes: the largest contribution ``|z_i| || v_i ||`` first.
        Coordinates that are not finite have no sum; their words stand as they come.

        Args:
            coordinates: ``(K,)``.
            said: Words that the summarizer gave for the embedding, the surest first; none: not known.
        """
        kinds: tuple[AxisKind, ...] = ("word", "measured", "unnamed")
        lengths, words = np.linalg.norm(self.vectors, axis=1), self.where(["word"])
        size = np.abs(np.asarray(coordinates, np.float64)) * lengths
        inner = inner_products(self.vectors, coordinates, self.coefficients)
        if np.isfinite(inner).all():
            size[words] = naming_weights(self.vectors[words], inner[words]) * lengths[words]
        aligned = inner / np.where(lengths > 0, lengths, 1.0)
        place = {self.axes[i].word: i for i in words if coordinates[i] > 0}
        there = [place[word] for word in dict.fromkeys(said) if word in place]
        rank = dict.fromkeys(there, 1) | dict.fromkeys(there[:FIRST], 0)
        first = {i: float(coordinates[i]) for i in there}

        def key(i: int) -> tuple[float, ...]:
            place = (kinds.index(self.axes[i].kind), rank.get(i, 2), -first.get(i, 0.0))
            return (*place, -float(size[i]), -float(aligned[i]), i)

        return tuple(sorted(range(len(self.axes)), key=key))

    def where(self, kinds: Sequence[AxisKind]) -> list[int]:
        """Positions of the axes of these kinds."""
        return [i for i, axis in enumerate(self.axes) if axis.kind in kinds]

    def subset(self, kinds: Sequence[AxisKind]) -> SubvectorBasis:
        """The basis of the axes of these kinds, in their order."""
        keep = self.where(kinds)
        return replace(self, axes=tuple(self.axes[i] for i in keep), vectors=self.vectors[keep])

    def appended(self, axes: Sequence[Axis], vectors: ArrayLike) -> SubvectorBasis:
        """This basis with further axes and their ``(N, D)`` vectors at its end."""
        rows = np.asarray(vectors, np.float32).reshape(len(axes), self.width)
        return replace(self, axes=(*self.axes, *axes), vectors=np.concatenate([self.vectors, rows]))

    def extend(
        self,
        embeddings: ArrayLike,
        candidates: Sequence[Sequence[str]],
        vectors_of: VectorsOf,
        *,
        eps_orth: float,
        eps_dec: float,
        order: CandidateOrder = "given",
        axes: AxesRule = "found",
        chunk: int = CHUNK,
    ) -> tuple[SubvectorBasis, Decomposition]:
        """This basis with the word axes that further embeddings need, found by `xpert.decompose.algorithm1`.

        Args:
            embeddings: ``(M, D)`` centred embeddings.
            candidates: For each, its candidate words, best first.
            vectors_of: Words to sub-vectors ``(W, D)``.
            eps_orth: Largest ``|cos|`` of two word axes.
            eps_dec: Residual, as a fraction of the norm, at which an embedding is done.
            order: ``given``, or re-ranked by the ``residual``.
            axes: As ``found``, or ``orthogonalised``; a basis is extended by the rule that it was made with.
            chunk: Words that the source is asked for at once.

        Returns:
            The larger basis, and what the algorithm reports.

        Raises:
            xpert.errors.SettingsError: The basis has axes that are not words, or a threshold is out of range.
        """
        if any(axis.kind != "word" for axis in self.axes):
            raise SettingsError("extend: only word axes can be extended; take basis.subset(['word'])")
        check_thresholds(eps_orth, eps_dec)
        found = algorithm1(
            embeddings,
            candidates,
            vectors_of,
            eps_orth=eps_orth,
            eps_dec=eps_dec,
            rule=self.coefficients,
            order=order,
            axes=axes,
            start=(self.words, self.vectors),
            chunk=chunk,
        )
        named = tuple(Axis(word=word) for word in found.words)
        return replace(self, axes=named, vectors=found.vectors), found

    def _checked(self, embeddings: ArrayLike) -> Array:
        rows = np.asarray(embeddings, np.float32)
        if rows.shape[-1:] != (self.width,):
            raise SettingsError(f"embeddings: expected width {self.width}, got shape {rows.shape}")
        return rows


def check_thresholds(eps_orth: float, eps_dec: float) -> None:
    """Both thresholds must lie in (0, 1].

    Raises:
        xpert.errors.SettingsError: One does not.
    """
    for name, value in (("eps_orth", eps_orth), ("eps_dec", eps_dec)):
        if not 0 < value <= 1:
            raise SettingsError(f"{name}: expected a number above 0 and at most 1, got {value!r}")
