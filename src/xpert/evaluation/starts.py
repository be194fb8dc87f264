"""How much sooner a selected start model reaches what training from scratch reaches.

The protocol: the base ("scratch") trains until its validation loss has not improved by 0.5% in 5 evaluations; the target is its
best validation loss x 1.01; the selected start trains with the same data, order, optimizer and evaluation interval until its
validation loss is at most the target. Both are counted up to the first evaluation at which they meet the target.

Source: Wang et al., MobiSys 2025 (arXiv 2504.13938), section 6: fine-tuning time is the time to the loss that training from
scratch reaches; the stop rule and the 1% are this project's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import Field, asdict, dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Protocol

from xpert.errors import DataError
from xpert.protocols import DeviceTrainer
from xpert.references import kind_of
from xpert.trainers.torch import TorchTrainer
from xpert.types import Example, TrainingReport

__all__ = [
    "LARGEST_INTERVAL",
    "PATIENCE",
    "SLACK",
    "ComparingTrainer",
    "StartsReport",
    "compare_starts",
    "first_at_most",
    "interval_of",
    "reached",
]

PATIENCE = (5, 0.005)
SLACK = 1.01
LARGEST_INTERVAL = 0.02
MOST_STEPS = 1000


class ComparingTrainer(DeviceTrainer, Protocol):
    """A trainer that is a frozen dataclass with these fields (and ``patience``, ``target_loss``): of language models or pipelines."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    @property
    def max_steps(self) -> int | None:
        """Steps at most; None: 1000."""
        ...

    @property
    def eval_every(self) -> int | None:
        """Steps between evaluations; None: 2% of ``max_steps``."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class StartsReport:
    """Both starts up to the same validation loss.

    Attributes:
        steps_base: Step of the first evaluation at which scratch meets the target.
        steps_selected: The same for the selected start; one interval if it met the target before its first step; None if it
            did not within ``max_steps``.
        seconds_base: Time of scratch up to there, evaluations included, loading not.
        seconds_selected: The same for the selected start (where it never met the target: of its whole run).
        target_loss: Best validation loss of scratch x 1.01, in the trainer's unit.
        met_at_start: Whether the selected start met the target before its first step.
        eval_every: Steps between evaluations.
        interval_share: ``eval_every / steps_base``; the protocol wants at most 0.02.
        scratch_steps: Steps that scratch trained in all.
        scratch_stopped_by: ``no_improvement``, as the protocol wants it, or ``max_steps``: then it was cut short.
        curve_base: ``(step, validation loss)`` of scratch, its whole run.
        curve_selected: The same of the selected start.
        out_base: Folder of the model that scratch ended with.
        out_selected: Folder of the model that the selected start ended with.
    """

    steps_base: int
    steps_selected: int | None
    seconds_base: float
    seconds_selected: float
    target_loss: float
    met_at_start: bool
    eval_every: int
    interval_share: float
    scratch_steps: int
    scratch_stopped_by: str
    curve_base: tuple[tuple[int, float], ...]
    curve_selected: tuple[tuple[int, float], ...]
    out_base: Path
    out_selected: Path

    @property
    def step_ratio(self) -> float | None:
        """``steps_selected / steps_base``: below 1 the selected start is the cheaper one."""
        return None if self.steps_selected is None else self.steps_selected / self.steps_base

    def to_dict(self) -> dict[str, Any]:
        """The report for JSON."""
        values = asdict(self)
        return {name: str(value) if isinstance(value, Path) else value for name, value in values.items()} | {
            "step_ratio": self.step_ratio
        }


def compare_starts(
    base: str | Path,
    selected: str | Path,
    examples: Sequence[Example],
    validation: Sequence[Example],
    *,
    out: str | Path,
    trainer: ComparingTrainer | None = None,
    resume: bool = False,
    name: str = "selected",
    adapter_base: str | Path | None = None,
) -> StartsReport:
    """Train from the base and from the selected model, and count both up to the same validation loss.

    Args:
        base: Reference of the base model: training from scratch.
        selected: Reference of the selected start.
        examples: The user's training data.
        validation: The user's validation data, which no model involved has seen.
        out: Folder that gets the results, ``scratch`` and ``selected``.
        resume: Go on with what an earlier call left in ``out``; what is done there is not repeated.
        name: Another name for ``selected``, so that several starts are compared with one training from scratch.
        adapter_base: Base of a selected model that is an adapter, whatever its ``adapter_config.json`` names; None: the one named there.
        trainer: Settings of both runs. ``max_steps`` bounds each; ``eval_every`` should be at most 2% of the steps that
            scratch needs (None: 2% of ``max_steps``); patience and target are the protocol's. Default: `TorchTrainer` with
            1000 steps.

    Raises:
        xpert.errors.DataError: No validation examples.
        xpert.errors.XpertError: Whatever the trainer raises.
    """
    if not validation:
        raise DataError("no validation examples: expected at least one that no model involved has seen")
    trainer = trainer or TorchTrainer(max_steps=MOST_STEPS)
    every = interval_of(trainer)
    common = replace(trainer, max_steps=trainer.max_steps or MOST_STEPS, eval_every=every)
    out = Path(out)

    scratch = replace(common, patience=PATIENCE, target_loss=None).fit(
        base, examples, validation=validation, out=out / "scratch", resume=resume
    )
    target = min(loss for _, loss in scratch.eval_losses) * SLACK
    own: dict[str, Any] = {"base": adapter_base} if adapter_base and kind_of(selected) == "adapter" else {}
    chosen = replace(common, patience=None, target_loss=target, **own).fit(
        selected, examples, validation=validation, out=out / name, resume=resume
    )
    return _report(scratch, chosen, target, every)


def interval_of(trainer: ComparingTrainer) -> int:
    """Steps between evaluations: the trainer's own, or 2% of the steps that it may train.

    >>> interval_of(TorchTrainer(max_steps=400)), interval_of(TorchTrainer(eval_every=3))
    (8, 3)
    """
    return trainer.eval_every or max(1, int((trainer.max_steps or MOST_STEPS) * LARGEST_INTERVAL))


def first_at_most(curve: Sequence[tuple[int, float]], target: float) -> int | None:
    """Position in the curve of the first loss that is at most the target; None if none is.

    >>> first_at_most([(0, 3.0), (10, 2.0), (20, 1.0)], 2.5)
    1
    """
    return next((i for i, (_, loss) in enumerate(curve) if loss <= target), None)


def _report(scratch: TrainingReport, chosen: TrainingReport, target: float, every: int) -> StartsReport:
    steps_base, seconds_base = reached(scratch, target, every)
    assert steps_base is not None  # its own best is below the target
    steps_selected, seconds_selected = reached(chosen, target, every)
    return StartsReport(
        steps_base=steps_base,
        steps_selected=steps_selected,
        seconds_base=seconds_base,
        seconds_selected=seconds_selected,
        target_loss=target,
        met_at_start=chosen.eval_losses[0][1] <= target,
        eval_every=every,
        interval_share=every / steps_base,
        scratch_steps=scratch.steps,
        scratch_stopped_by=scratch.stopped_by,
        curve_base=scratch.eval_losses,
        curve_selected=chosen.eval_losses,
        out_base=scratch.out,
        out_selected=chosen.out,
    )


def reached(report: TrainingReport, target: float, every: int) -> tuple[int | None, float]:
    """Steps (at least one interval) and seconds of a run up to the target; no steps if it never got there."""
    position = first_at_most(report.eval_losses, target)
    if position is None:
        return None, report.seconds
    seconds = report.details["eval_seconds"]
    assert isinstance(seconds, list)
    return max(report.eval_losses[position][0], every), float(seconds[position])
