"""Whether the answers of pairs are what a summarizer reads: images or texts."""

from __future__ import annotations

from collections.abc import Sequence

from xpert.errors import DataError
from xpert.images import is_image
from xpert.types import AnswerPair

__all__ = ["check_images", "check_texts"]


def check_images(pairs: Sequence[AnswerPair], name: str) -> None:
    """Every answer must be an image.

    Args:
        pairs: The pairs.
        name: The summarizer's, for messages.

    Raises:
        xpert.errors.DataError: No pairs, or a text among the answers.
    """
    if not pairs:
        raise DataError("expected at least one pair of answers, got none")
    for i, pair in enumerate(pairs, start=1):
        for which, answer in (("base", pair.base), ("other", pair.other)):
            if not is_image(answer):
                raise DataError(
                    f"pair {i} of {len(pairs)}, {which} answer: expected an image (a path or a data URI), got the text "
                    f"{answer[:60]!r}: {name} compares images; for texts take hf: or a text encoder"
                )


def check_texts(pairs: Sequence[AnswerPair], name: str) -> None:
    """No pair may be of two images; one that only looks like a file name is a text.

    Args:
        pairs: The pairs.
        name: The summarizer's, for messages.

    Raises:
        xpert.errors.DataError: No pairs, or one of images.
    """
    if not pairs:
        raise DataError("expected at least one pair of answers, got none")
    for i, pair in enumerate(pairs, start=1):
        if is_image(pair.base) and is_image(pair.other):
            raise DataError(
                f"pair {i} of {len(pairs)}: expected texts, got images ({pair.other[:40]}): {name} reads texts; "
                "for images take encoder: with a CLIP model, or vlm:"
            )
