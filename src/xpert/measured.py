"""Measured axes: differences that a program reads off two answers, named for what they are.

Those of texts are here, those of images in `xpert.measured_images`; a catalog names its own, and `measure_named` finds them. All
are bounded and finite, for empty texts too, and none depends on the order of sentences or on the other pairs.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import numpy as np

from xpert.errors import CatalogError
from xpert.measured_images import IMAGE_MEASURED, measure_images
from xpert.types import AnswerPair, Array

__all__ = ["ALL_MEASURED", "MEASURED", "measure", "measure_named", "quantities"]

MEASURED: tuple[str, ...] = (
    "longer",
    "longer sentences",
    "longer words",
    "more lists",
    "more digits",
    "more exclamations",
    "more questions",
)
"""The quantities' names, each told of the other text against the base."""

ALL_MEASURED: tuple[str, ...] = (*MEASURED, *IMAGE_MEASURED)
"""Every quantity that this version of xpert knows."""

LOG_LIMIT = 3.0
"""Log ratios are cut off at ``+-3`` (a factor of 20)."""

_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|[^\W_\u3040-\u30ff\u3400-\u9fff]+(?:['’-][^\W_]+)*")
"""A word; each Chinese or Japanese character counts as one."""
_SENTENCE_END = re.compile(r"[.!?…]+(?=[\s\"'”’)\]*_]|$)|[。！？]+|\n+")
_LIST_LINE = re.compile(r"\s*(?:[-*•–+]|\d{1,3}[.)]|\([a-z\d]\)|[a-zA-Z][.)])\s+\S")
_MARK = re.compile(r"[!?！？]")


def measure_named(pairs: Sequence[AnswerPair], names: Sequence[str]) -> Array:
    """``(P, F)`` float32: how the other answers differ in the quantities that are named, of texts or of images.

    Raises:
        xpert.errors.CatalogError: A quantity that this version of xpert does not know.
        xpert.errors.DataError: Images are to be measured, and an answer is none.
    """
    if unknown := [name for name in names if name not in ALL_MEASURED]:
        raise CatalogError(
            f"measured axes: expected some of {', '.join(ALL_MEASURED)}, got {unknown[0]!r}; another version of xpert made this catalog"
        )
    columns: dict[str, Array] = {}
    for known, how in ((MEASURED, measure), (IMAGE_MEASURED, measure_images)):
        if set(names) & set(known):
            columns |= dict(zip(known, how(pairs).T, strict=True))
    return np.stack([columns[name] for name in names], axis=1) if names else np.zeros((len(pairs), 0), np.float32)


def measure(pairs: Sequence[AnswerPair]) -> Array:
    """How the other text differs from the base in each quantity of `MEASURED`.

    Args:
        pairs: ``P`` pairs of texts.

    Returns:
        ``(P, F)`` float32: log ratios (natural logarithm, counts plus one, within ``+-3``) for the first three, differences of
        shares within ``+-1`` for the rest: of lines that are list items, of words with a digit, of sentences that end in
        an exclamation or a question mark.

    >>> from xpert.types import AnswerPair
    >>> row = measure([AnswerPair(prompt="", base="Yes, it is.", other="Yes! It is! Is it? It is.")])[0]
    >>> dict(zip(MEASURED, row.tolist()))["more exclamations"]
    0.5
    """
    if not pairs:
        return np.zeros((0, len(MEASURED)), np.float32)
    rows = [np.array(quantities(p.other)) - np.array(quantities(p.base)) for p in pairs]
    differences = np.stack(rows)
    differences[:, :3] = differences[:, :3].clip(-LOG_LIMIT, LOG_LIMIT)
    return differences.astype(np.float32)


def quantities(text: str) -> tuple[float, ...]:
    """One text's quantities, in the order of `MEASURED`.

    Logarithms of: words + 1, words a sentence + 1, letters a word + 1; then shares: list lines of lines, words with a digit
    of words, sentences that end in an exclamation mark and in a question mark of sentences. An empty text has zeros.
    """
    words = _WORD.findall(text)
    sentences = _sentences(text)
    lines = [line for line in text.splitlines() if line.strip()]
    n_words, n_sentences, n_lines = len(words), max(len(sentences), 1), max(len(lines), 1)
    return (
        math.log1p(n_words),
        math.log1p(n_words / n_sentences),
        math.log1p(sum(map(len, words)) / max(n_words, 1)),
        sum(1 for line in lines if _LIST_LINE.match(line)) / n_lines,
        sum(1 for word in words if any(c.isdigit() for c in word)) / max(n_words, 1),
        sum(1 for _, mark in sentences if mark in "!！") / n_sentences,
        sum(1 for _, mark in sentences if mark in "?？") / n_sentences,
    )


def _sentences(text: str) -> list[tuple[str, str]]:
    """Sentences with a word in them, each with the mark that ends it: ``!``, ``?`` or ``.`` for anything else."""
    found: list[tuple[str, str]] = []
    start = 0
    for end in [*_SENTENCE_END.finditer(text), None]:
        body = text[start : end.start() if end else len(text)]
        marks = _MARK.findall(end.group()) if end else []
        if _WORD.search(body):
            found.append((body, marks[0] if marks else "."))
        start = end.end() if end else len(text)
    return found
