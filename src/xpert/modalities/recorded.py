"""Recorded models: only their answers exist, so answering is looking up. Texts and images alike."""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from xpert.errors import DataError, IncompatibleModelError
from xpert.examples import holds_images, load_answers, load_prompts
from xpert.images import image_uri, open_image, read_image_uri
from xpert.references import describe, parse_reference, resolve
from xpert.types import Example, Generation, ModelCard

__all__ = [
    "PROMPTS_FILE",
    "RecordedAnswers",
    "RecordedProber",
    "card_of",
    "own_or_shared_prompts",
    "reorder",
    "shared_prompts",
]

PROMPTS_FILE = "xpert_prompts.jsonl"
"""Prompts that come with a base: the ones it should be probed with."""

_BOUNDARIES = (
    re.compile(r"((?<=[.!?])\s+|(?<=[.!?][\"')\]*])\s+|\n\s*)"),
    re.compile(r"((?<=[,;:])\s+|\s+[-–—]+\s+)"),
)
"""What separates sentences and lines; clauses."""
_LIST_MARK = re.compile(r"\W*\w{1,2}[.)]")


class RecordedAnswers:
    """One recorded model: its answers by prompt, in the file's order. ``images``: whether they are images."""

    def __init__(self, reference: str) -> None:
        """Read the file of ``answers:FILE``."""
        self.reference = reference
        self.path = resolve(reference)
        self.images = holds_images(self.path)
        self._answers = {str(answer.prompt): answer for answer in load_answers(self.path)}

    @property
    def prompts(self) -> list[str]:
        """The prompts it answered."""
        return list(self._answers)

    def __contains__(self, prompt: str) -> bool:
        return prompt in self._answers

    def examples(self, prompts: Sequence[str]) -> list[Example]:
        """Its answers to the prompts, in their order; images as data URIs.

        Raises:
            xpert.errors.DataError: It has no answer to one of them, or an image cannot be read.
        """
        missing = [prompt for prompt in prompts if prompt not in self._answers]
        if missing:
            raise DataError(
                f"{self.path}: no answer to {len(missing)} of {len(prompts)} prompts, first {_short(missing[0])!r}: "
                "record them, or use prompts that all recorded models answered"
            )
        found = [self._answers[prompt] for prompt in prompts]
        return [self._painted(answer) for answer in found] if self.images else found

    def _painted(self, answer: Example) -> Example:
        try:
            second = None if answer.response2 is None else read_image_uri(answer.response2)
            return replace(answer, response=read_image_uri(answer.response), response2=second)
        except DataError as error:
            raise DataError(f"{self.path}: {error}") from None


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
        """Each prompt's ``response2`` if all have one (``response2``), else the answer reordered (``reordered``, images: ``mirrored``)."""
        examples = self._model(None).examples(prompts)
        seconds = [example.response2 for example in examples if example.response2 is not None]
        if len(seconds) == len(examples):
            return seconds, "response2"
        if self._model(None).images:
            return [_mirrored(example.response) for example in examples], "mirrored"
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
            model, images = RecordedAnswers(reference), self._models[self.base].images
            if model.images != images:
                kinds = ("texts", "images") if images else ("images", "texts")
                raise IncompatibleModelError(
                    f"model {reference!r} has recorded {kinds[0]}, the base {self.base!r} {kinds[1]}: expected the same of both"
                )
            self._models[reference] = model
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


def own_or_shared_prompts(folder: Path, recorded: Sequence[RecordedAnswers]) -> list[str] | None:
    """The prompts in a base's folder (`PROMPTS_FILE`), of which the recorded models must have answered some; else theirs; else None.

    Raises:
        xpert.errors.DataError: They share none.
    """
    shared = shared_prompts(recorded) if recorded else None
    file = folder / PROMPTS_FILE
    if not file.is_file():
        return shared
    own = load_prompts(file)
    if shared is None:
        return own
    both = [prompt for prompt in own if prompt in set(shared)]
    if not both:
        raise DataError(f"{file}: no prompt in it was answered by all recorded models: give prompts that were")
    return both


def _mirrored(image: str) -> str:
    """The image with left and right changed."""
    from PIL import ImageOps

    return image_uri(ImageOps.mirror(open_image(image)))


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
