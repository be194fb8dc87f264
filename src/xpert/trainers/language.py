"""A causal language model as the training loop sees it: losses a token, and one optimizer step."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from xpert.trainers.data import IGNORE, Batch, Row, batch_of
from xpert.trainers.last_good import LastGood
from xpert.trainers.optimizer import apply_gradients
from xpert.trainers.settings import TrainSettings, learning_rate

__all__ = ["LanguageLearner", "n_labels", "token_losses", "validation_loss"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LanguageLearner:
    """Learns token rows; matches `xpert.trainers.loop.Learner`.

    Attributes:
        model: The model; dropout is off.
        parameters: Name to parameter that trains.
        optimizer: Over these parameters.
        rows: Training rows.
        validation: Batches of the validation rows; none: no validation.
        pad_id: Token of the padding.
        settings: The run's settings.
        last_good: Keeps the parameters that gave a finite loss; None: nobody does.
    """

    model: Any
    parameters: Mapping[str, torch.nn.Parameter]
    optimizer: torch.optim.Optimizer
    rows: Sequence[Row]
    validation: Sequence[Batch]
    pad_id: int
    settings: TrainSettings
    last_good: LastGood | None = None

    def learn(self, step: int, chosen: Sequence[int]) -> float:
        """One optimizer step; the loss before it, in nats a token, over all its batches together."""
        batches = self._batches(chosen)
        n, value = sum(n_labels(batch) for batch in batches), 0.0
        for batch in batches:
            part = token_losses(self.model, batch, self.settings.precision)[0] / n
            value += float(part.detach())
            if not math.isfinite(value):
                self.optimizer.zero_grad(set_to_none=True)
                return value
            part.backward()
        if self.last_good is not None:
            self.last_good.keep()
        rate = learning_rate(step, self.settings)
        apply_gradients(self.optimizer, self.parameters, rate=rate, clip=self.settings.clip)
        return value

    def loss(self, chosen: Sequence[int]) -> float:
        """The loss of these rows in nats a token."""
        return validation_loss(self.model, self._batches(chosen), self.settings.precision)

    def validate(self) -> float | None:
        """The validation loss in nats a token."""
        if not self.validation:
            return None
        return validation_loss(self.model, self.validation, self.settings.precision)

    def _batches(self, chosen: Sequence[int]) -> list[Batch]:
        size = self.settings.batch_size
        parts = [chosen[i : i + size] for i in range(0, len(chosen), size)]
        return [batch_of([self.rows[i] for i in part], self.pad_id) for part in parts]


def n_labels(batch: Batch) -> int:
    """Tokens that carry a loss: a row's first one is never predicted."""
    return int((batch.labels[:, 1:] != IGNORE).sum())


def token_losses(model: Any, batch: Batch, precision: str) -> tuple[torch.Tensor, int]:
    """Summed cross entropy of the labelled tokens in nats, and their number.

    The output layer sees the positions that carry a loss and no others: with a large vocabulary it is a good part of a step.
    """
    device = next(model.parameters()).device
    following = np.pad(batch.labels[:, 1:], ((0, 0), (0, 1)), constant_values=IGNORE).ravel()
    places = np.flatnonzero(following != IGNORE)
    labels, wanted = torch.from_numpy(following[places]).to(device), torch.from_numpy(places).to(device)
    mask = None if batch.mask is None else torch.from_numpy(batch.mask).to(device)
    with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"), _output_of(model, wanted):
        logits = model(input_ids=torch.from_numpy(batch.ids).to(device), attention_mask=mask, use_cache=False).logits
    if logits.ndim == 3:  # of all positions: the model has no output layer of its own that could be told
        logits = logits.flatten(0, 1).index_select(0, wanted)
    return torch.nn.functional.cross_entropy(logits.float(), labels, reduction="sum"), len(labels)


@contextmanager
def _output_of(model: Any, wanted: torch.Tensor) -> Iterator[None]:
    """Let the output layer see the hidden states ``(B, T, D)`` at some of the ``B * T`` positions only: ``(N, D)``."""
    layer = model.get_output_embeddings()
    if layer is None:
        yield
        return
    hook = layer.register_forward_pre_hook(
        lambda _, given: (given[0].flatten(0, 1).index_select(0, wanted), *given[1:])
    )
    try:
        yield
    finally:
        hook.remove()


def validation_loss(model: Any, batches: Sequence[Batch], precision: str) -> float:
    """Cross entropy in nats a token, over all labelled tokens of all batches together."""
    total, count = 0.0, 0
    with torch.no_grad():
        for batch in batches:
            loss, n = token_losses(model, batch, precision)
            total, count = total + float(loss), count + n
    return total / count
