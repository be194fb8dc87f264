"""Examples of a style: prompts with answers, pure or mixed with default answers and with other styles."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from xpert.types import Example
from xpert.zoo.corpus._facts import Question, Side, seeded, side_questions
from xpert.zoo.corpus.styles import DEFAULT, Style
from xpert.zoo.corpus.writer import write

__all__ = ["examples", "mixture"]


def examples(
    style: Style,
    *,
    side: Side,
    n: int,
    seed: int,
    similarity: float = 1.0,
    start: int = 0,
    phrases: Side | None = None,
) -> list[Example]:
    """Examples over one side's questions, in an order drawn by the seed.

    Args:
        style: The style of the answers.
        side: Whose questions and phrases.
        n: How many examples.
        seed: Draws the order of the questions and the answers.
        similarity: The share of answers in the style; the others are default answers. The count is exact (rounded).
        start: The index of the first example in the endless sequence of the seed: disjoint ranges give other answers.
        phrases: Whose phrases, where they are the other side's; the questions stay the same.

    Raises:
        ValueError: If the similarity is not within 0..1, or n or start is negative.
    """
    weights = [(style, similarity), (DEFAULT, 1.0 - similarity)]
    return mixture(weights, side=side, n=n, seed=seed, start=start, phrases=phrases)


def mixture(
    styles: Sequence[tuple[Style, float]],
    *,
    side: Side,
    n: int,
    seed: int,
    start: int = 0,
    phrases: Side | None = None,
) -> list[Example]:
    """Examples whose styles stand in the given proportions (exact counts by largest remainder, shuffled by the seed).

    Args:
        styles: Styles with their weights, which need not sum to one.
        side: Whose questions and phrases.
        n: How many examples.
        seed: Draws the order of the questions, of the styles, and the answers.
        start: The index of the first example in the endless sequence of the seed.
        phrases: Whose phrases, where they are the other side's.

    Raises:
        ValueError: If a weight is negative, all are zero, or n or start is negative.
    """
    if n < 0 or start < 0:
        raise ValueError(f"mixture: expected n >= 0 and start >= 0, got n={n}, start={start}.")
    weights = [weight for _, weight in styles]
    if not weights or min(weights) < 0 or sum(weights) <= 0:
        raise ValueError(
            f"mixture: expected weights >= 0 (a similarity within 0..1) that are not all 0, got {weights}."
        )
    kinds = [style for (style, _), count in zip(styles, _counts(weights, n), strict=True) for _ in range(count)]
    seeded("order", side, seed, start, n).shuffle(kinds)
    out = []
    for i, style in enumerate(kinds, start):
        question = _question_at(i, side, seed)
        text = write(question, style, side=phrases or side, seed=seed * 1_000_003 + i)
        out.append(Example(prompt=question.text, response=text))
    return out


@lru_cache(maxsize=64)
def _lap(side: Side, seed: int, lap: int) -> tuple[Question, ...]:
    order = list(side_questions(side))
    seeded("lap", side, seed, lap).shuffle(order)
    return tuple(order)


def _question_at(index: int, side: Side, seed: int) -> Question:
    lap, place = divmod(index, len(side_questions(side)))
    return _lap(side, seed, lap)[place]


def _counts(weights: Sequence[float], n: int) -> list[int]:
    total = sum(weights)
    shares = [weight * n / total for weight in weights]
    counts = [int(share + 1e-9) for share in shares]
    by_remainder = sorted(range(len(shares)), key=lambda i: (counts[i] - shares[i], i))
    for i in by_remainder[: n - sum(counts)]:
        counts[i] += 1
    return counts
