"""A summarizer that hears how loud a text is, in two numbers: capital letters and exclamation marks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from xpert import AnswerPair, Candidate, SubvectorContext, SummarizerDefaults, Summary
from xpert.errors import DataError, SummarizerError
from xpert.types import Array

__all__ = ["WORDS", "ShoutingSubvectors", "ShoutingSummarizer"]

WORDS = ("loud", "excited")
"""What the two numbers are called."""


class ShoutingSummarizer:
    """Embeds a pair as the difference of two shares; matches `xpert.Summarizer`.

    Args:
        target: What stands after ``shouting:``; any text, kept in the name.
        device: Taken as every factory of a summarizer must; not used.
        dtype: Likewise.
    """

    def __init__(self, target: str, *, device: str | None = None, dtype: str | None = None) -> None:
        self._target = target

    @property
    def name(self) -> str:
        """``shouting:TARGET``."""
        return f"shouting:{self._target}"

    @property
    def instruction(self) -> str:
        """How it encodes."""
        return "share of capital letters; share of sentence ends that are exclamation marks"

    @property
    def width(self) -> int:
        """One number a word."""
        return len(WORDS)

    @property
    def defaults(self) -> SummarizerDefaults:
        """Its own sub-vectors; texts share no common direction, so nothing is centered."""
        return SummarizerDefaults(subvectors="shouting", centering="none", max_candidates=len(WORDS))

    def summarize(self, pairs: Sequence[AnswerPair], *, n_candidates: int = 0) -> Summary:
        """``(P, 2)`` differences of shares; words by their mean difference."""
        if not pairs:
            raise DataError("expected at least one pair of answers, got none")
        rows = np.array([_shares(p.other) - _shares(p.base) for p in pairs], np.float32)
        ranked = sorted(zip(rows.mean(axis=0).tolist(), WORDS, strict=True), reverse=True)[:n_candidates]
        return Summary(embeddings=rows, candidates=tuple(Candidate(word=w, score=s) for s, w in ranked))

    def close(self) -> None:
        """Nothing to free."""


class ShoutingSubvectors:
    """One unit vector a word; matches `xpert.SubvectorSource`."""

    name = "shouting"

    def vectors(self, words: Sequence[str], context: SubvectorContext) -> Array:
        """``(W, 2)`` unit vectors.

        Raises:
            xpert.errors.SummarizerError: A word that the summarizer does not know.
        """
        if unknown := [word for word in words if word not in WORDS]:
            raise SummarizerError(f"sub-vectors 'shouting': expected words of {', '.join(WORDS)}, got {unknown[0]!r}")
        rows = np.zeros((len(words), context.summarizer.width), np.float32)
        rows[np.arange(len(words)), [WORDS.index(word) for word in words]] = 1
        return rows


def _shares(text: str) -> Array:
    letters = [c for c in text if c.isalpha()]
    ends = [c for c in text if c in ".!?"]
    return np.array(
        [sum(c.isupper() for c in letters) / max(len(letters), 1), ends.count("!") / max(len(ends), 1)], np.float32
    )
