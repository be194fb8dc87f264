"""Words that an exported LLM would say next: the rule of `xpert.summarizers.causal.next_words`, every row read whole."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from xpert.summarizers.words import (
    UNFINISHED,
    WordRules,
    best_candidates,
    clean_word,
    leading_word,
    starts_word,
)
from xpert.types import Candidate

__all__ = ["next_words"]

_HANDFUL = 4
_MAX_PIECES = 12


def next_words(
    read: Callable[[Sequence[Sequence[int]]], np.ndarray],
    tokenizer: Any,
    rows: Sequence[Sequence[int]],
    probabilities: np.ndarray,
    n: int,
    *,
    special: frozenset[int],
    rules: WordRules,
) -> tuple[Candidate, ...]:
    """The ``n`` most likely words that come next.

    Args:
        read: Token rows to next-token probabilities ``(N, V)``.
        tokenizer: The model's tokenizer.
        rows: ``P`` rows of token ids, whose next token is asked for.
        probabilities: ``(V,)`` next-token probabilities, averaged over the rows.
        n: Words wanted.
        special: Ids that are in no word.
        rules: What counts as a word.
    """
    ranked = np.argsort(-probabilities, kind="stable")[: 3 * n + 64].tolist()
    texts = {token: tokenizer.decode([token]) for token in ranked if token < len(tokenizer)}
    starts = [t for t in ranked if t in texts and t not in special and starts_word(texts[t], rules)]
    heads, pieces = _handful(rows), {token: [token] for token in starts}
    products, found, unfinished = {token: float(probabilities[token]) for token in starts}, dict[str, float](), starts
    for count in range(1, _MAX_PIECES + 1):
        if not unfinished:
            break
        after = read([[*head, *pieces[token]] for token in unfinished for head in heads])
        after = after.reshape(len(unfinished), len(heads), -1).mean(axis=1)
        best = after.argmax(axis=1).tolist()
        left: list[int] = []
        for token, row, following in zip(unfinished, after, best, strict=True):
            ended, text = _ended(tokenizer, pieces[token], following, special, rules)
            if not ended:
                left.append(token)
                pieces[token].append(following)
                products[token] *= float(row[following])
            elif (word := clean_word(text, rules)) is not None:
                found[word] = found.get(word, 0.0) + products[token]
        unfinished = left if count < _MAX_PIECES else []
    return best_candidates(found, n)


def _handful(rows: Sequence[Sequence[int]]) -> list[list[int]]:
    """A few different rows, whatever order they come in."""
    different = sorted({tuple(row) for row in rows}, key=lambda row: (len(row), row))
    places = np.unique(np.linspace(0, len(different) - 1, num=min(_HANDFUL, len(different))).round().astype(int))
    return [list(different[place]) for place in places]


def _ended(
    tokenizer: Any, pieces: Sequence[int], following: int, special: frozenset[int], rules: WordRules
) -> tuple[bool, str]:
    """Whether the token that follows is no part of the word; the word so far."""
    alone = leading_word(tokenizer.decode(pieces), rules)[0]
    word, ended = leading_word(tokenizer.decode([*pieces, following]), rules)
    if following in special or (word == alone and not alone.endswith(UNFINISHED)):
        return True, alone
    return ended, word
