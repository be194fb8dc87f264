"""A causal language model as the training loop sees it: losses a token, and one optimizer step."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from xpert.trainers.data import IGNORE, Batch, Row, batch_of
from xpert.trainers.optimizer import apply_gradients
from xpert.trainers.settings import TrainSettings, learning_rate

__all__ = ["LanguageLearner", "token_losses", "validation_loss"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LanguageLearner:
    """Learns token rows; matches `xpert.trainers.loop.Learner`.

    Attributes:
        model: The model, in evaluation mode.
        parameters: Name to parameter that trains.
        optimizer: Over these parameters.
        rows: Training rows.
        validation: Batches of the validation rows; none: no validation.
        pad_id: Token of the padding.
        settings: The run's settings.
    """

    model: Any
    parameters: Mapping[str, torch.nn.Parameter]
    optimizer: torch.optim.Optimizer
    rows: Sequence[Row]
    validation: Sequence[Batch]
    pad_id: int
    settings: TrainSettings

    def learn(self, step: int, chosen: Sequence[int]) -> float:
        """One optimizer step; the loss before it, in nats a token."""
        total, n = self._losses(chosen)
        loss = total / n
        value = float(loss.detach())
        if math.isfinite(value):
            loss.backward()
            apply_gradients(
                self.optimizer, self.parameters, rate=learning_rate(step, self.settings), clip=self.settings.clip
            )
        return value

    def loss(self, chosen: Sequence[int]) -> float:
        """The loss of these rows in nats a token."""
        with torch.no_grad():
            total, n = self._losses(chosen)
        return float(total) / n

    def validate(self) -> float | None:
        """The validation loss in nats a token."""
        if not self.validation:
            return None
        return validation_loss(self.model, self.validation, self.settings.precision)

    def _losses(self, chosen: Sequence[int]) -> tuple[torch.Tensor, int]:
        batch = batch_of([self.rows[i] for i in chosen], self.pad_id)
        return token_losses(self.model, batch, self.settings.precision)


def token_losses(model: Any, batch: Batch, precision: str) -> tuple[torch.Tensor, int]:
    """Summed cross entropy of the labelled tokens in nats, and their number."""
    device = next(model.parameters()).device
    next_tokens = torch.from_numpy(batch.labels[:, 1:])
    wanted = next_tokens != IGNORE
    labels = next_tokens[wanted].to(device)
    mask = None if batch.mask is None else torch.from_numpy(batch.mask).to(device)
    with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
        logits = model(input_ids=torch.from_numpy(batch.ids).to(device), attention_mask=mask, use_cache=False).logits
    chosen = logits[:, :-1][wanted.to(device)].float()
    return torch.nn.functional.cross_entropy(chosen, labels, reduction="sum"), len(labels)


def validation_loss(model: Any, batches: Sequence[Batch], precision: str) -> float:
    """Cross entropy in nats a token, over all labelled tokens of all batches together."""
    total, count = 0.0, 0
    with torch.no_grad():
        for batch in batches:
            loss, n = token_losses(model, batch, precision)
            total, count = total + float(loss), count + n
    return total / count
