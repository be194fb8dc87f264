"""Unembedded sub-vectors: where a language model's hidden state must go for the model to say a word."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np

from xpert.errors import SettingsError, SummarizerError
from xpert.protocols import SubvectorContext, Unembedding
from xpert.types import Array

__all__ = ["UnembeddedSubvectors"]


class UnembeddedSubvectors:
    """``v_w``: the output layer's row of the word's beginning, relative to the mean over a list of words.

    Nothing is written, painted or read: a summarizer that names styles explains alone. The words that the mean is over are
    always the whole list, so that a word's row does not depend on which others are asked for.

    Args:
        words: The list that sub-vectors are relative to, two words or more. None: those of the summarizer's instruction.

    Source: ours. The paper's sub-vectors are contrastive (Wang et al. 2025, arXiv 2504.13938, section 4.2); these name the same
        directions more coarsely and for nothing.
    """

    name = "unembedded"
    chunk = 1024  # words at once: a word is a row of a matrix

    def __init__(self, words: Sequence[str] | None = None) -> None:
        self._listed = None if words is None else tuple(dict.fromkeys(words))
        if self._listed is not None and len(self._listed) < 2:
            raise SettingsError(f"words: expected two different words or more, got {len(self._listed)}")

    @property
    def fingerprint(self) -> str:
        """Its settings."""
        return json.dumps([self.name, self._listed])

    def vectors(self, words: Sequence[str], context: SubvectorContext) -> Array:
        """``(W, D)`` sub-vectors, one row a word; words outside the list are relative to the list's mean too.

        Raises:
            xpert.errors.SummarizerError: The summarizer has no output layer, or there is no list of words.
        """
        summarizer = context.summarizer
        if not isinstance(summarizer, Unembedding):
            raise SummarizerError(
                f"unembedded sub-vectors need a language model held in memory, and {summarizer.name} is none: "
                "choose other sub-vectors"
            )
        listed = self._listed or tuple(getattr(getattr(summarizer, "wording", None), "words", ()))
        if len(listed) < 2:
            raise SummarizerError(
                f"unembedded sub-vectors are relative to a list of words, and the instruction of {summarizer.name} has none: "
                "give UnembeddedSubvectors(words=...)"
            )
        if not words:
            return np.zeros((0, summarizer.width), np.float32)
        mean = summarizer.unembedding(listed).mean(axis=0, dtype=np.float64)
        return (summarizer.unembedding(words) - mean).astype(np.float32)
