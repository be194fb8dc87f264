"""The phrase banks: JSON data, one file a style property, each in two disjoint halves, and the code that draws."""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any

__all__ = ["Drawer", "bank", "bank_names", "classes", "phrases"]

_SLOT = re.compile(r"\{(\w+)\}")
_PERSONAL = re.compile(
    r"\b(?:you|your|yourself|we|us|our|me|my|i|i'\w+|let's|look|see|think|say|got)\b|!", re.IGNORECASE
)
_ALOUD = re.compile(r"[:?!;]|\. |^(?:See|Look|You see|You know|And|Now|Whereas)\b")
_DATA_ONLY = ("lexicon", "grammar")


@cache
def bank(name: str) -> Mapping[str, Any]:
    """The bank of a property: {"words": class -> words, "models": slot -> phrases, "users": slot -> phrases}.

    Word classes are shared by the halves; entries of three and more words stand in "words_models" or "words_users".
    """
    return json.loads(resources.files("xpert.zoo.corpus.banks").joinpath(f"{name}.json").read_text(encoding="utf-8"))


@cache
def bank_names() -> tuple[str, ...]:
    """The names of all banks that hold phrases."""
    files = (entry.name for entry in resources.files("xpert.zoo.corpus.banks").iterdir())
    stems = (file.removesuffix(".json") for file in files if file.endswith(".json"))
    return tuple(sorted(stem for stem in stems if stem not in _DATA_ONLY))


def phrases(name: str, slot: str, side: str) -> list[str]:
    """The phrases of one slot of a bank in one half; empty if the bank has no such slot."""
    return bank(name)[side].get(slot, [])


@cache
def classes(name: str, side: str) -> Mapping[str, list[str]]:
    """The word classes of a bank as one half sees them."""
    own = bank(name).get(f"words_{side}", {})
    return {key: [*shared, *own.get(key, [])] for key, shared in bank(name)["words"].items()}


@cache
def _weight(phrase: str) -> float:
    """How readily a phrase is drawn: less if it has five fixed words in a row, which would be repeated as they are."""
    longest = max(len(run.split()) for run in _SLOT.sub("|", phrase).split("|"))
    return 0.65 if longest >= 5 else 1.0


@dataclass(slots=True, kw_only=True)
class Drawer:
    """Draws phrases of one half for one answer, without using a phrase or a class word twice.

    Attributes:
        side: The half to draw from.
        rng: The source of chance.
        values: What stands for {topic}, {expert}, {t}, {p} (lower case; the capitalized slot name capitalizes).
        impersonal: Whether to leave out phrases with a first or second person or an exclamation.
    """

    side: str
    rng: random.Random
    values: dict[str, str]
    impersonal: bool = False
    used: set[str] = field(default_factory=set)
    drawn: Counter[str] = field(default_factory=Counter)

    def has(self, name: str, slot: str) -> bool:
        """Whether the bank has the slot."""
        return bool(phrases(name, slot, self.side))

    def draw(self, name: str, slot: str, *, x: str = "", plain: bool = False, note: bool = False) -> str:
        """One phrase of the slot, filled; `plain` asks for one that can stand inside another sentence, `note` for
        one around a note without articles (not inside "that ...").
        """
        options = [p for p in phrases(name, slot, self.side) if p not in self.used]
        if plain:
            options = [p for p in options if not _ALOUD.search(p)]
        if note:
            options = [p for p in options if "{X}" in p or ": {x}" in p or ", {x}" in p]
        if self.impersonal:
            options = [p for p in options if not _PERSONAL.search(p)]
        options = options or phrases(name, slot, self.side)
        phrase = self.rng.choices(options, weights=[_weight(p) for p in options])[0]
        self.used.add(phrase)
        self.drawn[name] += 1
        return self._fill(phrase, classes(name, self.side), x)

    def _fill(self, phrase: str, classes: Mapping[str, list[str]], x: str) -> str:
        def value(match: re.Match[str]) -> str:
            slot = match.group(1)
            key = slot.lower()
            if key == "x":
                text = x
            elif key in classes:
                fresh = [word for word in classes[key] if word not in self.used]
                text = self.rng.choice(fresh or classes[key])
                self.used.add(text)
            else:
                text = self.values[key]
            return text[:1].upper() + text[1:] if slot[0].isupper() else text

        filled = _SLOT.sub(value, phrase)
        return filled[:1].upper() + filled[1:]
