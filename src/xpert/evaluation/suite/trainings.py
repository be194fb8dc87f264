"""A user's trainings to the loss of scratch: from the base, from a selected model with all or some of the texts, from another; none is done twice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from xpert.energy import estimated
from xpert.evaluation.bootstrap import estimate, paired_difference
from xpert.evaluation.experiments.data_saved import PARTS, smallest_part
from xpert.evaluation.presets import PARTS_EVALUATED
from xpert.evaluation.starts import StartsReport, compare_starts, reached
from xpert.evaluation.suite.start_tables import OTHER, PHONE, SELECTED, saved
from xpert.references import kind_of
from xpert.trainers.torch import TorchTrainer
from xpert.types import Example, TrainingReport

__all__ = ["Trainings", "against_another", "figures_of", "saved_at_least", "summary_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trainings:
    """One user's.

    Attributes:
        base: Reference of the base.
        training: The user's texts.
        validation: Others of the user, on which no model was trained.
        trainer: Settings of all trainings; patience and target are the protocol's (`xpert.evaluation.starts`).
        folder: Keeps what is trained.
        adapter_base: Base of starts that are adapters; None: as these name it.
    """

    base: str
    training: Sequence[Example]
    validation: Sequence[Example]
    trainer: TorchTrainer
    folder: Path
    adapter_base: str | None = None

    def compared(self, start: str, *, out: str) -> StartsReport:
        """Scratch and a start; ``out`` names the start's folder."""
        return compare_starts(
            self.base,
            start,
            self.training,
            self.validation,
            out=self.folder,
            trainer=self.trainer,
            resume=True,
            name=out,
            adapter_base=self.adapter_base,
        )

    def from_another(self, start: str, report: StartsReport, *, out: str) -> StartsReport:
        """The control: from another model, for as many steps as scratch trained in all."""
        run = self._run(start, report, out=out, max_steps=report.scratch_steps)
        steps, seconds = reached(run, report.target_loss, report.eval_every)
        met = run.eval_losses[0][1] <= report.target_loss
        return replace(report, steps_selected=steps, seconds_selected=seconds, met_at_start=met)

    def texts_needed(self, start: str, report: StartsReport, *, out: str, mark: str = "") -> int | None:
        """Texts with which a start reaches the target in as many steps as scratch trained, or as it needs with all of them where
        these are more: 0 if it is there without any, None if it is not with all of them.
        """
        if report.met_at_start:
            return 0
        if report.steps_selected is None:
            return None
        steps = max(report.scratch_steps, report.steps_selected)

        def enough(parts: int) -> bool:
            n, name = len(self.training) * parts // PARTS, f"{out}-part-{parts}-every-{PARTS_EVALUATED}{mark}"
            run = self._run(start, report, out=name, max_steps=steps, n_texts=n)
            return any(loss <= report.target_loss for _, loss in run.eval_losses)

        return len(self.training) * smallest_part(enough) // PARTS

    def _run(
        self, start: str, report: StartsReport, *, out: str, max_steps: int, n_texts: int | None = None
    ) -> TrainingReport:
        """With the first of the texts (None: all) up to scratch's target."""
        own: dict[str, Any] = {"base": self.adapter_base} if self.adapter_base and kind_of(start) == "adapter" else {}
        trainer = replace(
            self.trainer,
            **own,
            patience=None,
            target_loss=report.target_loss,
            max_steps=max_steps,
            eval_every=report.eval_every if n_texts is None else max(report.eval_every, PARTS_EVALUATED),
        )
        return trainer.fit(
            start, self.training[:n_texts], validation=self.validation, out=self.folder / out, resume=True
        )


def figures_of(report: StartsReport, *, kind: str, start: str, n_texts: int) -> dict[str, Any]:
    """Of a user's row: what is told of both starts.

    Args:
        report: Of them.
        kind: Of the start.
        start: Its name.
        n_texts: That were trained on.
    """
    return {
        "kind": kind,
        "start": start,
        "steps_base": report.steps_base,
        "seconds_base": report.seconds_base,
        "steps_selected": report.steps_selected,
        "seconds_selected": report.seconds_selected,
        "met_at_start": report.met_at_start,
        "scratch_steps": report.scratch_steps,
        "scratch_stopped_by": report.scratch_stopped_by,
        "texts": n_texts,
        "texts_selected": None,
    }


def summary_of(own: Sequence[Mapping[str, Any]], kind: str) -> dict[str, Any]:
    """Over users' rows of one kind of start (`figures_of`, and the user's ``style``); steps, seconds and texts over those who got to the target, and how many did."""
    there = [row for row in own if row["steps_selected"] is not None]
    told: dict[str, Any] = {
        "trainees": len(own),
        "trainees_right": sum(row["start"] == row["style"] for row in own),
        "got_there": len(there),
        "met_at_start": sum(row["met_at_start"] for row in own),
    }
    if not there:
        return told
    seconds = fmean(row["seconds_selected"] for row in there)
    return told | {
        "steps": fmean(row["steps_selected"] for row in there),
        "seconds": seconds,
        "steps_saved": asdict(estimate([saved(row, "steps") for row in there])),
        "seconds_saved": asdict(estimate([saved(row, "seconds") for row in there])),
        "phone_j": estimated(seconds, PHONE).joules,
        "data_saved": asdict(estimate([1 - row["texts_selected"] / row["texts"] for row in there]))
        if kind == SELECTED
        else None,
    }


def against_another(own: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Steps saved by the selected model and by another's, on the same users: who did not get there while scratch trained counts with all of its steps."""
    least = {kind: [saved_at_least(row) for row in own if row["kind"] == kind] for kind in (SELECTED, OTHER)}
    return {
        "saved": {kind: asdict(estimate(values)) for kind, values in least.items()},
        "difference": asdict(paired_difference(least[SELECTED], least[OTHER])),
    }


def saved_at_least(row: Mapping[str, Any]) -> float:
    """Steps saved by a start that is given as many as scratch trained, its last ones without improvement too.

    >>> saved_at_least({"steps_selected": None, "steps_base": 50, "scratch_steps": 55})
    -0.1
    """
    most = row["scratch_steps"]
    return round(1 - min(row["steps_selected"] or most, most) / row["steps_base"], 6)
