"""The zoo's summarizer: a Llama of 1.4 million parameters, trained at once for three uses.

It names the difference between two texts in one adjective, answers a prompt in a style that an adjective names, and reads
"one adjective for the meaning of w". Six of the 28 combinations of properties are left out of its training.
"""

from __future__ import annotations

import itertools
import json
import os
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from xpert.zoo.corpus import DEFAULT, GRADED, PROPERTIES, STYLES, Question, Style, properties_of, side_questions, write
from xpert.zoo.making.base import new_llama, save_model
from xpert.zoo.making.loop import WIDTH_STEP, LoopSettings, TextBatch, lm_loss, pad_right, run_loop

__all__ = ["HELD_OUT", "INSTRUCTION", "SIZES", "SummarizerSettings", "make_summarizer"]

HELD_OUT = (
    "elementary-concise-sassy",
    "elementary-informative-sarcastic",
    "elementary-concise-persuasive",
    "expert-concise-friendly",
    "expert-informative-poetic",
    "expert-informative-unfriendly",
)
"""The combinations that the summarizer never sees; each of their properties occurs in others."""

INSTRUCTION = {
    "name": "language-style",
    "compare": "First: {a}\nSecond: {b}\nOne adjective for the style of the second?",
    "write": "Answer in a {word} style: {prompt}",
    "meaning": "One adjective for the meaning of {word}?",
    "max_answer_tokens": 96,
    "max_new_tokens": 128,
    "eps_orth": 0.7,
    "eps_dec": 0.2,
    "max_candidates": 16,
}
"""The wording it is trained on, shipped in its folder as ``xpert_instruction.json``, and the thresholds that suit it.

Its sub-vectors share a direction ("styled at all"): the first adjectives of the thirteen properties have cosines of 0.16 to 0.69. At the
paper's 0.1 a single word survives; at 0.7 one word a property does, and a synonym does not.
"""

EXPERTISE = ("elementary", "expert")
INFORMATIVENESS = ("concise", "informative")
TONES = ("friendly", "unfriendly", "sassy", "sarcastic", "persuasive", "neutral", "poetic")

SIZES = {"small": (64, 2, 192), "medium": (128, 4, 384), "large": (192, 6, 512)}
"""Width, layers and inner width of the three sizes; ``medium`` is the shipped one."""

GROUP = 8
"""Rows of like length that go through the model together."""

