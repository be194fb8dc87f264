"""Described sub-vectors: what an encoder makes of a text when it is said to be in the style of a word."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from xpert.errors import SettingsError, SummarizerError
from xpert.protocols import SubvectorContext, TextEncoder
from xpert.subvectors.relative import RelativeRows
from xpert.types import Array

__all__ = ["CARRIERS", "DescribedSubvectors"]

Float64: TypeAlias = NDArray[np.float64]

CARRIERS = ("This answer is written in a {word} style.",)
"""Sentences that say of a text that it is in style ``{word}``."""


class DescribedSubvectors:
    """``v_w``: mean over texts of enc(the text said to be in style w) - enc(the text), relative to its mean over all words.

    Uncentred, all words share one direction (that of "said to be in a style") and no two are orthogonal. The words that the
    mean is over are always the whole list, so that a word's row does not depend on which others are asked for.

    Args:
        words: The list that sub-vectors are relative to. None: the summarizer's own (its attribute ``words``).
        n_texts: How many of the base's answers (the first ones) the description is put before. 0: the description stands
            alone, said of no text in particular: better and a hundred times cheaper where measured
            (``benchmarks/recorded_style_qa``).
        max_words: Each answer is cut to so many words.
        carriers: Sentences that describe, each with ``{word}``; their mean is taken. None: the summarizer's own (its attribute
            ``carriers``), else `CARRIERS`.

    Source: Wang et al. 2025 (arXiv 2504.13938), section 7.7, with captions and CLIP; for texts, and relative to the mean over
        words, it is ours.
    """

    name = "described"
    chunk = 1024  # words at once: a description is one short text

    def __init__(
        self,
        words: Sequence[str] | None = None,
        *,
        n_texts: int = 0,
        max_words: int = 40,
        carriers: Sequence[str] | None = None,
    ) -> None:
        if n_texts < 0 or max_words < 1:
            raise SettingsError(f"described: expected n_texts >= 0 and max_words >= 1, got {n_texts} and {max_words}")
        if carriers is not None and (not carriers or any("{word}" not in carrier for carrier in carriers)):
            raise SettingsError(f"carriers: expected sentences with {{word}} in each, got {list(carriers)}")
        self._listed = None if words is None else tuple(dict.fromkeys(words))
        self._n_texts, self._max_words, self._carriers = n_texts, max_words, carriers
        self._relative = RelativeRows()

    @property
    def fingerprint(self) -> str:
        """Its settings."""
        return json.dumps([self.name, self._listed, self._n_texts, self._max_words, self._carriers])

    def vectors(self, words: Sequence[str], context: SubvectorContext) -> Array:
        """``(W, D)`` sub-vectors, one row a word; words outside the list are relative to the list's mean too.

        Raises:
            xpert.errors.SummarizerError: The summarizer cannot encode texts, or there is no list of words.
        """
        encoder = context.summarizer
        if not isinstance(encoder, TextEncoder):
            raise SummarizerError(
                f"described sub-vectors need a text encoder, and summarizer {encoder.name} is none: "
                "choose other sub-vectors, such as contrastive, or an encoder: summarizer"
            )
        texts = self._texts(context.base_answers)

        def said(new: Sequence[str]) -> Float64:
            return self._raw(new, texts, encoder)

        def origin() -> tuple[dict[str, Float64], Float64]:
            listed = self._words(context)
            raw = said(listed)
            return dict(zip(listed, raw, strict=True)), raw.mean(axis=0)

        return self._relative.vectors(words, context.summarizer, texts, origin=origin, said=said)

    def _words(self, context: SubvectorContext) -> tuple[str, ...]:
        listed = self._listed or tuple(getattr(context.summarizer, "words", ()))
        if len(listed) < 2:
            raise SummarizerError(
                f"described sub-vectors are relative to a list of words, and summarizer {context.summarizer.name} has none: "
                "give DescribedSubvectors(words=...)"
            )
        return listed

    def _texts(self, answers: Sequence[str]) -> tuple[str, ...]:
        """What the description is put before; one empty text where it stands alone."""
        if self._n_texts == 0:
            return ("",)
        return tuple(" ".join(answer.split()[: self._max_words]) for answer in answers[: self._n_texts])

    def _raw(self, words: Sequence[str], texts: Sequence[str], encoder: TextEncoder) -> Float64:
        """``(W, D)`` float64 mean embeddings of the descriptions. ``enc(text)`` is the same for every word and falls out."""
        said = [
            f"{carrier.format(word=word)} {text}".strip()
            for word in words
            for text in texts
            for carrier in self._carriers or getattr(encoder, "carriers", CARRIERS)
        ]
        rows = encoder.encode(said).astype(np.float64)
        return rows.reshape(len(words), -1, rows.shape[-1]).mean(axis=1)
