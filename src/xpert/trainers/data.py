"""Personal examples as token rows and padded batches. Needs no torch."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from xpert.errors import DataError
from xpert.rendering import render, token_ids
from xpert.types import Example

__all__ = [
    "IGNORE",
    "Batch",
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
        skip: Leading tokens that carry no loss: the prompt's.
        cut: Whether tokens beyond the longest length were cut off.
    """

    ids: tuple[int, ...]
    skip: int
    cut: bool = False


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


def encode(tokenizer: Any, examples: Sequence[Example], max_length: int, *, end_id: int | None) -> list[Row]:
    """Token rows of examples.

    A prompt is rendered as it is when a model is probed (`xpert.rendering.render`: the chat template, if there is one), and
    carries no loss; the response follows with ``end_id``. An example without a prompt is plain text, all of it learnt.

    Args:
        tokenizer: The model's.
        examples: What to learn.
        max_length: Rows are cut after so many tokens.
        end_id: The token that ends a response; None: none does.

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
        rows.append(Row(ids=tuple(ids[:max_length]), skip=len(prompt), cut=len(ids) > max_length))
    return rows


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
