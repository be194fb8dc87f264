"""An exported language model as the training loop sees it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from xpert.trainers.data import Batch, Row, batch_of
from xpert.trainers.onnx.session import TrainingSession
from xpert.trainers.settings import TrainSettings, learning_rate

__all__ = ["OnnxLearner"]


@dataclass(frozen=True, slots=True, kw_only=True)
class OnnxLearner:
    """Learns token rows; matches `xpert.trainers.loop.Learner`.

    Attributes:
        session: The runtime's session.
        rows: Training rows.
        validation: Validation rows, of similar length beside each other; none: no validation.
        pad_id: Token of the padding.
        settings: The run's settings.
        at_once: Rows that go through the model together: memory grows with it, results do not depend on it.
        last_good: The adapter by parameter as it was when the loss was last finite; empty before the first step.
    """

    session: TrainingSession
    rows: Sequence[Row]
    validation: Sequence[Row]
    pad_id: int
    settings: TrainSettings
    at_once: int
    last_good: dict[str, np.ndarray] = field(default_factory=dict)

    def learn(self, step: int, chosen: Sequence[int]) -> float:
        """One optimizer step; the loss before it, in nats a token.

        Raises:
            FloatingPointError: The loss is finite and its gradient is not; nothing was changed.
        """
        rows = [self.rows[i] for i in chosen]
        n, value = _n_labels(rows), 0.0
        for batch in self._batches(rows):
            value += self.session.learn(batch, n)
        if not math.isfinite(value):
            self.session.forget()
            return value
        self.last_good.update(self.session.trained())
        if not self.session.has_finite_gradients():
            self.session.forget()
            raise FloatingPointError
        self.session.step(learning_rate(step, self.settings))
        return value

    def loss(self, chosen: Sequence[int]) -> float:
        """The loss of these rows in nats a token."""
        return self._mean([self.rows[i] for i in chosen])

    def validate(self) -> float | None:
        """The validation loss in nats a token, over all rows together."""
        return self._mean(self.validation) if self.validation else None

    def _mean(self, rows: Sequence[Row]) -> float:
        n = _n_labels(rows)
        return sum(self.session.loss(batch, n) for batch in self._batches(rows))

    def _batches(self, rows: Sequence[Row]) -> Iterator[Batch]:
        for first in range(0, len(rows), self.at_once):
            yield batch_of(rows[first : first + self.at_once], self.pad_id)


def _n_labels(rows: Sequence[Row]) -> int:
    """Tokens that carry a loss: a row's first one is never predicted."""
    return sum(len(row.ids) - max(row.skip, 1) for row in rows)
