"""Personal examples as token rows and padded batches. Needs no torch."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from xpert.errors import DataError
from xpert.progress import say
from xpert.rendering import render, token_ids
from xpert.trainers.settings import Long
from xpert.types import Example

__all__ = [
    "IGNORE",
    "Batch",
    "Encoded",
    "Row",
    "batch_of",
    "data_digest",
    "encode",
    "eval_batches",
]

IGNORE = -100
EVAL_BATCH = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One example as tokens.

    Attributes:
        ids: Token ids, prompt first.
        skip: Leading tokens that carry no loss: the prompt's, and in a later part of a split example the context's.
        cut: Whether tokens beyond the longest length were cut off.
        part: Which part of a split example it is; 0 is the first, or all of it.
    """

    ids: tuple[int, ...]
    skip: int
    cut: bool = False
    part: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Rows padded on the right.

    Attributes:
        ids: ``(B, T)`` int64.
        mask: ``(B, T)`` int64, 1 at tokens, 0 at padding; None where no row is padded.
        labels: ``(B, T)`` int64, -100 where there is no loss.
    """

    ids: np.ndarray
    mask: np.ndarray | None
    labels: np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded:
    """A run's data as token rows.

    Attributes:
        rows: To train on.
        held: To validate with.
        examples: How many examples the training rows are of.
        validation_examples: How many the others are of.
        longest: Tokens of the longest row that may be.
        pad_id: Token of the padding.
    """

    rows: Sequence[Row]
    held: Sequence[Row]
    examples: int
    validation_examples: int
    longest: int
    pad_id: int

    def details(self) -> dict[str, int]:
        """What a report tells of it."""
        both = [*self.rows, *self.held]
        return {
            "examples": self.examples,
            "validation_examples": self.validation_examples,
            "rows": len(self.rows),
            "longest_row": self.longest,
            "cut_examples": sum(row.cut for row in both),
            "split_examples": sum(row.part == 1 for row in both),
        }

    def tell(self, batch_size: int) -> None:
        """Say what a user may not expect: longer examples than rows may be, fewer examples than a batch holds."""
        found, all_ = self.details(), self.examples + self.validation_examples
        if found["cut_examples"]:
            say(
                f"{found['cut_examples']} of {all_} examples are longer than {self.longest} tokens and are cut there: raise "
                "max_length (up to what the model reads), or learn all of them with long='split'"
            )
        if found["split_examples"]:
            n = len(self.rows) + len(self.held)
            say(
                f"{found['split_examples']} of {all_} examples are longer than {self.longest} tokens and are split: {n} rows"
            )
        if len(self.rows) < batch_size:
            say(
                f"{len(self.rows)} examples to train on, fewer than a batch of {batch_size}: each step takes all of them"
            )


def encode(
    tokenizer: Any, examples: Sequence[Example], max_length: int, *, end_id: int | None, long: Long = "truncate"
) -> list[Row]:
    """Token rows of examples.

    A prompt is rendered as it is when a model is probed (`xpert.rendering.render`: the chat template, if there is one), and
    carries no loss; the response follows with ``end_id``. An example without a prompt is plain text, all of it learnt.

    Args:
        tokenizer: The model's.
        examples: What to learn.
        max_length: The longest row in tokens.
        end_id: The token that ends a response; None: none does.
        long: What happens to an example that is longer: ``truncate`` cuts it there; ``split`` goes on in further rows, each of which
            begins with the last quarter of the row before as context, so that every token is learnt once.

    Raises:
        xpert.errors.DataError: No examples, an example without text, or one whose prompt leaves no room.
    """
    if not examples:
        raise DataError("no training examples: expected at least one")
    end = [] if end_id is None else [end_id]
    rows: list[Row] = []
    for number, example in enumerate(examples, start=1):
        prompt = [] if not example.prompt else token_ids(tokenizer, [render(tokenizer, example.prompt)])[0]
        response = list(tokenizer(example.response, add_special_tokens=not example.prompt, verbose=False)["input_ids"])
        if not response:
            raise DataError(
                f"example {number} of {len(examples)}: expected text in the response, it is empty; remove it"
            )
        if prompt and len(prompt) >= max_length:
            raise DataError(
                f"example {number} of {len(examples)}: its prompt has {len(prompt)} tokens, which leaves nothing of the "
                f"response within max_length={max_length}: raise max_length or shorten the prompt"
            )
        ids = [*prompt, *response, *end]
        if len(ids[:max_length]) < 2:
            raise DataError(
                f"example {number} of {len(examples)}: one token of text is not enough to learn from; remove it"
            )
        rows += _rows(tuple(ids), len(prompt), max_length, long)
    return rows


def _rows(ids: tuple[int, ...], skip: int, max_length: int, long: Long) -> list[Row]:
    """One example's row, or its parts."""
    if long == "truncate" or len(ids) <= max_length:
        return [Row(ids=ids[:max_length], skip=skip, cut=len(ids) > max_length)]
    context = max(1, max_length // 4)
    starts = range(0, len(ids) - context, max_length - context)
    parts = [ids[start : start + max_length] for start in starts]
    return [Row(ids=own, skip=context if number else skip, part=number) for number, own in enumerate(parts)]


def batch_of(rows: Sequence[Row], pad_id: int) -> Batch:
    """Pad rows on the right to the longest."""
    width = max(len(row.ids) for row in rows)
    ids = np.full((len(rows), width), pad_id, np.int64)
    mask = np.zeros((len(rows), width), np.int64)
    labels = np.full((len(rows), width), IGNORE, np.int64)
    for i, row in enumerate(rows):
        ids[i, : len(row.ids)] = row.ids
        mask[i, : len(row.ids)] = 1
        labels[i, row.skip : len(row.ids)] = row.ids[row.skip :]
    return Batch(ids=ids, mask=None if bool(mask.all()) else mask, labels=labels)


def eval_batches(rows: Sequence[Row], pad_id: int) -> list[Batch]:
    """All rows in batches of similar length: their padding is least, and the loss over all tokens is the same."""
    ordered = sorted(rows, key=lambda row: (len(row.ids), row.ids))
    return [batch_of(ordered[i : i + EVAL_BATCH], pad_id) for i in range(0, len(ordered), EVAL_BATCH)]


def data_digest(*parts: Sequence[Row]) -> str:
    """SHA-256 over token rows, in their order."""
    digest = hashlib.sha256()
    for rows in parts:
        digest.update(repr([(row.ids, row.skip) for row in rows]).encode())
    return digest.hexdigest()
