"""Probing: base and models answer the same prompts, each model's answers handed on as soon as they are there."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from xpert.cache import Cache
from xpert.errors import DataError, SettingsError
from xpert.matching import opposite
from xpert.modalities import load_modality, modality_of
from xpert.progress import bar
from xpert.prompts import shipped_prompts
from xpert.protocols import FingerprintedProber, GroupProber, Modality, Prober
from xpert.remember import answers_key
from xpert.types import AnswerPair, Generation

__all__ = [
    "Answers",
    "ProbeTask",
    "Probes",
    "answered",
    "base_fingerprint",
    "check_names",
    "choose_prompts",
    "model_answers",
    "probe",
    "prompts_digest",
    "run_probes",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeTask:
    """Everything that one model's answers depend on: picklable, so that an engine can carry it to another machine.

    Attributes:
        base: Reference of the base. reference: The model's; None: the base itself.
        prompts: ``P`` prompts.
        generation: How to answer.
        second: Whether the base's second answers are wanted, for the null embedding.
        modality: Its name, or an object (picklable, if the task is to be). None: told from the base.
        device: Where the base computes; None: it chooses. dtype: Its number type, likewise.
    """

    base: str
    reference: str | None = None
    prompts: tuple[str, ...]
    generation: Generation
    second: bool = False
    modality: str | Modality | None = None
    device: str | None = None
    dtype: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """A model's answers to the prompts of a task, and how they were made (told of second answers only)."""

    texts: tuple[str, ...]
    how: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Probes:
    """The base's answers, beside which every model's are laid.

    Attributes:
        prompts: ``P`` prompts.
        base: The base's answers.
        second: The base's second answers, for the null embedding; None where nothing is centred.
        null_pairs: How the second answers were made.
    """

    prompts: tuple[str, ...]
    base: tuple[str, ...]
    second: tuple[str, ...] | None
    null_pairs: str

    def pairs(self, answers: Sequence[str]) -> list[AnswerPair]:
        """A model's answers, each beside the base's.

        Raises:
            xpert.errors.DataError: There are not as many as prompts.
        """
        if len(answers) != len(self.prompts):
            raise DataError(f"prober: expected {len(self.prompts)} answers, one a prompt, got {len(answers)}")
        triples = zip(self.prompts, self.base, answers, strict=True)
        return [AnswerPair(prompt=prompt, base=base, other=other) for prompt, base, other in triples]

    def null(self) -> list[AnswerPair] | None:
        """The pairs of the base with itself."""
        return None if self.second is None else self.pairs(self.second)

    def opposites(self, seed: int) -> list[AnswerPair]:
        """Each base answer beside its `opposite`, without a prompt: what an unpaired reference makes of the base itself."""
        others = opposite(len(self.base), seed)
        return [AnswerPair(prompt="", base=self.base[j], other=self.base[i]) for i, j in enumerate(others)]


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


def probe(task: ProbeTask) -> Answers:
    """A model's answers, from the task alone: the base is opened, asked and closed."""
    modality = load_modality(task.modality or modality_of(task.base))
    with modality.open(task.base, device=task.device, dtype=task.dtype) as prober:
        return answered(prober, task)


def answered(prober: Prober, task: ProbeTask) -> Answers:
    """The same from a base that is open already."""
    if task.second:
        texts, how = prober.second_answer(task.prompts, task.generation)
        return Answers(texts=tuple(texts), how=how)
    return Answers(texts=tuple(prober.answer(task.reference, task.prompts, task.generation)))


def run_probes(prober: Prober, task: ProbeTask, cache: Cache | None = None, *, second: bool) -> Probes:
    """Let the base answer, unless the cache knows what it says.

    Args:
        prober: The open base.
        task: The base's.
        cache: Where answers are looked up and kept; None: nowhere.
        second: Whether it answers a second time, for the null embedding.
    """
    base = _remembered(prober, task, cache)
    again = _remembered(prober, replace(task, second=True), cache) if second else None
    return Probes(
        prompts=task.prompts,
        base=base.texts,
        second=None if again is None else again.texts,
        null_pairs="none" if again is None else again.how,
    )


def model_answers(
    prober: Prober, task: ProbeTask, models: Mapping[str, str], cache: Cache | None = None
) -> Iterator[tuple[str, Answers]]:
    """Every model's name and answers, as soon as they are there: those that the cache knows first, then the others.

    What is computed is stored as soon as it is there. The answers of one group of models are held at a time.

    Args:
        prober: The open base.
        task: The base's; its reference is replaced by each model's.
        models: Name to reference; two names may share one.
        cache: Where answers are looked up and kept; None: nowhere.

    Raises:
        xpert.errors.DataError: The prober left a model out.
    """
    names = {reference: [n for n, r in models.items() if r == reference] for reference in models.values()}
    with bar("Explaining", len(models), unit="model") as advance:
        for reference, answers in _each(prober, task, list(names), cache):
            for name in names.pop(reference):
                yield name, answers
                advance(name)
    if names:
        raise DataError(f"prober: expected answers of {next(iter(names))!r}, got none")


def _each(
    prober: Prober, task: ProbeTask, references: Sequence[str], cache: Cache | None
) -> Iterator[tuple[str, Answers]]:
    """Each reference with its answers: known ones, then new ones in groups where the prober can."""
    new: dict[str, str | None] = {}
    for reference in references:
        key = None if cache is None else _key(prober, replace(task, reference=reference))
        if (known := _known(cache, key)) is not None:
            yield reference, known
        else:
            new[reference] = key
    if isinstance(prober, GroupProber) and new:

        def keep(reference: str, texts: list[str]) -> None:
            _kept(cache, new[reference], Answers(texts=tuple(texts)))

        for reference, texts in prober.answer_many(list(new), task.prompts, task.generation, on_finished=keep):
            yield reference, Answers(texts=tuple(texts))
        return
    for reference, key in new.items():
        yield reference, _kept(cache, key, answered(prober, replace(task, reference=reference)))


def _remembered(prober: Prober, task: ProbeTask, cache: Cache | None) -> Answers:
    key = None if cache is None else _key(prober, task)
    return _known(cache, key) or _kept(cache, key, answered(prober, task))


def _key(prober: Prober, task: ProbeTask) -> str | None:
    """What the answers of a task are stored under; None: not at all."""
    said = prober.fingerprint(task.reference) if isinstance(prober, FingerprintedProber) else None
    if said is None:
        return None
    modality = task.modality or ""
    name = modality if isinstance(modality, str) else modality.name
    return answers_key(said, name, task.prompts, task.generation, second=task.second)


def _known(cache: Cache | None, key: str | None) -> Answers | None:
    value = None if cache is None or key is None else cache.get_json("answers", key)
    return None if value is None else Answers(texts=tuple(value["texts"]), how=value["how"])


def _kept(cache: Cache | None, key: str | None, answers: Answers) -> Answers:
    if cache is not None and key is not None:
        cache.put_json("answers", key, {"texts": list(answers.texts), "how": answers.how})
    return answers


def prompts_digest(prompts: Sequence[str]) -> str:
    """SHA-256 over the prompts and their order."""
    return hashlib.sha256(json.dumps(list(prompts), ensure_ascii=False).encode()).hexdigest()


def base_fingerprint(prober: Prober) -> str | None:
    """Identity of the base as it answers here (`FingerprintedProber`); None: the prober does not say."""
    return prober.fingerprint(None) if isinstance(prober, FingerprintedProber) else None
