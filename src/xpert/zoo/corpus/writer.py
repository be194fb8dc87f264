"""Writes one answer: a plan of sentences is drawn, filled and kept if its length fits the style."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from xpert.zoo.corpus._facts import Question, Side, seeded
from xpert.zoo.corpus.banks import Drawer
from xpert.zoo.corpus.language import capitalize, clause, count_words, fix_articles, reword, telegraph, words
from xpert.zoo.corpus.styles import Style

__all__ = ["LENGTHS", "length_range", "write"]

LENGTHS = {None: (28, 42), "concise": (9, 20), "informative": (52, 80)}
_SUBJECTS = ("it is best to", "it helps to", "one should", "beginners should", "the first step is to")
_FIELDS = ("theory", "research", "analysis", "scholarship")
_FIELD_ENDINGS = (
    "ics",
    "ology",
    "ing",
    "istry",
    "nomy",
    "nomics",
    "raphy",
    "science",
    "studies",
    "ment",
    "law",
    "art",
    "culture",
)
_TRIES = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class _Voice:
    """The banks that color an answer: `manner` (a tone or a formality), `register` (an expertise), `lexicon`."""

    manner: str | None
    register: str | None
    lexicon: str | None
    strength: float = 1.0


def _voice(style: Style) -> _Voice:
    if style.level is None:
        return _Voice(manner=style.tone, register=style.expertise, lexicon=style.expertise)
    scale, step = style.level
    manner = f"{scale}-{step}"
    if scale == "formality":
        return _Voice(
            manner=manner, register=None, lexicon="elementary" if step == 1 else "expert" if step == 4 else None
        )
    pole = "elementary" if step <= 2 else "expert"
    return _Voice(manner=manner, register=pole, lexicon=pole, strength=1.0 if step in (1, 4) else 0.3)


def length_range(style: Style) -> tuple[int, int]:
    """The fewest and most words (blank-separated) of an answer in the style."""
    return LENGTHS[style.informativeness]


class _Draft:
    """One attempt at an answer."""

    def __init__(self, question: Question, style: Style, side: Side, rng: random.Random) -> None:
        self.question, self.style, self.rng = question, style, rng
        self.voice = _voice(style)
        fact = question.fact
        self.facts = (fact.core, telegraph(fact.core), fact.detail)
        last = question.expert_name.split()[-1]
        field = "" if last in _FIELDS or last.endswith(_FIELD_ENDINGS) else f" {rng.choice(_FIELDS)}"
        self.drawer = Drawer(
            side=side,
            rng=rng,
            values={"topic": question.topic, "expert": question.expert_name + field, "t": fact.term, "p": fact.picture},
            impersonal=style.tone == "neutral",
        )
        in_core = set(words(fact.core))
        self.keep = frozenset([key for key in fact.keys if key in in_core][:3] + words(question.topic))

    def chance(self, p: float) -> bool:
        return self.rng.random() < p

    def worded(self, sentence: str) -> str:
        """A content sentence in the register's vocabulary."""
        return reword(sentence, self.voice.lexicon, keep=self.keep) if self.voice.lexicon else sentence

    def inner(self, sentence: str) -> str:
        """A content sentence as a clause, a command turned into a statement."""
        is_advice = self.question.aspect == "practice" and sentence in self.facts
        return clause(self.worded(sentence), subject=self.rng.choice(_SUBJECTS) if is_advice else "")

    def framed(self, sentence: str, slot: str, p_manner: float, p_register: float, *, note: bool = False) -> str:
        """A content sentence inside a phrase of the manner, of the register, of both (one in the other) or of none."""
        manner, register = self.voice.manner, self.voice.register
        wants_register = register is not None and self.chance(p_register)
        wants_manner = manner is not None and self.drawer.has(manner, slot) and self.chance(p_manner)
        if wants_manner and wants_register and slot == "more":
            wants_register = False
        if register is not None and wants_register:
            framed = self.drawer.draw(register, slot, x=self.inner(sentence), plain=wants_manner, note=note)
            if not wants_manner:
                return framed
            inner = clause(framed)
        elif wants_manner:
            inner = self.inner(sentence)
        else:
            return self.worded(sentence)
        assert manner is not None
        return self.drawer.draw(manner, slot, x=inner, note=note)

    def concise(self) -> str:
        core = self.question.fact.core
        note = self.chance(0.3)
        core = telegraph(core) if note else core
        bare = self.style.tone is None and self.style.expertise is None
        if bare:
            return self.drawer.draw("concise", "short", x=self.inner(core)) if self.chance(0.8) else core
        register = self.voice.register
        if register is None:
            return self.framed(core, "short", 1.0, 0.0, note=note)
        p = 0.3 if self.worded(core) != core else 0.5
        within = self.chance(p)
        sentences = [self.framed(core, "short", 1.0, float(within), note=note)]
        if self.chance(0.1 if within else 0.6):
            sentences.append(self.drawer.draw(register, "pic" if register == "elementary" else "term"))
        return " ".join(sentences)

    def aside(self, slot: str, p_manner: float, p_register: float) -> list[str]:
        """At most one sentence each of the manner and of the register that says nothing new (opener, closer)."""
        voice, found = self.voice, []
        if voice.manner is not None and self.chance(p_manner):
            found.append(self.drawer.draw(voice.manner, slot))
        if voice.register is not None and self.chance(p_register * voice.strength):
            found.append(self.drawer.draw(voice.register, slot))
        self.rng.shuffle(found)
        return found

    def extras(self) -> list[str]:
        """Sentences of reason, context or caution around the fact."""
        rich = self.style.informativeness == "informative"
        plain = self.voice.manner is None and self.voice.register is None
        n = self.rng.choice((2, 3) if plain else (1, 2)) if rich else 1 if plain else int(self.chance(0.15))
        found = []
        for _ in range(n):
            sentence = self.drawer.draw("extra", "any" if rich and self.chance(0.4) else self.question.aspect)
            if rich and self.chance(0.35 if plain else 0.5):
                sentence = self.drawer.draw("informative", "more", x=self.inner(sentence))
            else:
                sentence = self.framed(sentence, "more", 0.35, 0.15) if rich else self.worded(sentence)
            found.append(sentence)
        return found

    def long(self) -> str:
        voice, rng, fact = self.voice, self.rng, self.question.fact
        rich = self.style.informativeness == "informative"
        body = [self.framed(fact.core, "frame", 0.6, 0.4 * voice.strength)]
        if rich and self.chance(0.3):
            body.append(self.drawer.draw("informative", "more", x=self.inner(fact.detail)))
        else:
            body.append(self.framed(fact.detail, "more", 0.45, 0.25 * voice.strength))
        if voice.register is not None and self.chance(0.7 * voice.strength):
            body.insert(
                rng.choice((1, 2)),
                self.drawer.draw(voice.register, "pic" if voice.register == "elementary" else "term"),
            )
        body += self.extras()
        opening, closing = self.aside("open", 0.6, 0.3), self.aside("close", 0.6, 0.25)
        if rich and self.chance(0.3 if voice.manner else 0.6):
            opening.insert(0, self.drawer.draw("informative", "open"))
        if len(closing) > 1 and self.chance(0.5):
            body.insert(rng.randrange(1, len(body)), closing.pop())
        if opening and self.chance(0.15):
            body.insert(1, opening.pop())
        return " ".join([*opening, *body, *closing])

    def in_voice(self) -> bool:
        """Whether enough phrases of the manner and of the register were drawn (two of a manner in a long answer)."""
        drawn, voice = self.drawer.drawn, self.voice
        if self.style.informativeness == "concise":
            core = self.question.fact.core
            return voice.register is None or drawn[voice.register] >= 1 or self.worded(core) != core
        wanted = 2 if self.style.informativeness == "informative" else 1
        manner = voice.manner is None or drawn[voice.manner] >= wanted
        return manner and (voice.register is None or voice.strength < 1 or drawn[voice.register] >= 1)


def _says_enough(text: str, keys: Sequence[str]) -> bool:
    spoken = set(words(text))
    return sum(key in spoken for key in keys) >= 2


def write(question: Question, style: Style, *, side: Side, seed: int) -> str:
    """One answer to the question in the style.

    Args:
        question: What is answered.
        style: How it is answered.
        side: The half of the phrase banks to write with.
        seed: Other seeds give other answers; the same arguments give the same answer.

    Raises:
        ValueError: If the side is neither "models" nor "users".
    """
    if side not in ("models", "users"):
        raise ValueError(f'write: expected side "models" or "users", got {side!r}.')
    rng = seeded("write", side, style.name, question.topic, question.aspect, seed)
    low, high = length_range(style)
    best, miss = "", 10_000
    for _ in range(_TRIES):
        draft = _Draft(question, style, side, rng)
        text = draft.concise() if style.informativeness == "concise" else draft.long()
        text = fix_articles(capitalize(text))
        size = count_words(text)
        away = max(low - size, size - high, 0) + (0 if _says_enough(text, question.keywords) else 200)
        away += 0 if draft.in_voice() else 100
        if away == 0:
            return text
        if away < miss:
            best, miss = text, away
    return best
