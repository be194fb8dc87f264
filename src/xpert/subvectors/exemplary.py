"""Exemplary sub-vectors: the difference that a word makes in texts which really have it, where an encoder knows it by example."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from xpert.protocols import SubvectorContext
from xpert.subvectors.described import DescribedSubvectors
from xpert.types import Array

__all__ = ["ExemplarySubvectors"]


class ExemplarySubvectors:
    """Words that the encoder knows by example have the sub-vector that the examples gave; all others are described, less their part in
    the span of the former.

    So no description takes away, in a fit of all words at once, from what the examples say. Words known by example are what a basis begins with (`anchors`), whatever the angles between them: opposites such as "elementary" and
    "expert" must both be there to be told by their own names.

    Args:
        described: The source of all other words; None: `DescribedSubvectors` with its usual settings.

    Source: the definition is section 4.2's of Wang et al. 2025 (texts written in a style beside base answers), with texts of known
        style in place of those that a summarizer writes.
    """

    name = "exemplary"

    def __init__(self, described: DescribedSubvectors | None = None) -> None:
        self._described = described or DescribedSubvectors()
        self.chunk = self._described.chunk

    @property
    def fingerprint(self) -> str:
        """Its settings; the examples are the encoder's."""
        return f"{self.name} {self._described.fingerprint}"

    def anchors(self, context: SubvectorContext) -> tuple[str, ...]:
        """The words that a basis begins with: those that the summarizer knows by example; none for most summarizers."""
        return tuple(getattr(context.summarizer, "exemplars", {}))

    def vectors(self, words: Sequence[str], context: SubvectorContext) -> Array:
        """``(W, D)`` sub-vectors, one row a word.

        Raises:
            xpert.errors.SummarizerError: The summarizer cannot encode texts, or there is no list of words.
        """
        known = getattr(context.summarizer, "exemplars", {})
        others = [word for word in dict.fromkeys(words) if word not in known]
        rows = self._described.vectors(others, context)
        if not words:
            return rows
        if known and others:
            span = np.stack(list(known.values())).astype(np.float64)
            rows = rows - (rows @ np.linalg.pinv(span)) @ span
        said = dict(zip(others, rows, strict=True))
        return np.stack([known[word] if word in known else said[word] for word in words]).astype(np.float32)
