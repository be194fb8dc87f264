"""Summarizers that remember what they have read: a draw's texts come again at every similarity and in every mixture.

Personal texts are never kept by a `xpert.selector.Selector`; here users are nobody, and what is remembered is gone with the process.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from xpert.protocols import Summarizer
from xpert.summarizers import load_summarizer
from xpert.summarizers.encoder import EncoderSummarizer
from xpert.summarizers.hf import HFSummarizer
from xpert.types import AnswerPair, Array, Summary

__all__ = ["EncodedOnce", "SummarizedOnce", "read_once"]

_MOST_BYTES = 1 << 28
"""Of remembered rows; where there are more, all are forgotten."""


def read_once(summarizer: str) -> Summarizer:
    """A summarizer by name, with a memory where it is of a kind that can be given one.

    Raises:
        xpert.errors.XpertError: As `xpert.summarizers.load_summarizer`.
    """
    if summarizer == "encoder:minilm":
        return EncodedOnce("minilm")
    if summarizer.startswith("zoo:summarizer"):
        return SummarizedOnce(summarizer, name=summarizer)
    return load_summarizer(summarizer)


class SummarizedOnce(HFSummarizer):
    """An LLM that embeds each pair once; where words are asked for too, it reads them all."""

    def summarize(self, pairs: Sequence[AnswerPair], *, n_candidates: int = 0) -> Summary:
        """As the LLM does; a row is the same in any batch (1e-5)."""
        if n_candidates > 0 or not pairs:
            return super().summarize(pairs, n_candidates=n_candidates)
        known: dict[AnswerPair, Array] = self.__dict__.setdefault("_known_pairs", {})
        if len(known) * 4 * self.width > _MOST_BYTES:
            known.clear()
        if new := [pair for pair in dict.fromkeys(pairs) if pair not in known]:
            known.update(zip(new, np.asarray(super().summarize(new).embeddings, np.float32), strict=True))
        return Summary(embeddings=np.stack([known[pair] for pair in pairs]))


class EncodedOnce(EncoderSummarizer):
    """A text encoder that encodes each text once."""

    def encode(self, texts: Sequence[str]) -> Array:
        """As the encoder does, ``(N, D)``."""
        known: dict[str, Array] = self.__dict__.setdefault("_known", {})
        if new := [text for text in dict.fromkeys(texts) if text not in known]:
            known.update(zip(new, super().encode(new), strict=True))
        return np.stack([known[text] for text in texts]) if texts else super().encode(texts)
