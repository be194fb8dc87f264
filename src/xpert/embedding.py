"""Answer pairs to embeddings of the explainable space: the summarizer's hidden state and the measured quantities.

An embedding is ``[hidden - null (width) ; measured x scale (F)]``, so ``D = width + F``. Server and device use these functions
alike: a user is embedded as a model is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike

from xpert.errors import SummarizerError, WeightsError
from xpert.measured import measure_named
from xpert.protocols import Summarizer
from xpert.summarizers import load_summarizer
from xpert.summarizers.aspects import InstructionLike
from xpert.types import AnswerPair, Array, Candidate, Summary

__all__ = [
    "PairEmbeddings",
    "embed_pairs",
    "joined",
    "measured_scale",
    "null_embedding",
    "open_summarizer",
    "scaled",
    "standard_error",
]

_SMALLEST_MEASURED = 0.1
"""Measured blocks below this RMS (a length ratio of 10%) are not blown up to the summarizer's scale."""


class SummarizesPairs(Protocol):
    """What embedding needs of a `xpert.protocols.Summarizer`."""

    @property
    def name(self) -> str:
        """Provenance."""
        ...

    @property
    def width(self) -> int:
        """``D``."""
        ...

    def summarize(self, pairs: Sequence[AnswerPair], *, n_candidates: int = 0) -> Summary:
        """Rows and words."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PairEmbeddings:
    """What is known of a list of pairs.

    Attributes:
        hidden: ``(P, width)`` the summarizer's rows, null subtracted.
        measured: ``(P, F)`` measured quantities, unscaled; ``F`` may be 0.
        candidates: Words that may name the difference, best first.
    """

    hidden: Array
    measured: Array
    candidates: tuple[Candidate, ...] = ()


def embed_pairs(
    summarizer: SummarizesPairs,
    pairs: Sequence[AnswerPair],
    *,
    null: ArrayLike | None = None,
    measured: Sequence[str] = (),
    n_candidates: int = 0,
) -> PairEmbeddings:
    """Ask the summarizer, measure, and subtract the null embedding ``(width,)``.

    Raises:
        xpert.errors.SummarizerError: Its rows are not as wide as it says.
        xpert.errors.WeightsError: A row is not finite.
        xpert.errors.CatalogError: A measured quantity that this version of xpert does not know.
    """
    summary = summarizer.summarize(pairs, n_candidates=n_candidates)
    rows = np.asarray(summary.embeddings, np.float32)
    if rows.shape != (len(pairs), summarizer.width):
        raise SummarizerError(
            f"summarizer {summarizer.name!r}: expected embeddings of shape {(len(pairs), summarizer.width)}, got {rows.shape}"
        )
    if not np.isfinite(rows).all():
        raise WeightsError(f"summarizer {summarizer.name!r}: an embedding is not finite: check its weights")
    hidden = rows if null is None else rows - np.asarray(null, np.float32)
    return PairEmbeddings(hidden=hidden, measured=measure_named(pairs, measured), candidates=summary.candidates)


def null_embedding(summarizer: SummarizesPairs, pairs: Sequence[AnswerPair] | None) -> Array:
    """``(width,)`` the mean embedding of the base's answers beside its own second ones; zeros where there are none (nothing is centred)."""
    if pairs is None:
        return np.zeros(summarizer.width, np.float32)
    return embed_pairs(summarizer, pairs).hidden.mean(axis=0, dtype=np.float64).astype(np.float32)


def joined(pairs: PairEmbeddings, scale: float) -> Array:
    """``(P, D)`` embeddings: hidden rows and measured quantities times ``scale``."""
    return np.concatenate([pairs.hidden, pairs.measured * np.float32(scale)], axis=1)


def scaled(rows: Array, width: int, scale: float) -> Array:
    """Rows ``(P, D)`` with what stands behind ``width`` (measured quantities) times ``scale``."""
    return np.concatenate([rows[:, :width], rows[:, width:] * np.float32(scale)], axis=1)


def measured_scale(hidden: ArrayLike, measured: ArrayLike, weight: float) -> float:
    """The factor that gives measured quantities their weight beside the summarizer.

    Args:
        hidden: ``(M, width)`` the models' centred hidden embeddings.
        measured: ``(M, F)`` their mean measured quantities.
        weight: RMS over models of the measured block's norm, as a fraction of the RMS of the hidden norms.

    Returns:
        The factor. Measured blocks of an RMS below 0.1 count as 0.1, so that next to nothing is not blown up; ``weight``
        itself where the hidden embeddings are zero.

    >>> measured_scale([[3.0, 4.0]], [[0.5]], 0.5)
    5.0
    """
    strength, length = _rms_norm(hidden), max(_rms_norm(measured), _SMALLEST_MEASURED)
    return weight * strength / length if strength > 0 else weight


@contextmanager
def open_summarizer(
    summarizer: str | Summarizer,
    *,
    device: str | None = None,
    dtype: str | None = None,
    instruction: InstructionLike | None = None,
) -> Iterator[Summarizer]:
    """A summarizer by name, closed afterwards, or an object, which stays its owner's to close and keeps its own instruction."""
    if not isinstance(summarizer, str):
        yield summarizer
        return
    options = {} if instruction is None else {"instruction": instruction}
    opened = load_summarizer(summarizer, device=device, dtype=dtype, **options)
    try:
        yield opened
    finally:
        opened.close()


def _rms_norm(rows: ArrayLike) -> float:
    values = np.asarray(rows, np.float64)
    return float(np.sqrt(np.mean(np.sum(values**2, axis=-1))))


def standard_error(places: Array) -> Array:
    """``(K,)`` standard errors of mean coordinates, from ``(P, K)`` coordinates of single pairs; zeros for a single pair."""
    if len(places) < 2:
        return np.zeros(places.shape[1], np.float32)
    return (places.std(axis=0, ddof=1, dtype=np.float64) / np.sqrt(len(places))).astype(np.float32)
