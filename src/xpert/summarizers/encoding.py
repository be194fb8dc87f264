"""What text encoders have in common, with torch and without: differences of embeddings, and how they are told. Needs no torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from xpert.protocols import SummarizerDefaults
from xpert.summarizers.instructions import LANGUAGE_STYLE, Instruction
from xpert.summarizers.ranking import listed_words
from xpert.types import AnswerPair, Array

__all__ = ["ENCODER_DEFAULTS", "described", "difference_rows"]

ENCODER_DEFAULTS = SummarizerDefaults(
    eps_orth=0.25, eps_dec=0.2, subvectors="described", centering="none", max_candidates=128
)
"""As measured in ``benchmarks/recorded_style_qa``: words stand closer to each other than an LLM's, the null is zero."""


def described(wording: Instruction, max_tokens: int) -> str:
    """How an encoder with this wording encodes, in a line: stored with a catalog."""
    return (
        f"difference of whole-text embeddings (chunks of {max_tokens} tokens, token-weighted mean); "
        f"{listed_words(wording, LANGUAGE_STYLE)}, each said as: {' | '.join(wording.carriers)}"
    )


def difference_rows(pairs: Sequence[AnswerPair], encode: Callable[[Sequence[str]], Array]) -> Array:
    """``(P, D)`` ``enc(other) - enc(base)`` of the pairs; each different text is encoded once."""
    different = list(dict.fromkeys(text for pair in pairs for text in (pair.base, pair.other)))
    row_of = {text: row for row, text in enumerate(different)}
    rows = encode(different)
    bases, others = [row_of[pair.base] for pair in pairs], [row_of[pair.other] for pair in pairs]
    return rows[others] - rows[bases]
