"""Recorded models: only their answers exist, so answering is looking up."""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Sequence

from xpert.errors import DataError, IncompatibleModelError
from xpert.examples import load_answers
from xpert.references import describe, parse_reference, resolve
from xpert.types import Example, Generation, ModelCard

__all__ = ["RecordedAnswers", "RecordedProber", "card_of", "reorder", "shared_prompts"]


_BOUNDARIES = (
    re.compile(r"((?<=[.!?])\s+|(?<=[.!?][\"')\]*])\s+|\n\s*)"),
    re.compile(r"((?<=[,;:])\s+|\s+[-–—]+\s+)"),
)
"""What separates sentences and lines; clauses."""
_LIST_MARK = re.compile(r"\W*\w{1,2}[.)]")


class RecordedAnswers:
    """One recorded model: its answers by prompt, in the file's order."""

    def __init__(self, reference: str) -> None:
        """Read the file of ``answers:FILE``."""
        self.reference = reference
        self.path = resolve(reference)
        self._answers = {str(answer.prompt): answer for answer in load_answers(self.path)}

    @property
    def prompts(self) -> list[str]:
        """The prompts it answered."""
        return list(self._answers)

    def __contains__(self, prompt: str) -> bool:
        return prompt in self._answers

    def examples(self, prompts: Sequence[str]) -> list[Example]:
        """Its answers to the prompts, in their order.

        Raises:
            xpert.errors.DataError: It has no answer to one of them.
        """
        missing = [prompt for prompt in prompts if prompt not in self._answers]
        if missing:
            raise DataError(
                f"{self.path}: no answer to {len(missing)} of {len(prompts)} prompts, first {_short(missing[0])!r}: "
                "record them, or use prompts that all recorded models answered"
            )
        return [self._answers[prompt] for prompt in prompts]


class RecordedProber:
    """A recorded base and its recorded models (see `xpert.protocols.Prober`)."""

    def __init__(self, base: str) -> None:
        """Read the base's answers.

        Args:
            base: ``answers:FILE``.
        """
        self.base = base
        self._models = {base: RecordedAnswers(base)}

    def card(self, name: str, reference: str) -> ModelCard:
        """The catalog entry of a recorded model."""
        self._model(reference)
        return card_of(name, reference, self.base)

    def answer(self, reference: str | None, prompts: Sequence[str], generation: Generation) -> list[str]:
        """The recorded answers; how to generate does not matter."""
        return [example.response for example in self._model(reference).examples(prompts)]

    def prompts(self, references: Sequence[str]) -> list[str]:
        """The prompts that the base and all models answered, in the base's order."""
        return shared_prompts([self._model(None), *(self._model(reference) for reference in references)])

    def second_answer(self, prompts: Sequence[str], generation: Generation) -> tuple[list[str], str]:
        """Each prompt's ``response2`` if all have one (``response2``), else the answer reordered (``reordered``)."""
        examples = self._model(None).examples(prompts)
        seconds = [example.response2 for example in examples if example.response2 is not None]
        if len(seconds) == len(examples):
            return seconds, "response2"
        texts = [
            reorder(example.response, f"{generation.seed}\x1f{prompt}")
            for prompt, example in zip(prompts, examples, strict=True)
        ]
        return texts, "reordered"

    def _model(self, reference: str | None) -> RecordedAnswers:
        reference = self.base if reference is None else reference
        if parse_reference(reference).scheme != "answers":
            raise IncompatibleModelError(
                f"model {reference!r} has weights, but the base {self.base!r} is recorded: expected answers:FILE.jsonl, "
                "or a base that can generate"
            )
        if reference not in self._models:
            self._models[reference] = RecordedAnswers(reference)
        return self._models[reference]


def card_of(name: str, reference: str, base: str) -> ModelCard:
    """The catalog entry of a model, from what `xpert.references.describe` tells of it."""
    info = describe(reference)
    return ModelCard(
        name=name,
        reference=reference,
        revision=info.revision,
        kind=info.kind,
        base=base,
        bytes=info.bytes,
        licence=info.licence,
        sha256=info.sha256,
    )


def shared_prompts(models: Sequence[RecordedAnswers]) -> list[str]:
    """The prompts that all models answered, in the first one's order.

    Raises:
        xpert.errors.DataError: There are none.
    """
    first, *others = models
    shared = [prompt for prompt in first.prompts if all(prompt in other for other in others)]
    if not shared:
        raise DataError(
            f"{first.path} and {', '.join(str(other.path) for other in others)} share no prompt: "
            "recorded models must have answered the same prompts"
        )
    return shared


def reorder(text: str, seed: str) -> str:
    """The same text in another order: its parts change places, what separates them (spaces, line breaks) stays.

    The parts are sentences and lines; a text of one sentence is taken apart at commas, semicolons, colons and dashes; without
    those, its first and second half of words change places. A single word stays as it is.

    >>> reorder("One two. Three four.", "0")
    'Three four. One two.'
    >>> reorder("one two three", "0")
    'two three one'
    """
    for pattern in _BOUNDARIES:
        parts, gaps = _parts(pattern, text.strip())
        if len(parts) >= 2:
            order = _order(len(parts), seed)
            return "".join(parts[i] + gap for i, gap in zip(order, [*gaps, ""], strict=True))
    words = text.split()
    half = len(words) // 2
    return " ".join(words[half:] + words[:half])


def _parts(pattern: re.Pattern[str], text: str) -> tuple[list[str], list[str]]:
    """The parts between boundaries, and what stands between them; a list's number stays with what follows it."""
    pieces = pattern.split(text)
    parts, gaps = [pieces[0]], list[str]()
    for gap, part in zip(pieces[1::2], pieces[2::2], strict=True):
        if _LIST_MARK.fullmatch(parts[-1]):
            parts[-1] += gap + part
        else:
            gaps.append(gap)
            parts.append(part)
    return parts, gaps


def _order(n: int, seed: str) -> list[int]:
    """A permutation of ``n >= 2`` that is not the identity, drawn from the seed."""
    generator = random.Random(hashlib.sha256(seed.encode()).digest())
    order = list(range(n))
    while order == sorted(order):
        generator.shuffle(order)
    return order


def _short(prompt: str) -> str:
    return prompt if len(prompt) <= 60 else prompt[:57] + "..."
