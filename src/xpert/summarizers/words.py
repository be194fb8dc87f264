"""Words, not word pieces: what counts as a candidate word, and when a piece of text is a whole one, in any script.

Where words are written without spaces (Chinese, Japanese, Thai ...) a word is what the model says until it stops or the script
changes; nothing is segmented.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass

from xpert.types import Candidate

__all__ = [
    "STOP_WORDS",
    "UNFINISHED",
    "USUAL",
    "WordRules",
    "best_candidates",
    "clean_word",
    "isolated",
    "leading_word",
    "starts_word",
]

_ENGLISH = """
a adjective an and answer are as at b be but by first for from he her his i if in is it its language more most
much my no none not of on or our s second she so some style t than that the their them then there these they
this those to too very was we were which with word yes you your
"""
STOP_WORDS = frozenset(_ENGLISH.split())
"""Words that name no style, in the language of the built-in wording."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WordRules:
    """What counts as a word beside the rules of all scripts.

    Attributes:
        stop_words: Words that answer nothing, in lower case.
        characters: What may stand in a word after its first letter, beside letters: ``+#`` for names such as ``c++``.
        known: Words that are whole though they have one letter only, such as ``c`` among programming languages.
    """

    stop_words: frozenset[str] = STOP_WORDS
    characters: str = ""
    known: frozenset[str] = frozenset()


USUAL = WordRules()
"""The rules of the built-in wording."""

MAX_UNSPACED = 12
"""Longest word of a script without spaces, in characters: what is longer is a phrase."""

_HYPHENS = "-‐‑־"
_APOSTROPHES = "'’"
"""Inside words of letters beyond ASCII only: of English ``it's`` they would make a word."""
_JOINERS = "·׳״\u200c\u200d"
"""Inside words: the Catalan dot, Hebrew geresh and gershayim, the zero-width non-joiner and joiner."""
_INVISIBLE = dict.fromkeys([0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x0640])
"""Marks of writing direction, and the Arabic stretching stroke."""
UNFINISHED = "\ufffd"
"""What a decoder shows for a character whose bytes are not all there."""
_HAN = ((0x3005, 0x3007), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x3FFFF))
_UNSPACED = (
    *_HAN,
    *((0x3040, 0x30FF), (0x31F0, 0x31FF), (0xFF66, 0xFF9F)),  # kana
    *((0x0E00, 0x0EFF), (0x0F00, 0x0FFF), (0x1000, 0x109F), (0x1780, 0x17FF)),  # Thai, Lao, Tibetan, Burmese, Khmer
)


def clean_word(text: str, rules: WordRules = USUAL) -> str | None:
    """The word in a piece of text, lower-cased; None if it is none.

    A word is of letters of any script, with hyphens between them (and with apostrophes, where it goes beyond ASCII); it is no
    stop-word, and no single letter unless that is a Chinese character.

    >>> clean_word(" Friendly"), clean_word("laid-back"), clean_word("the"), clean_word("3rd"), clean_word("x")
    ('friendly', 'laid-back', None, None, None)
    >>> clean_word("об'єктивний"), clean_word("雅"), clean_word("C++", WordRules(characters="+#"))
    ("об'єктивний", '雅', 'c++')
    """
    lowered = text.strip().translate(_INVISIBLE).lower().replace("i\u0307", "i")  # the Turkish capital I with a dot
    word = unicodedata.normalize("NFC", lowered).rstrip(_APOSTROPHES + _JOINERS)
    if not word or not _is_letter(word[0]) or not (_is_letter(word[-1]) or word[-1] in rules.characters):
        return None
    if leading_word(word, rules) != (word, False) or UNFINISHED in word or word in rules.stop_words:
        return None
    if len(word) == 1 and word not in rules.known and not _within(word, _HAN):
        return None
    return None if len(word) > MAX_UNSPACED and any(_within(c, _UNSPACED) for c in word) else word


def starts_word(text: str, rules: WordRules = USUAL) -> bool:
    """Whether a token's text can begin a word: letters after white space at most (or a character not yet complete)."""
    body = _body(text).rstrip()
    return bool(body) and (_is_letter(body[0]) or body[0] == UNFINISHED) and not leading_word(body, rules)[1]


def leading_word(text: str, rules: WordRules = USUAL) -> tuple[str, bool]:
    """The word that a text begins with, and whether the text goes on after it.

    It goes on with a space, a stop, anything that is in no word, or a letter of a script that is spaced otherwise.

    >>> leading_word(" un"), leading_word("unfriendly."), leading_word("warm and"), leading_word("友好 yes")
    (('un', False), ('unfriendly', True), ('warm', True), ('友好', True))
    """
    body = _body(text)
    unspaced: bool | None = None
    for place, character in enumerate(body):
        if not _in_word(character, body[:place], rules):
            return body[:place], True
        if unicodedata.category(character)[0] == "L":
            if unspaced not in (None, _within(character, _UNSPACED)):
                return body[:place], True
            unspaced = _within(character, _UNSPACED)
    return body, False


def best_candidates(scores: Mapping[str, float], n: int) -> tuple[Candidate, ...]:
    """The ``n`` words with the highest scores, best first, ties in alphabetical order."""
    ranked = sorted(scores.items(), key=lambda item: (-item[1], item[0]))
    return tuple(Candidate(word=word, score=score) for word, score in ranked[:n])


def isolated(word: str) -> str:
    r"""The word for a line of text: one written from right to left gets marks that keep numbers beside it in their place.

    >>> isolated("friendly"), isolated("رسمي") == "\u2068رسمي\u2069"
    ('friendly', True)
    """
    if any(unicodedata.bidirectional(c) in ("R", "AL") for c in word):
        return f"\u2068{word}\u2069"
    return word


def _body(text: str) -> str:
    return text.lstrip().translate(_INVISIBLE).lstrip()


def _is_letter(character: str) -> bool:
    return unicodedata.category(character)[0] in "LM"


def _in_word(character: str, before: str, rules: WordRules) -> bool:
    if _is_letter(character) or character in _HYPHENS or character == UNFINISHED:
        return True
    if character in _APOSTROPHES:
        return not before.isascii()
    return bool(before) and character in _JOINERS + rules.characters


def _within(character: str, ranges: tuple[tuple[int, int], ...]) -> bool:
    return any(first <= ord(character) <= last for first, last in ranges)
