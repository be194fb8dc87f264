"""Words, not word pieces: what counts as a candidate word, and when a piece of text is a whole one."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping

from xpert.types import Candidate

__all__ = ["STOP_WORDS", "best_candidates", "clean_word", "leading_word", "starts_word"]

STOP_WORDS = frozenset(
    [
        "a",
        "an",
        "and",
        "answer",
        "are",
        "as",
        "at",
        "b",
        "be",
        "but",
        "by",
        "for",
        "from",
        "her",
        "his",
        "i",
        "if",
        "in",
        "is",
        "it",
        "its",
        "language",
        "more",
        "most",
        "much",
        "my",
        "no",
        "none",
        "not",
        "of",
        "on",
        "or",
        "our",
        "she",
        "so",
        "some",
        "style",
        "than",
        "that",
        "the",
        "their",
        "them",
        "then",
        "there",
        "these",
        "they",
        "this",
        "those",
        "to",
        "too",
        "very",
        "was",
        "we",
        "were",
        "which",
        "with",
        "word",
        "yes",
        "you",
        "your",
        "he",
        "s",
        "t",
        "adjective",
        "second",
        "first",
    ]
)
"""Words that name no style, in the language of the built-in wording."""

_HYPHENS = "-‐‑"
_UNFINISHED = "\ufffd"
"""What a decoder shows for a character whose bytes are not all there."""


def clean_word(text: str) -> str | None:
    """The word in a piece of text, lower-cased; None if it is none: letters of any script and inner hyphens only, no stop-word.

    >>> clean_word(" Friendly"), clean_word("laid-back"), clean_word("the"), clean_word("3rd"), clean_word("x")
    ('friendly', 'laid-back', None, None, None)
    """
    word = unicodedata.normalize("NFC", text.strip().lower())
    if not word or not _is_letter(word[0]) or not _is_letter(word[-1]):
        return None
    if not all(_is_letter(c) or c in _HYPHENS for c in word):
        return None
    if word in STOP_WORDS or (len(word) == 1 and word.isascii()):
        return None
    return word


def starts_word(text: str) -> bool:
    """Whether a token's text can begin a word: letters after white space at most (or a character not yet complete)."""
    body = text.strip()
    return bool(body) and (_is_letter(body[0]) or body[0] == _UNFINISHED) and all(_in_word(c) for c in body)


def leading_word(text: str) -> tuple[str, bool]:
    """The word that a text begins with, and whether the text goes on after it (with a space, a stop, anything else).

    >>> leading_word(" un"), leading_word("unfriendly."), leading_word("warm and")
    (('un', False), ('unfriendly', True), ('warm', True))
    """
    body = text.lstrip()
    for place, character in enumerate(body):
        if not _in_word(character):
            return body[:place], True
    return body, False


def best_candidates(scores: Mapping[str, float], n: int) -> tuple[Candidate, ...]:
    """The ``n`` words with the highest scores, best first, ties in alphabetical order."""
    ranked = sorted(scores.items(), key=lambda item: (-item[1], item[0]))
    return tuple(Candidate(word=word, score=score) for word, score in ranked[:n])


def _is_letter(character: str) -> bool:
    return unicodedata.category(character)[0] in "LM"


def _in_word(character: str) -> bool:
    return _is_letter(character) or character in _HYPHENS or character == _UNFINISHED
