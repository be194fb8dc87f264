"""Where the texts come from: the authors' published answers, or what the zoo's models say."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from xpert.examples import load_answers
from xpert.modalities.text import TextModality
from xpert.progress import say
from xpert.tensors.files import write_text
from xpert.types import Example, Generation
from xpert.zoo import adapter_names
from xpert.zoo.corpus import STYLES, examples, side_questions

__all__ = ["Draw", "Source", "StyleQA", "User", "ZooAnswers"]

N_PAIRS = 50
N_ZOO_PROMPTS = 200
"""Prompts that the zoo's models answer once; each draw asks 50 of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """Fifty texts of one style, and the base's answers to the same prompts."""

    style: str
    examples: tuple[Example, ...]
    base: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Draw:
    """One draw: what the models are asked, and users who wrote about other things."""

    prompts: tuple[str, ...]
    users: tuple[User, ...]


class Source(Protocol):
    """Answers of a base and of one model a style, and users."""

    styles: Sequence[str]
    base: Mapping[str, str]
    answers: Mapping[str, Mapping[str, str]]

    def draw(self, seed: int, users_a_style: int) -> Draw:
        """The draw of a seed."""
        ...


class StyleQA:
    """1,000 instructions answered in six styles and in the default way; a draw splits them in halves, models and users."""

    def __init__(self, data: Path) -> None:
        files = {file.stem: file for file in sorted((data / "style_qa").glob("*.jsonl"))}
        texts = {name: {str(e.prompt): e.response for e in load_answers(file)} for name, file in files.items()}
        self.base: Mapping[str, str] = texts.pop("default")
        self.styles: Sequence[str] = list(texts)
        self.answers: Mapping[str, Mapping[str, str]] = texts

    def draw(self, seed: int, users_a_style: int) -> Draw:
        """Halves, 50 instructions of the first for the models, 50 of the second for each user."""
        rng = random.Random(f"style_qa/{seed}")
        shuffled = rng.sample(list(self.base), len(self.base))
        models, others = shuffled[: len(shuffled) // 2], shuffled[len(shuffled) // 2 :]
        asked = tuple(rng.sample(models, N_PAIRS))
        users: list[User] = []
        for style in self.styles:
            for _ in range(users_a_style):
                prompts = rng.sample(others, N_PAIRS)
                own = tuple(Example(prompt=p, response=self.answers[style][p]) for p in prompts)
                users.append(User(style=style, examples=own, base=tuple(self.base[p] for p in prompts)))
        return Draw(prompts=asked, users=tuple(users))


class ZooAnswers:
    """What ``zoo:base`` and the zoo's adapters generate (greedy, once, kept in a file); users are the corpus' users' half."""

    def __init__(self, work: Path) -> None:
        self.styles: Sequence[str] = adapter_names()
        self._asked = [q.text for q in random.Random(0).sample(side_questions("models"), N_ZOO_PROMPTS)]
        everyone = list(dict.fromkeys([*self._asked, *(q.text for q in side_questions("users"))]))
        with TextModality().open("zoo:base") as prober:
            told = {"base": _kept(work / "base.json", lambda: prober.answer(None, everyone, Generation()), everyone)}
            for style in self.styles:
                say(f"zoo: answers of {style}")
                told[style] = _kept(
                    work / f"{style}.json",
                    lambda name=style: prober.answer(f"zoo:{name}", self._asked, Generation()),
                    self._asked,
                )
        self.base: Mapping[str, str] = told.pop("base")
        self.answers: Mapping[str, Mapping[str, str]] = told

    def draw(self, seed: int, users_a_style: int) -> Draw:
        """50 of the recorded prompts, and users on the other half's questions."""
        asked = tuple(random.Random(f"zoo/{seed}").sample(self._asked, N_PAIRS))
        users: list[User] = []
        for number, style in enumerate(self.styles):
            for k in range(users_a_style):
                own = examples(STYLES[style], side="users", n=N_PAIRS, seed=100_000 * (seed + 1) + 100 * number + k)
                users.append(User(style=style, examples=tuple(own), base=tuple(self.base[str(e.prompt)] for e in own)))
        return Draw(prompts=asked, users=tuple(users))


def _kept(file: Path, answer, prompts: Sequence[str]) -> Mapping[str, str]:
    if not file.is_file():
        file.parent.mkdir(parents=True, exist_ok=True)
        write_text(file, json.dumps(dict(zip(prompts, answer(), strict=True))) + "\n")
    return json.loads(file.read_text(encoding="utf-8"))
