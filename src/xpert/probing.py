"""Probing: base and models answer the same prompts."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from xpert.errors import DataError, SettingsError
from xpert.progress import track
from xpert.prompts import shipped_prompts
from xpert.protocols import Prober
from xpert.types import AnswerPair, Generation, ModelCard

__all__ = ["Probes", "check_names", "choose_prompts", "prompts_digest", "run_probes"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Probes:
    """Everybody's answers to the same prompts.

    Attributes:
        prompts: ``P`` prompts.
        base: The base's answers.
        models: Name to answers.
        cards: One a model, in the order of ``models``.
        second: The base's second answers, for the null embedding; None where nothing is centred.
        null_pairs: How the second answers were made.
    """

    prompts: tuple[str, ...]
    base: tuple[str, ...]
    models: Mapping[str, tuple[str, ...]]
    cards: tuple[ModelCard, ...]
    second: tuple[str, ...] | None
    null_pairs: str

    def pairs(self, name: str) -> list[AnswerPair]:
        """The pairs of a model with the base."""
        return self._pairs(self.models[name])

    def null(self) -> list[AnswerPair] | None:
        """The pairs of the base with itself."""
        return None if self.second is None else self._pairs(self.second)

    def _pairs(self, answers: Sequence[str]) -> list[AnswerPair]:
        triples = zip(self.prompts, self.base, answers, strict=True)
        return [AnswerPair(prompt=prompt, base=base, other=other) for prompt, base, other in triples]


def check_names(names: Sequence[str]) -> None:
    """Names of models must be unique file names.

    Raises:
        xpert.errors.SettingsError: There are none, or one is empty, occurs twice, or has a path separator or control character.
    """
    if not names:
        raise SettingsError("models: expected at least one name and reference, got none")
    for name in names:
        if not name.strip() or name in {".", ".."} or any(c in "/\\" or not c.isprintable() for c in name):
            raise SettingsError(f"models: expected a name without path separators, got {name!r}")
    if twice := [name for name in names if list(names).count(name) > 1]:
        raise SettingsError(f"models: the name {twice[0]!r} occurs twice: give each model its own")


def choose_prompts(
    prober: Prober, references: Sequence[str], prompts: Sequence[str] | None, *, n_prompts: int, seed: int
) -> tuple[str, ...]:
    """The probe prompts: the given ones; else a seeded sample of those that base and models share, or of the shipped set.

    Raises:
        xpert.errors.DataError: Base and models share fewer than ``n_prompts``.
        xpert.errors.SettingsError: An empty list was given.
    """
    if prompts is not None:
        if not prompts or not all(prompt.strip() for prompt in prompts):
            raise SettingsError("prompts: expected a list of non-empty prompts; None takes the shipped set")
        return tuple(prompts)
    shared = prober.prompts(references)
    if shared is None:
        return tuple(shipped_prompts("general", n_prompts, seed))
    if len(shared) < n_prompts:
        raise DataError(
            f"prompts: expected at least {n_prompts} that base and models share, found {len(shared)}: record more answers or lower n_prompts"
        )
    chosen = sorted(random.Random(seed).sample(range(len(shared)), n_prompts))
    return tuple(shared[i] for i in chosen)


def run_probes(
    prober: Prober, models: Mapping[str, str], prompts: Sequence[str], generation: Generation, *, second: bool
) -> Probes:
    """Let base and models answer; every model is checked against the base before the first one answers.

    Args:
        prober: The open base.
        models: Name to reference.
        prompts: ``P`` prompts.
        generation: How to answer.
        second: Whether the base answers a second time, for the null embedding.
    """
    cards = tuple(prober.card(name, reference) for name, reference in models.items())
    base = prober.answer(None, prompts, generation)
    again, how = prober.second_answer(prompts, generation) if second else (None, "none")
    answers = {
        name: tuple(prober.answer(reference, prompts, generation))
        for name, reference in track(list(models.items()), "Probing")
    }
    return Probes(
        prompts=tuple(prompts),
        base=tuple(base),
        models=answers,
        cards=cards,
        second=None if again is None else tuple(again),
        null_pairs=how,
    )


def prompts_digest(prompts: Sequence[str]) -> str:
    """SHA-256 over the prompts and their order."""
    return hashlib.sha256(json.dumps(list(prompts), ensure_ascii=False).encode()).hexdigest()
