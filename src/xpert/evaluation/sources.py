"""Where texts of known style come from: a folder of recorded answers, or what the zoo's models say; and draws of prompts and users.

A draw never gives a user a prompt that the models were asked.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

from xpert.errors import DataError
from xpert.evaluation.keeping import kept
from xpert.examples import load_answers
from xpert.modalities import load_modality, modality_of
from xpert.progress import say
from xpert.protocols import Prober
from xpert.references import describe
from xpert.types import Example, Generation
from xpert.zoo import adapter_names
from xpert.zoo.corpus import STYLES, examples, side_questions

__all__ = ["N_PAIRS", "Draw", "FolderAnswers", "Source", "User", "ZooAnswers", "fingerprint", "kept_answers"]

N_PAIRS = 50
"""Pairs of a model, and of a user."""

N_ZOO_PROMPTS = 200
"""Prompts that the zoo's models answer once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """Fifty texts of one style, and the base's answers to the same prompts; none where there is no base that answers."""

    style: str
    examples: tuple[Example, ...]
    base: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Draw:
    """One draw: what the models are asked, and users who wrote about other things."""

    prompts: tuple[str, ...]
    users: tuple[User, ...]


class Source(Protocol):
    """Answers of a base and of one model a style, what is said where a model is not in its style (the base's answers, mostly), and users."""

    styles: Sequence[str]
    base: Mapping[str, str]
    unstyled: Mapping[str, str]
    answers: Mapping[str, Mapping[str, str]]

    def draw(self, seed: int, users_a_style: int) -> Draw:
        """The draw of a seed."""
        ...


class FolderAnswers:
    """A folder of recorded answers, one ``STYLE.jsonl`` a style and the base's, all to the same prompts.

    A draw splits the prompts in halves, models and users.

    Args:
        folder: Of the files. Its name is part of the seed.
        base: Stem of the base's file.

    Raises:
        xpert.errors.DataError: No base, no styles, or fewer than 50 prompts a half that all of them answered.
    """

    def __init__(self, folder: Path, base: str = "default") -> None:
        files = {file.stem: file for file in sorted(folder.glob("*.jsonl"))}
        if base not in files or len(files) < 2:
            raise DataError(f"{folder}: expected {base}.jsonl and one .jsonl a style, got {', '.join(files) or 'none'}")
        texts = {name: {str(e.prompt): e.response for e in load_answers(file)} for name, file in files.items()}
        self._name = folder.name
        self.base: Mapping[str, str] = texts.pop(base)
        self.unstyled: Mapping[str, str] = self.base
        self.styles: Sequence[str] = list(texts)
        self.answers: Mapping[str, Mapping[str, str]] = texts
        self._prompts = [prompt for prompt in self.base if all(prompt in told for told in texts.values())]
        if len(self._prompts) < 2 * N_PAIRS:
            raise DataError(
                f"{folder}: expected {2 * N_PAIRS} prompts or more that base and styles share, got {len(self._prompts)}"
            )

    def draw(self, seed: int, users_a_style: int) -> Draw:
        """Halves, 50 prompts of the first for the models, 50 of the second for each user."""
        rng = random.Random(f"{self._name}/{seed}")
        shuffled = rng.sample(self._prompts, len(self._prompts))
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
    """What ``zoo:base`` and the zoo's adapters generate (greedy, once, kept in a file); users are the corpus' users' half.

    Args:
        work: Folder that keeps the answers.
        styles: Whose; None: all.
        n_prompts: Prompts that each model answers; each draw asks 50 of them.
    """

    def __init__(self, work: Path, styles: Sequence[str] | None = None, n_prompts: int = N_ZOO_PROMPTS) -> None:
        self.styles: Sequence[str] = list(styles or adapter_names())
        self._asked = [q.text for q in random.Random(0).sample(side_questions("models"), n_prompts)]
        everyone = list(dict.fromkeys([*self._asked, *(q.text for q in side_questions("users"))]))
        with load_modality(modality_of("zoo:base")).open("zoo:base") as prober:
            told = {"base": kept_answers(work, prober, "base", ("zoo:base", None), everyone)}
            for style in self.styles:
                say(f"zoo: answers of {style}")
                told[style] = kept_answers(work, prober, style, ("zoo:base", f"zoo:{style}"), self._asked)
        self.base: Mapping[str, str] = told.pop("base")
        self.unstyled: Mapping[str, str] = self.base
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


def fingerprint(source: Source) -> str:
    """Eight letters that change with any answer of a source."""
    return hashlib.sha256(json.dumps([source.base, source.answers]).encode()).hexdigest()[:8]


def kept_answers(
    work: Path,
    prober: Prober,
    name: str,
    references: tuple[str, str | None],
    prompts: Sequence[str],
    *,
    generation: Generation | None = None,
) -> Mapping[str, str]:
    """What a model says to prompts, asked for once; other weights, prompts or ways to answer are another file.

    Args:
        work: Folder of the files.
        prober: Of the base.
        name: Of the file.
        references: Of the base and of the model; None: the base itself.
        prompts: Which.
        generation: How it answers; None: greedily.
    """
    how = generation or Generation()
    base, model = references
    weights = "-".join(describe(reference).sha256[:8] for reference in (base, model or base))
    told = [*prompts] if how == Generation() else [*prompts, asdict(how)]
    asked = hashlib.sha256(json.dumps(told).encode()).hexdigest()[:8]
    file = work / f"{name}-{weights}-{asked}.json"
    return kept(file, lambda: dict(zip(prompts, prober.answer(model, prompts, how), strict=True)))
