"""What text encoders have in common, with torch and without: differences of embeddings, and how they are told. Needs no torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from xpert.measured import measure_named
from xpert.protocols import SummarizerDefaults
from xpert.summarizers.exemplars import Exemplars, shipped_exemplars
from xpert.summarizers.instructions import LANGUAGE_STYLE, Instruction
from xpert.summarizers.ranking import WordDirections, listed_words
from xpert.types import AnswerPair, Array, Candidate

__all__ = ["defaults", "described", "difference_rows", "find_candidates", "find_exemplars"]


def defaults(learnt: Exemplars | None) -> SummarizerDefaults:
    """As measured in ``benchmarks/recorded_style_qa``: words stand closer to each other than an LLM's, the null is zero."""
    return SummarizerDefaults(
        eps_orth=0.25,
        eps_dec=0.2,
        subvectors="described" if learnt is None else "exemplary",
        centering="none",
        max_candidates=128,
    )


def find_exemplars(wording: Instruction, width: int, weights_digest: Callable[[], str]) -> Exemplars | None:
    """What was learnt by example of an encoder, for this aspect; None: nothing.

    Args:
        wording: What is explained.
        width: ``D``.
        weights_digest: Gives the SHA-256 of the encoder's weight files, if it is needed.
    """
    if wording != LANGUAGE_STYLE:
        return None
    shipped = shipped_exemplars()
    return shipped if width == shipped.vectors.shape[1] and weights_digest() == shipped.encoder else None


def find_candidates(
    pairs: Sequence[AnswerPair],
    embeddings: Array,
    n: int,
    *,
    directions: WordDirections,
    words: Sequence[str],
    learnt: Exemplars | None,
) -> tuple[Candidate, ...]:
    """``n`` words for pairs and their embeddings ``(P, D)``: those known by example, then those whose directions are nearest."""
    if learnt is None or n < 1:
        return directions.rank(embeddings, n)
    measured = measure_named(pairs, learnt.measured).mean(axis=0, dtype=np.float64)
    first = learnt.rank(embeddings.mean(axis=0, dtype=np.float64), measured)
    others = [word for word in words if word not in learnt.words]
    return (*first, *directions.rank(embeddings, n, others))[:n]


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
