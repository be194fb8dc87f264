"""Which examples train and which validate, and in what order: it depends on the seed and their number alone. Needs no torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from xpert.errors import DataError, SettingsError
from xpert.trainers.settings import RunSettings
from xpert.types import Example

__all__ = ["bucketed_order", "permutation", "share_out", "split", "training_order"]

WINDOW = 16
"""Batches whose examples are sorted by length together."""


def permutation(n: int, seed: int) -> list[int]:
    """The numbers below ``n`` in a seeded order: that of ``torch.randperm`` with a CPU generator of this seed.

    >>> permutation(5, seed=0)
    [4, 0, 1, 3, 2]
    """
    generator = np.random.MT19937()
    generator._legacy_seeding(seed & 0xFFFFFFFF)
    order, draws = list(range(n)), np.atleast_1d(generator.random_raw(max(n - 1, 0))).tolist()
    for place, draw in enumerate(draws):
        other = place + draw % (n - place)
        order[place], order[other] = order[other], order[place]
    return order


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
    order = permutation(len(examples), seed)
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


def bucketed_order(lengths: Sequence[int], batch_size: int, seed: int, *, start: int = 0) -> Iterator[list[int]]:
    """`training_order` with examples of like length in one batch, so that little of it is padding.

    The examples of `WINDOW` batches that follow one another are sorted by length and shared out anew; the batches then come in a
    seeded order. So every epoch still sees every example once, and batches of short and of long examples are mixed.

    Args:
        lengths: Tokens of each example.
        batch_size: Examples a batch.
        seed: Of the order.
        start: The first batch.
    """
    window, skip = divmod(start, WINDOW)
    order = training_order(len(lengths), batch_size, seed, start=window * WINDOW)
    while True:
        drawn = [next(order) for _ in range(WINDOW)]
        size = len(drawn[0])
        near = sorted((i for batch in drawn for i in batch), key=lambda i: lengths[i])
        for k in permutation(WINDOW, seed * 1_000_003 + window)[skip:]:
            yield near[k * size : (k + 1) * size]
        window, skip = window + 1, 0


def _epoch(n: int, epoch: int, seed: int) -> list[int]:
    return permutation(n, seed * 1_000_003 + epoch)
