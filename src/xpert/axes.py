"""The steps between embeddings and a basis: word axes, measured axes, unnamed axes, and how well they fit each model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xpert.basis import SubvectorBasis
from xpert.catalog_pairs import PairRows
from xpert.decompose import CHUNK, CandidateOrder, Decomposition, relative_residual, residual_directions, span_norm
from xpert.embedding import measured_scale, scaled
from xpert.measured import ALL_MEASURED
from xpert.protocols import SubvectorContext, SubvectorSource
from xpert.provenance import Fit
from xpert.space import AXES, METRICS, kinds_of, match_threshold
from xpert.types import Array, Axis

__all__ = [
    "Embedded",
    "anchored",
    "blocks",
    "embedded",
    "fit",
    "thresholds",
    "with_measured_axes",
    "with_unnamed_axes",
    "word_axes",
]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Embedded:
    """The models in the embedding space, before it has axes.

    Attributes:
        pairs: Per model ``(P, D)``, one row a pair, the measured block unscaled; read from disk a model at a time.
        means: ``(M, D)`` the models' embeddings.
        null: ``(D,)`` the null embedding; zeros behind the summarizer's width.
        width: The summarizer's width. The measured quantities follow.
        scale: The factor on them.
    """

    pairs: PairRows
    means: Array
    null: Array
    width: int
    scale: float

    def rows(self) -> Iterator[Array]:
        """Per model the rows ``(P, D)`` in the space, measured quantities scaled."""
        return (scaled(rows, self.width, self.scale) for rows in self.pairs)


def embedded(pairs: PairRows, null: Array, *, weight: float) -> Embedded:
    """The models' means, measured quantities scaled to ``weight`` (see `xpert.embedding.measured_scale`).

    Args:
        pairs: ``(M, P, D)``.
        null: ``(width,)``.
        weight: Of the measured quantities beside the summarizer.
    """
    width = len(null)
    scale = measured_scale(*blocks(pairs, width), weight)
    means = [scaled(rows, width, scale).mean(axis=0, dtype=np.float64) for rows in pairs]
    return Embedded(
        pairs=pairs,
        means=np.stack(means).astype(np.float32),
        null=np.pad(null, (0, pairs.shape[2] - width)),
        width=width,
        scale=scale,
    )


def blocks(pairs: PairRows, width: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The models' mean hidden states ``(M, width)`` and mean measured quantities, unscaled ``(M, F)``."""
    means = np.stack([rows.mean(axis=0, dtype=np.float64) for rows in pairs])
    return means[:, :width], means[:, width:]


def word_axes(
    embeddings: Array,
    candidates: Sequence[Sequence[str]],
    basis: SubvectorBasis,
    source: SubvectorSource,
    context: SubvectorContext,
    *,
    eps_orth: float,
    eps_dec: float,
    order: CandidateOrder,
) -> tuple[SubvectorBasis, Decomposition]:
    """A basis of words, and the further words that Algorithm 1 finds for embeddings, in the summarizer's part of the space.

    Args:
        embeddings: ``(M, D)``.
        candidates: For each, its words, best first.
        basis: Words that are there already, or none.
        source: Words to sub-vectors.
        context: What the source works with; its null tells the summarizer's width.
        eps_orth: Largest ``|cos|`` of two word axes.
        eps_dec: Residual at which an embedding is done.
        order: In which order candidates are tried.

    Names of measured and unnamed axes are passed over: an axis is known by its word.
    """
    reserved = {*ALL_MEASURED, *(f"unnamed-{i}" for i in range(1, 1000))}
    candidates = [[word for word in words if word not in reserved] for words in candidates]
    width = len(context.null)
    padding = embeddings.shape[1] - width
    hidden = embeddings.copy()
    hidden[:, width:] = 0

    def vectors_of(words: Sequence[str]) -> Array:
        rows = np.asarray(source.vectors(words, context), np.float32)
        return np.pad(rows, ((0, 0), (0, padding)))

    chunk = getattr(source, "chunk", CHUNK)
    return basis.extend(hidden, candidates, vectors_of, eps_orth=eps_orth, eps_dec=eps_dec, order=order, chunk=chunk)


def anchored(
    basis: SubvectorBasis, anchors: Sequence[str], source: SubvectorSource, context: SubvectorContext
) -> SubvectorBasis:
    """A basis that begins with words whatever the angles between them, as a source with ``anchors`` asks for; others must be near orthogonal."""
    new = [word for word in anchors if word not in basis.words]
    if not new:
        return basis
    rows = np.asarray(source.vectors(new, context), np.float32)
    return basis.appended(
        [Axis(word=word) for word in new], np.pad(rows, ((0, 0), (0, basis.width - len(context.null))))
    )


def with_measured_axes(basis: SubvectorBasis, models: Embedded, names: Sequence[str]) -> SubvectorBasis:
    """The basis with an axis a measured quantity; its coefficient is the quantity's mean over the pairs, unscaled."""
    vectors = np.eye(len(names), basis.width, k=models.width) * models.scale
    return basis.appended([Axis(word=name, kind="measured") for name in names], vectors)


def with_unnamed_axes(basis: SubvectorBasis, models: Embedded, *, most: int) -> SubvectorBasis:
    """The basis with directions for what its axes leave of the models, as long as the median word axis."""
    directions = residual_directions(basis.vectors, models.means, most=most)
    words = basis.subset(["word"]).vectors
    length = float(np.median(np.linalg.norm(words, axis=1))) if len(words) else 1.0
    axes = [Axis(word=f"unnamed-{i}", kind="unnamed") for i in range(1, len(directions) + 1)]
    return basis.appended(axes, directions * length)


def fit(basis: SubvectorBasis, embedding: Array, *, width: int, eps_dec: float) -> Fit:
    """How well the axes cover an embedding ``(D,)``: shares of the whole, residual of the summarizer's part (Eq. 3)."""
    words = basis.subset(["word"])
    residual = relative_residual(words.vectors[:, :width], embedding[:width], basis.coefficients)
    norm = float(np.linalg.norm(embedding))
    spans = [span_norm(part.vectors, embedding) for part in (words, basis.subset(["word", "measured"]), basis)]
    squares = np.diff([0.0, *(span**2 for span in spans)]).clip(min=0.0)
    named, measured, unnamed = (np.sqrt(squares) / norm).tolist() if norm > 0 else (0.0, 0.0, 0.0)
    return Fit(
        residual=residual,
        named_share=named,
        measured_share=measured,
        unnamed_share=unnamed,
        converged=residual <= eps_dec,
    )


def thresholds(basis: SubvectorBasis, coordinates: Array, rows: Iterable[Array]) -> Mapping[str, float]:
    """``metric:axes`` to the distance up to which a user counts as matching, for every comparison the basis allows.

    Args:
        basis: The basis.
        coordinates: ``(M, K)`` of the models.
        rows: Per model the embeddings ``(P, D)`` of its pairs, whose even and odd halves show the noise.
    """
    halves = [
        (basis.project(row[0::2].mean(axis=0)), basis.project(row[1::2].mean(axis=0) if len(row) > 1 else row[0]))
        for row in rows
    ]
    return {
        f"{metric}:{axes}": match_threshold(basis, coordinates, halves, metric=metric, axes=axes)
        for metric in METRICS
        for axes in AXES
        if basis.where(kinds_of(axes))
    }
