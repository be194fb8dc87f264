"""Personal examples as token rows and batches: order, split and padding depend on the seed and the data alone."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from xpert.decoding import render, token_ids
from xpert.errors import DataError, SettingsError
from xpert.trainers.settings import RunSettings
from xpert.types import Example

__all__ = [
    "IGNORE",
    "Batch",
    "Row",
    "batch_of",
    "data_digest",
    "encode",
    "eval_batches",
    "share_out",
    "split",
    "training_order",
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

    ids: torch.Tensor
    mask: torch.Tensor | None
    labels: torch.Tensor


def encode(tokenizer: Any, examples: Sequence[Example], max_length: int, *, end_id: int | None) -> list[Row]:
    """Token rows of examples.

    A prompt is rendered as it is when a model is probed (`xpert.decoding.render`: the chat template, if there is one), and
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


def split(examples: Sequence[Example], fraction: float, seed: int) -> tuple[list[Example], list[Example]]:
    """A seeded share of the examples (at least one) to validate with, and the rest, each in the given order.

    Raises:
        xpert.errors.DataError: There is only one example to share out.
    """
    if fraction == 0:
        return list(examples), []
    if len(examples) < 2:
        raise DataError(
            f"{len(examples)} example(s) cannot be split in training and validation: give more, or set eval_fraction=0"
        )
    n = min(max(1, round(fraction * len(examples))), len(examples) - 1)
    order = torch.randperm(len(examples), generator=torch.Generator().manual_seed(seed)).tolist()
    held = set(order[:n])
    return (
        [example for i, example in enumerate(examples) if i not in held],
        [example for i, example in enumerate(examples) if i in held],
    )


def share_out(
    examples: Sequence[Example], validation: Sequence[Example] | None, settings: RunSettings
) -> tuple[list[Example], list[Example]]:
    """What to train and to validate with: what was given, or a seeded share of the examples.

    Raises:
        xpert.errors.DataError: There is only one example to share out.
        xpert.errors.SettingsError: A stop rule that needs validation, without any.
    """
    if validation is not None:
        train, held = list(examples), list(validation)
    else:
        train, held = split(examples, settings.eval_fraction, settings.seed)
    if not held and (settings.target_loss is not None or settings.patience is not None):
        raise SettingsError(
            "target_loss and patience need validation: give validation examples or eval_fraction above 0"
        )
    return train, held


def training_order(n: int, batch_size: int, seed: int, *, start: int = 0) -> Iterator[list[int]]:
    """Positions of the examples of each batch from step ``start`` on, without end.

    Epochs, each in an order of its own, follow one another without a gap, so that every batch has ``batch_size`` examples (or
    ``n`` if there are fewer).

    >>> order = training_order(3, 2, seed=0)
    >>> sorted(next(order) + next(order) + next(order)) == [0, 0, 1, 1, 2, 2]
    True
    """
    size = min(batch_size, n)
    epoch, offset = divmod(start * size, n)
    left: list[int] = _epoch(n, epoch, seed)[offset:]
    while True:
        while len(left) < size:
            epoch += 1
            left += _epoch(n, epoch, seed)
        yield left[:size]
        left = left[size:]


def batch_of(rows: Sequence[Row], pad_id: int) -> Batch:
    """Pad rows on the right to the longest."""
    width = max(len(row.ids) for row in rows)
    ids = torch.full((len(rows), width), pad_id, dtype=torch.long)
    mask = torch.zeros((len(rows), width), dtype=torch.long)
    labels = torch.full((len(rows), width), IGNORE, dtype=torch.long)
    for i, row in enumerate(rows):
        tokens = torch.tensor(row.ids, dtype=torch.long)
        ids[i, : len(tokens)] = tokens
        mask[i, : len(tokens)] = 1
        labels[i, row.skip : len(tokens)] = tokens[row.skip :]
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


def _epoch(n: int, epoch: int, seed: int) -> list[int]:
    return torch.randperm(n, generator=torch.Generator().manual_seed(seed * 1_000_003 + epoch)).tolist()