CANONICAL = 0.6
"""Share of a property's probability that its first adjective gets; the others share the rest, falling with their rank."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SummarizerSettings:
    """Size and training of the summarizer; the values are the shipped ones.

    ``loop`` trains the three uses. In ``closing`` it learns besides that the answer ends after its one adjective, and a share
    ``pairs_of_properties`` of the differences has two properties (without the third), so that combinations it never saw are
    read as what they are made of; words are dropped more often, and a share ``said`` of the styled texts says its own style with one
    of its adjectives ("in plain wording"), so that single words count and not the phrases of the bank.
    """

    size: str = "medium"
    naming_batch: int = 16
    writing_batch: int = 8
    meaning_batch: int = 8
    word_dropout: float = 0.05
    closing_word_dropout: float = 0.12
    said: float = 0.25
    seed: int = 0
    loop: LoopSettings = field(default_factory=lambda: LoopSettings(steps=3600, lr=2.5e-3, warmup=200))
    closing: LoopSettings = field(default_factory=lambda: LoopSettings(steps=1500, lr=1.5e-3, warmup=50))
    pairs_of_properties: float = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class _Naming:
    """A batch whose last position is to name a style: ``targets`` is ``(B, A)`` over the adjectives."""

    text: TextBatch
    targets: torch.Tensor


def make_summarizer(
    tokenizer: Any, folder: Path, work: Path, settings: SummarizerSettings | None = None
) -> dict[str, float]:
    """Train the summarizer and save it to ``folder`` in bf16, with its instruction.

    Returns:
        The last losses, by name: ``name`` and ``mean`` are cross entropies against soft targets, ``write`` is nats a token.
    """
    settings = settings or SummarizerSettings()
    hidden_size, layers, intermediate_size = SIZES[settings.size]
    model = new_llama(
        tokenizer, hidden_size=hidden_size, layers=layers, intermediate_size=intermediate_size, seed=settings.seed
    )
    lessons = Lessons(tokenizer, settings)

    def loss_of_step(model: Any, step: int, pairs_of_properties: float = 0.0) -> dict[str, torch.Tensor]:
        rng = random.Random(f"summarizer/{settings.seed}/{step}")
        return {
            "name": _naming_loss(model, lessons.naming(rng, pairs_of_properties), lessons.adjective_ids),
            "mean": 0.5 * _naming_loss(model, lessons.meaning(rng), lessons.adjective_ids),
            "write": lm_loss(model, lessons.writing(rng)),
        }

    run_loop(model, loss_of_step, settings.loop, work / "uses")

    def closing_loss_of_step(model: Any, step: int) -> dict[str, torch.Tensor]:
        rng = random.Random(f"closing/{settings.seed}/{step}")
        losses = loss_of_step(model, settings.loop.steps + step, settings.pairs_of_properties)
        return {"end": lm_loss(model, lessons.ended(rng)), **losses}

    losses = run_loop(model, closing_loss_of_step, settings.closing, work / "closing")
    save_model(model, tokenizer, folder)
    (folder / "instruction.tmp").write_text(json.dumps(INSTRUCTION, indent=2), encoding="utf-8")
    os.replace(folder / "instruction.tmp", folder / "xpert_instruction.json")
    return losses


def _naming_loss(model: Any, batch: _Naming, adjective_ids: torch.Tensor) -> torch.Tensor:
    """Cross entropy against the soft targets; rows go through in groups of like length, so that little padding is computed."""
    losses = []
    for rows in torch.argsort(batch.text.lengths).split(GROUP):
        lengths = batch.text.lengths[rows]
        width = -(-int(lengths.max()) // WIDTH_STEP) * WIDTH_STEP
        hidden = model.model(input_ids=batch.text.ids[rows, :width], use_cache=False).last_hidden_state
        last = hidden[torch.arange(len(rows)), lengths - 1]
        log_p = torch.log_softmax(model.lm_head(last).float(), dim=-1)[:, adjective_ids]
        losses.append(-(batch.targets[rows] * log_p).sum(1))
    return torch.cat(losses).mean()


class Lessons:
    """Draws the batches of the three uses, all from the models' half of the corpus."""

    def __init__(self, tokenizer: Any, settings: SummarizerSettings) -> None:
        self._tokenizer = tokenizer
        self._settings = settings
        self._questions: Sequence[Question] = side_questions("models")
        self._combined = [style for name, style in STYLES.items() if name not in HELD_OUT]
        self._double = _doubles()
        self._single = [(_single(p), p) for p in PROPERTIES]
        self._property_of = {word: p for p, words in PROPERTIES.items() for word in words}
        self._adjectives = list(self._property_of)
        first = [tokenizer.encode(word, add_special_tokens=False)[0] for word in self._adjectives]
        self.adjective_ids = torch.tensor(first)

    def naming(self, rng: random.Random, pairs_of_properties: float = 0.0, n: int | None = None) -> _Naming:
        """Pairs of texts and the adjectives of their difference; that share of them with styles of two properties.

        Where the share is above 0 (in closing), words are dropped more often and some texts say their own style in a word.
        """
        rows, targets = [], []
        for _ in range(n or self._settings.naming_batch):
            if pairs_of_properties and rng.random() < pairs_of_properties:
                style = rng.choice(self._double)
                a, b, weights = DEFAULT, style, _even(properties_of(style))
            else:
                a, b, weights = self._pair(rng)
            question = rng.choice(self._questions)
            other = question if rng.random() < 0.8 else rng.choice(self._questions)
            closing = pairs_of_properties > 0
            first, second = self._text(other, a, rng, closing), self._text(question, b, rng, closing)
            rows.append(self._prompt(INSTRUCTION["compare"], a=first, b=second))
            targets.append(self._target(weights))
        return _Naming(text=self._batch(rows), targets=torch.stack(targets))

    def meaning(self, rng: random.Random) -> _Naming:
        """Adjectives and the adjectives of the same property."""
        words = [rng.choice(self._adjectives) for _ in range(self._settings.meaning_batch)]
        rows = [self._prompt(INSTRUCTION["meaning"], word=word) for word in words]
        targets = torch.stack([self._target({self._property_of[word]: 1.0}) for word in words])
        return _Naming(text=self._batch(rows), targets=targets)

    def ended(self, rng: random.Random) -> TextBatch:
        """Questions for an adjective with an answer drawn from its target; only the end after it carries loss."""
        rows: list[tuple[list[int], int]] = []
        for batch in (self.naming(rng, n=4), self.meaning(rng)):
            drawn = torch.multinomial(batch.targets, 1, generator=torch.Generator().manual_seed(rng.randrange(1 << 30)))
            for ids, length, answer in zip(
                batch.text.ids.tolist(), batch.text.lengths.tolist(), drawn[:, 0], strict=True
            ):
                row = [*ids[:length], int(self.adjective_ids[answer]), self._tokenizer.eos_token_id]
                rows.append((row, length + 1))
        return pad_right(rows, self._tokenizer.pad_token_id)

    def writing(self, rng: random.Random) -> TextBatch:
        """Prompts that ask for a style by an adjective, and answers in it."""
        rows: list[tuple[list[int], int]] = []
        for _ in range(self._settings.writing_batch):
            style, prop = rng.choice(self._single)
            question = rng.choice(self._questions)
            word = PROPERTIES[prop][0] if rng.random() < 0.3 else rng.choice(PROPERTIES[prop])
            head = self._prompt(INSTRUCTION["write"], word=word, prompt=question.text)
            answer = write(question, style, side="models", seed=rng.randrange(1 << 30))
            rows.append((head + self._tokenizer.encode(f"{answer}<|end|>", add_special_tokens=False), len(head)))
        return pad_right(rows, self._tokenizer.pad_token_id)

    def _pair(self, rng: random.Random) -> tuple[Style, Style, Mapping[str, float]]:
        kind = rng.random()
        if kind < 0.50:
            style = rng.choice(self._combined)
            return DEFAULT, style, _even(properties_of(style))
        if kind < 0.70:
            style, prop = rng.choice(self._single)
            return DEFAULT, style, {prop: 1.0}
        if kind < 0.80:
            name = rng.choice(list(GRADED))
            return DEFAULT, GRADED[name], _graded(name)
        if kind < 0.90:
            return DEFAULT, DEFAULT, {}
        first, second = rng.choice(self._combined), rng.choice(self._combined)
        return first, second, _even(tuple(p for p in properties_of(second) if p not in properties_of(first)))

    def _text(self, question: Question, style: Style, rng: random.Random, closing: bool) -> str:
        text = write(question, style, side="models", seed=rng.randrange(1 << 30))
        dropout = self._settings.closing_word_dropout if closing else self._settings.word_dropout
        if closing and style is not DEFAULT and rng.random() < self._settings.said:
            said = f"in {rng.choice(PROPERTIES[rng.choice(properties_of(style))])} wording"
            text = f"{said.capitalize()}, {text}" if rng.random() < 0.5 else f"{text[:-1]}, {said}."
        if closing or rng.random() < 0.5:
            text = " ".join(w for w in text.split() if rng.random() >= dropout)
        return self._tokenizer.decode(self._tokenizer.encode(text)[: INSTRUCTION["max_answer_tokens"]])

    def _prompt(self, template: str, **values: str) -> list[int]:
        return self._tokenizer.encode(f"<|user|>{template.format(**values)}<|assistant|>", add_special_tokens=False)

    def _batch(self, rows: Sequence[list[int]]) -> TextBatch:
        return pad_right([(row, len(row)) for row in rows], self._tokenizer.pad_token_id)

    def _target(self, weights: Mapping[str, float]) -> torch.Tensor:
        """``(A,)`` probabilities; no difference: every adjective is as good."""
        if not weights:
            return torch.full((len(self._adjectives),), 1 / len(self._adjectives))
        target = torch.zeros(len(self._adjectives))
        for prop, weight in weights.items():
            words = PROPERTIES[prop]
            tail = [1 / rank for rank in range(2, len(words) + 1)]
            shares = [CANONICAL, *((1 - CANONICAL) * t / sum(tail) for t in tail)]
            for word, share in zip(words, shares, strict=True):
                target[self._adjectives.index(word)] += weight * share
        return target


def _even(properties: Sequence[str]) -> dict[str, float]:
    return {p: 1 / len(properties) for p in properties}


def _graded(name: str) -> dict[str, float]:
    """Level 1 is all of the low property, level 4 all of the high one."""
    dimension, level = name.rsplit("-", 1)
    low, high = ("elementary", "expert") if dimension == "expertise" else ("informal", "formal")
    share = (int(level) - 1) / 3
    return {p: s for p, s in ((low, 1 - share), (high, share)) if s > 0}


def _doubles() -> list[Style]:
    """Every style of two properties of different dimensions."""
    return [
        Style(expertise=e, informativeness=i, tone=t)
        for e, i, t in itertools.product((None, *EXPERTISE), (None, *INFORMATIVENESS), (None, *TONES))
        if (e, i, t).count(None) == 1
    ]


def _single(prop: str) -> Style:
    """The style that has one property alone."""
    if prop in ("elementary", "expert"):
        return Style(expertise=prop, informativeness=None, tone=None)
    if prop in ("concise", "informative"):
        return Style(expertise=None, informativeness=prop, tone=None)
    if prop in ("formal", "informal"):
        return GRADED["formality-4" if prop == "formal" else "formality-1"]
    return Style(expertise=None, informativeness=None, tone=prop)
