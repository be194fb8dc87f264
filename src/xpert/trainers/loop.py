"""The training loop, whatever is trained: one optimizer step after another, evaluations, and when to stop. Needs no torch."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from xpert.errors import NotFiniteError
from xpert.meters import Meter
from xpert.progress import bar
from xpert.protocols import EnergyCounter, TrainingCallback
from xpert.trainers.order import bucketed_order, training_order
from xpert.trainers.progress import Progress
from xpert.trainers.settings import RunSettings
from xpert.types import StopReason, TrainingEvent

__all__ = ["Learner", "Run", "StopReason", "carry_out", "run"]


class Learner(Protocol):
    """A model with its data: what the loop moves on. Everything random depends on the seed and the step alone."""

    def learn(self, step: int, chosen: Sequence[int]) -> float:
        """One optimizer step, 0-based, on the training examples at these positions; gives their loss before it.

        If that loss is not finite, nothing is changed.

        Raises:
            FloatingPointError: The loss is finite and its gradient is not; nothing was changed.
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
        name: Of the run, beside its progress.
        learner: Model and data.
        n_examples: Training examples.
        per_step: Training examples of one optimizer step.
        settings: The run's settings.
        save: Called with the progress at every checkpoint.
        load: Puts the last checkpoint in place and tells where it stood; None: there is none.
        checkpoint_every: Steps between checkpoints.
        callbacks: Who is told what happens.
        counters: What counts energy; None: the processors' counters, where they can be read.
        lengths: Tokens of each example, so that a step takes examples of like length; None: it takes any.
    """

    name: str
    learner: Learner
    n_examples: int
    per_step: int
    settings: RunSettings
    save: Callable[[Progress], None]
    load: Callable[[], Progress | None]
    checkpoint_every: int
    callbacks: Sequence[TrainingCallback] = ()
    counters: Sequence[EnergyCounter] | None = None
    lengths: Sequence[int] | None = None

    def order(self, start: int) -> Iterator[list[int]]:
        """Positions of the examples of each step from step ``start`` on."""
        if self.lengths is None:
            return training_order(self.n_examples, self.per_step, self.settings.seed, start=start)
        return bucketed_order(self.lengths, self.per_step, self.settings.seed, start=start)


def carry_out(job: Run, *, resume: bool) -> tuple[Progress, StopReason]:
    """`run` from the beginning, or from the last checkpoint if there is one, metered: where it stands in the end, and why.

    Raises:
        xpert.errors.NotFiniteError: A loss or a gradient is not finite.
        xpert.errors.TrainingError: The checkpoint is another run's.
    """
    progress = (job.load() if resume else None) or Progress.start()
    with Meter(counters=job.counters) as meter:
        stopped = run(job, progress, meter)
    return progress, stopped


def run(job: Run, progress: Progress, meter: Meter) -> StopReason:
    """Train until a stop rule holds; ``progress`` is kept up to date.

    Args:
        job: Model, data, settings.
        progress: Where to begin; changed in place.
        meter: Entered by the caller; tells time and energy since the run, or its resumption, began.

    Raises:
        xpert.errors.NotFiniteError: A loss or a gradient is not finite.
    """
    course = _Course(job=job, progress=progress, meter=meter)
    course.tell("begin")
    stopped = _train(course)
    course.clock(energy=True)
    course.tell("end")
    return stopped


def _train(course: _Course) -> StopReason:
    job, progress, settings = course.job, course.progress, course.job.settings
    order = job.order(progress.step)
    if progress.step == 0 and course.evaluate():
        progress.losses.append((0, job.learner.loss(next(order))))
        return "target_loss"
    with bar(f"training {job.name}", settings.max_steps, progress.step, unit="step") as moved:
        while progress.step < settings.max_steps:
            loss = _step(job, progress, next(order))
            moved(f"loss {loss:.3f}")
            course.clock()
            course.tell("step", loss)
            stop: StopReason | None = None
            if progress.step % settings.interval == 0 or progress.step == settings.max_steps:
                reached = course.evaluate()
                patient = settings.patience is None or progress.stale < settings.patience[0]
                stop = "target_loss" if reached else None if patient else "no_improvement"
            if stop or course.asked:
                return stop or "callback"
            if progress.step % job.checkpoint_every == 0 and progress.step < settings.max_steps:
                course.clock(energy=True)
                job.save(progress)
                course.tell("checkpoint")
                if course.asked:
                    return "callback"
    return "max_steps"


def _step(job: Run, progress: Progress, chosen: Sequence[int]) -> float:
    try:
        value = job.learner.learn(progress.step, chosen)
    except FloatingPointError:
        raise _not_finite(f"gradient of step {progress.step + 1}") from None
    if not math.isfinite(value):
        raise _not_finite(f"training loss at step {progress.step + 1}")
    progress.step += 1
    progress.samples += len(chosen)
    progress.losses.append((progress.step, value))
    return value


@dataclass(slots=True, kw_only=True)
class _Course:
    """A run under way: it keeps time and energy, over resumptions too, and tells the callbacks."""

    job: Run
    progress: Progress
    meter: Meter
    asked: bool = False
    seconds: float = field(init=False)
    energy: dict[str, float] = field(init=False)

    def __post_init__(self) -> None:
        self.seconds, self.energy = self.progress.seconds, dict(self.progress.energy)

    def clock(self, *, energy: bool = False) -> None:
        """Bring the progress' time, and its energy if asked for, up to date."""
        self.progress.seconds = self.seconds + self.meter.elapsed()
        if energy:
            found = {one.source: one.joules for one in self.meter.energy_so_far()}
            if self.seconds:  # resumed: what was not measured all along is no measurement of the run
                found = {
                    source: joules + self.energy[source] for source, joules in found.items() if source in self.energy
                }
            self.progress.energy = found

    def tell(
        self, kind: Literal["begin", "step", "evaluation", "checkpoint", "end"], loss: float | None = None
    ) -> None:
        """Tell every callback, and note whether one of them asks for an end."""
        if not self.job.callbacks:
            return
        event = TrainingEvent(
            kind=kind,
            step=self.progress.step,
            max_steps=self.job.settings.max_steps,
            seconds=self.progress.seconds,
            loss=loss,
        )
        for callback in self.job.callbacks:
            self.asked = callback(event) is True or self.asked

    def evaluate(self) -> bool:
        """Note the validation loss, if there is one, and when it was known; whether it is at most the target."""
        progress, settings = self.progress, self.job.settings
        value = self.job.learner.validate()
        if value is None:
            return False
        if not math.isfinite(value):
            raise _not_finite(f"validation loss at step {progress.step}")
        self.clock()
        progress.eval_losses.append((progress.step, value))
        progress.eval_seconds.append(progress.seconds)
        self.tell("evaluation", value)
        share = 0.0 if settings.patience is None else settings.patience[1]
        if progress.best is None or value < progress.best * (1 - share):
            progress.best, progress.stale = value, 0
        else:
            progress.stale += 1
        return settings.target_loss is not None and value <= settings.target_loss


def _not_finite(what: str) -> NotFiniteError:
    return NotFiniteError(f"{what} is not finite: lower the learning rate, or use precision='float32'")
