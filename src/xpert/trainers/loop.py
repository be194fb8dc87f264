"""The training loop, whatever is trained: one optimizer step after another, evaluations, and when to stop."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from xpert.errors import TrainingError
from xpert.meters import Meter
from xpert.progress import bar
from xpert.trainers.order import training_order
from xpert.trainers.progress import Progress
from xpert.trainers.settings import RunSettings

__all__ = ["Learner", "Run", "StopReason", "carry_out", "run"]

StopReason: TypeAlias = Literal["max_steps", "target_loss", "no_improvement"]


class Learner(Protocol):
    """A model with its data: what the loop moves on. Everything random depends on the seed and the step alone."""

    def learn(self, step: int, chosen: Sequence[int]) -> float:
        """One optimizer step, 0-based, on the training examples at these positions; gives their loss before it.

        If that loss is not finite, nothing is changed.
        """
        ...

    def loss(self, chosen: Sequence[int]) -> float:
        """The loss of the training examples at these positions, as the first step would see it; nothing is learnt."""
        ...

    def validate(self) -> float | None:
        """The validation loss; None: there is nothing to validate with."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What the loop works on.

    Attributes:
        learner: Model and data.
        n_examples: Training examples.
        per_step: Training examples of one optimizer step.
        settings: The run's settings.
        save: Called with the progress at every checkpoint.
        load: Puts the last checkpoint in place and tells where it stood; None: there is none.
        checkpoint_every: Steps between checkpoints.
    """

    learner: Learner
    n_examples: int
    per_step: int
    settings: RunSettings
    save: Callable[[Progress], None]
    load: Callable[[], Progress | None]
    checkpoint_every: int


def carry_out(job: Run, *, resume: bool) -> tuple[Progress, StopReason]:
    """`run` from the beginning, or from the last checkpoint if there is one, metered: where it stands in the end, and why.

    Raises:
        xpert.errors.TrainingError: A loss is not finite, or the checkpoint is another run's.
    """
    progress = (job.load() if resume else None) or Progress.start()
    with Meter() as meter:
        stopped = run(job, progress, meter)
    if meter.energy_j is not None:
        progress.energy_j = meter.energy_j + (progress.energy_j or 0.0)
    return progress, stopped


def run(job: Run, progress: Progress, meter: Meter) -> StopReason:
    """Train until a stop rule holds; ``progress`` is kept up to date.

    Args:
        job: Model, data, settings.
        progress: Where to begin; changed in place.
        meter: Entered by the caller; tells the time since the run, or its resumption, began.

    Raises:
        xpert.errors.TrainingError: A loss is not finite.
    """
    settings, before = job.settings, progress.seconds
    order = training_order(job.n_examples, job.per_step, settings.seed, start=progress.step)
    if progress.step == 0 and _evaluate(job, progress, meter, before):
        progress.losses.append((0, job.learner.loss(next(order))))
        progress.seconds = before + meter.elapsed()
        return "target_loss"
    with bar("training", settings.max_steps, progress.step) as moved:
        while progress.step < settings.max_steps:
            loss = _step(job, progress, next(order))
            moved(f"loss {loss:.3f}")
            stop: StopReason | None = None
            if progress.step % settings.interval == 0 or progress.step == settings.max_steps:
                reached = _evaluate(job, progress, meter, before)
                patient = settings.patience is None or progress.stale < settings.patience[0]
                stop = "target_loss" if reached else None if patient else "no_improvement"
            progress.seconds = before + meter.elapsed()
            if stop:
                return stop
            if progress.step % job.checkpoint_every == 0 and progress.step < settings.max_steps:
                job.save(progress)
    return "max_steps"


def _step(job: Run, progress: Progress, chosen: Sequence[int]) -> float:
    value = job.learner.learn(progress.step, chosen)
    progress.step += 1
    _finite(value, f"training loss at step {progress.step}")
    progress.samples += len(chosen)
    progress.losses.append((progress.step, value))
    return value


def _evaluate(job: Run, progress: Progress, meter: Meter, before: float) -> bool:
    """Note the validation loss, if there is one, and when it was known; whether it is at most the target."""
    value = job.learner.validate()
    if value is None:
        return False
    _finite(value, f"validation loss at step {progress.step}")
    progress.eval_losses.append((progress.step, value))
    progress.eval_seconds.append(before + meter.elapsed())
    share = 0.0 if job.settings.patience is None else job.settings.patience[1]
    if progress.best is None or value < progress.best * (1 - share):
        progress.best, progress.stale = value, 0
    else:
        progress.stale += 1
    return job.settings.target_loss is not None and value <= job.settings.target_loss


def _finite(value: float, what: str) -> None:
    if not math.isfinite(value):
        raise TrainingError(f"{what} is not finite: lower the learning rate, or use precision='float32'")
