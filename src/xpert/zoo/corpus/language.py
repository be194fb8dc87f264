"""Small grammar for English sentences: case, articles, plain and learned words, telegraphic style."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from functools import cache
from importlib import resources
from typing import Any

__all__ = ["capitalize", "clause", "count_words", "fix_articles", "reword", "telegraph", "words"]

_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9'-]*")
_NOUN_BEFORE = frozenset(
    [
        "a",
        "an",
        "the",
        "this",
        "that",
        "each",
        "every",
        "no",
        "any",
        "its",
        "their",
        "his",
        "her",
        "our",
        "your",
        "of",
        "in",
        "on",
        "for",
        "with",
        "by",
        "from",
        "at",
        "into",
        "daily",
        "common",
        "first",
        "regular",
        "new",
        "old",
        "good",
        "many",
        "most",
        "some",
        "few",
        "several",
        "and",
        "or",
        "than",
        "as",
        "small",
        "big",
        "long",
        "short",
        "main",
        "real",
        "same",
    ]
)
_VERB_BEFORE = frozenset(
    [
        "to",
        "can",
        "cannot",
        "may",
        "might",
        "must",
        "should",
        "will",
        "would",
        "could",
        "not",
        "who",
        "often",
        "usually",
        "also",
        "then",
        "they",
        "people",
        "you",
        "we",
        "do",
        "does",
        "did",
        "people",
        "beginners",
    ]
)
_ALSO_NOUNS = frozenset(
    [
        "uses",
        "changes",
        "causes",
        "needs",
        "holds",
        "breaks",
        "builds",
        "falls",
        "rises",
        "cuts",
        "raises",
        "checks",
        "spreads",
        "blocks",
        "damages",
        "hurts",
    ]
)
_FINITE_AFTER = frozenset(["is", "are", "was", "were", "of", "has", "have", "had", "can", "may", "must", "will"])
_OBJECT_AFTER = frozenset(
    [
        "a",
        "an",
        "the",
        "its",
        "their",
        "his",
        "her",
        "each",
        "one",
        "some",
        "it",
        "them",
        "this",
        "that",
        "these",
        "those",
        "more",
        "less",
    ]
)
_NEVER_NAMES = frozenset(["the", "a", "an", "in", "for", "one", "doctor", "with", "from", "when", "after", "before"])
_VOWEL_SOUND = re.compile(r"^(?:[aeio]|u(?!ni|se|ti|s[eu]|biq|bi)|hour|honest|honor|heir)", re.IGNORECASE)


@cache
def _data(name: str) -> dict[str, Any]:
    path = resources.files("xpert.zoo.corpus").joinpath("banks", f"{name}.json")
    return json.loads(path.read_text(encoding="utf-8"))


@cache
def _proper() -> frozenset[str]:
    return frozenset(_data("grammar")["proper"])


@cache
def _imperatives() -> frozenset[str]:
    return frozenset(_data("grammar")["imperatives"])


def words(text: str) -> list[str]:
    """The lower-cased words of a text, without punctuation."""
    return [word.lower() for word in _WORD.findall(text)]


def count_words(text: str) -> int:
    """The number of blank-separated words."""
    return len(text.split())


def capitalize(text: str) -> str:
    """The text with a capital first letter (the rest as it is)."""
    return text[:1].upper() + text[1:]


def _lower_first(sentence: str) -> str:
    tokens = sentence.split()
    head = _WORD.match(tokens[0])
    word = head.group() if head else tokens[0]
    name_like = len(tokens) > 1 and tokens[1][0].isupper() and word.lower() not in _NEVER_NAMES | _imperatives()
    keeps = word.split("'")[0] in _proper() or name_like or any(c.isupper() or c.isdigit() for c in word[1:])
    return sentence if keeps else sentence[:1].lower() + sentence[1:]


def clause(sentence: str, *, subject: str = "") -> str:
    """A sentence as a clause: no final stop, small first letter; a command gets `subject` ("it helps to") before it."""
    body = _lower_first(sentence.strip().rstrip(".!"))
    tokens = body.split()
    if tokens[0] in ("then", "next,") and len(tokens) > 1:
        tokens = tokens[1:]
        body = " ".join(tokens)
    commands = tokens[0] in _imperatives() and len(tokens) > 1
    if subject and commands:
        return f"{subject} {body}"
    return body


def fix_articles(text: str) -> str:
    """Put "a" or "an" as the next word sounds."""

    def article(match: re.Match[str]) -> str:
        first, gap, follower = match.groups()
        fitting = "an" if _VOWEL_SOUND.match(follower) and not re.match(r"one\b|once\b|eu", follower, re.I) else "a"
        return (fitting.capitalize() if first[0] == "A" else fitting) + gap + follower

    return re.sub(r"\b(an?|An?)( )(?!(?:priori)\b)([A-Za-z]+)", article, text)


def _allows_verb(word: str, before: str, after: str) -> bool:
    if before in _NOUN_BEFORE:
        return False
    if word.endswith(("s", "ed", "ing")) and not word.endswith("ss"):
        if word in _ALSO_NOUNS:
            return after in _OBJECT_AFTER
        return bool(after) and after not in _FINITE_AFTER
    return before in _VERB_BEFORE or before.endswith("s") or word in ("became", "began", "made", "kept", "held", "sent")


def reword(sentence: str, register: str, *, keep: Collection[str] = ()) -> str:
    """Replace plain words by simpler ("elementary") or learned ones ("expert"); words in `keep` stay.

    Verbs are only replaced where the neighbours say that the word is a verb; this errs on the side of leaving it.
    """
    lexicon = _data("lexicon")[register]
    tokens = sentence.split(" ")
    bare = [token.strip(".,:;!?").lower() for token in tokens]
    out: list[str] = []
    for i, token in enumerate(tokens):
        word, new = bare[i], None
        before, after = bare[i - 1] if i else "", bare[i + 1] if i + 1 < len(bare) else ""
        if word and word not in keep:
            new = lexicon["plain"].get(word)
            if word in lexicon["verbs"] and _allows_verb(word, before, after):
                new = lexicon["verbs"][word]
        if new is None or before == new:
            out.append(token)
            continue
        start = token.lower().find(word)
        new = new.capitalize() if token[start].isupper() else new
        out.append(token[:start] + new + token[start + len(word) :])
    return fix_articles(" ".join(out))


def telegraph(sentence: str) -> str:
    """The sentence without its articles, as in a note: "The sun heats the sea." gives "Sun heats sea"."""
    short = re.sub(
        r"\b(?:[Tt]he|[Aa]n?) (?!few\b|lot\b|little\b|bit\b|more\b|same\b|most\b|day\b|week\b|year\b)", "", sentence
    )
    return capitalize(short)
