"""Table 5 on the zoo: pools trained at a similarity, the right model, and what the selected one is worth as a start."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from xpert.energy import estimated
from xpert.evaluation.bootstrap import estimate, paired_difference
from xpert.evaluation.cast import BASE
from xpert.evaluation.demo_users import Trainee
from xpert.evaluation.experiments.data_saved import PARTS, smallest_part
from xpert.evaluation.presets import PARTS_EVALUATED, PROBED_AT
from xpert.evaluation.results import Table
from xpert.evaluation.starts import StartsReport, compare_starts, reached
from xpert.evaluation.suite.chosen import (
    other_style,
    pool_mark,
    pool_weights,
    selected_from,
    selections,
    summarized,
    trained_pool,
    trainee_folder,
    trainees,
)
from xpert.evaluation.suite.context import Context, Findings
from xpert.evaluation.suite.merging import zoo_trainer
from xpert.evaluation.suite.start_tables import (
    OTHER,
    PHONE,
    SELECTED,
    accuracy_table,
    cost_table,
    differences_table,
    saved,
    saved_chart,
    users_table,
)
from xpert.evaluation.suite.workers import kept_cells
from xpert.progress import say
from xpert.trainers.torch import TorchTrainer
from xpert.types import TrainingReport

__all__ = ["SELECTED", "compared", "table_5"]


def table_5(context: Context) -> Findings:
    """The right model, and steps, seconds, energy and data from the selected one; what is trained is kept."""
    preset = context.preset
    chosen = selections(context)
    longest_first = sorted(preset.known_phrases)  # so that workers end together
    files = {
        (number, known): _file(context, trainee)
        for known in longest_first
        for number, trainee in enumerate(trainees(context, known))
    }
    rows = [row for user in kept_cells(context, _starts, files) for row in user]
    rows.sort(key=lambda row: preset.known_phrases.index(row["known_phrases"]))
    rights = [summarized(*place, found["right"]) for place, found in chosen.items()]
    starts = [(*place, SELECTED) for place in chosen]
    starts += [(known, max(preset.similarities), OTHER) for known in preset.known_phrases]
    summaries = [_summary(rows, *start) for start in starts]
    against = [_against_another(rows, known, max(preset.similarities)) for known in preset.known_phrases]
    return Findings(
        tables=[
            Table(
                title="Right model (95% interval over users; exhaustive search for the first of them)",
                markdown=accuracy_table(rights),
            ),
            Table(
                title="Fine-tuning to the loss of scratch (means over the users who got there, of the base over all; 95% intervals)",
                markdown=cost_table(rows, summaries),
            ),
            Table(
                title="Steps saved by the selected model less those by another style's, same users, each for at most as many steps as scratch trained",
                markdown=differences_table(against),
            ),
            Table(title="User by user (-: the target was not met; texts: not counted)", markdown=users_table(rows)),
        ],
        charts=[saved_chart(rights, summaries, known) for known in preset.known_phrases],
        rows={
            "users": rows,
            "right": rights,
            "summaries": summaries,
            "against_another": against,
            "selected": [{"known_phrases": known, "similarity": s, **found} for (known, s), found in chosen.items()],
        },
        weights=pool_weights(context),
    )


def compared(context: Context, trainee: Trainee, similarity: int, name: str) -> StartsReport:
    """Both starts of a user, the base and the model of a pool that was selected; what is done is not repeated."""
    return compare_starts(
        BASE,
        trained_pool(context, similarity)[name],
        trainee.training,
        trainee.validation,
        out=trainee_folder(context, trainee),
        trainer=zoo_trainer(context),
        resume=True,
        name=f"from-{similarity}-{name}-{pool_mark(context, similarity)}",
    )


def _starts(context: Context, number: int, known_phrases: int) -> list[dict[str, Any]]:
    """One user's: from the selected model of each pool, and from another style's of the pool that is most in its style."""
    trainee, similarities = trainees(context, known_phrases)[number], context.preset.similarities
    selected = {s: selected_from(context, known_phrases, s)["trainees"][trainee.style] for s in similarities}
    reports = {s: compared(context, trainee, s, selected[s]) for s in similarities}
    rows = [
        _row(trainee, s, report, SELECTED, selected[s])
        | {"texts_selected": _texts_needed(context, trainee, s, selected[s], report)}
        for s, report in reports.items()
    ]
    most = max(similarities)
    return [*rows, _from_another(context, trainee, most, reports[most])]


def _row(trainee: Trainee, similarity: int, report: StartsReport, kind: str, name: str) -> dict[str, Any]:
    told = f"{trainee.style}, {trainee.known_phrases}% known phrases, s = {similarity}, {kind} model"
    say(f"{told}: {report.steps_selected} of {report.steps_base} steps")
    return {
        "style": trainee.style,
        "known_phrases": trainee.known_phrases,
        "similarity": similarity,
        "kind": kind,
        "start": name,
        "steps_base": report.steps_base,
        "seconds_base": report.seconds_base,
        "steps_selected": report.steps_selected,
        "seconds_selected": report.seconds_selected,
        "met_at_start": report.met_at_start,
        "scratch_steps": report.scratch_steps,
        "scratch_stopped_by": report.scratch_stopped_by,
        "texts": len(trainee.training),
        "texts_selected": None,
    }


def _from_another(context: Context, trainee: Trainee, similarity: int, report: StartsReport) -> dict[str, Any]:
    """The control: from the model of another style, for as many steps as scratch trained in all."""
    name = other_style(context, trainee)
    run = _run(context, trainee, similarity, name, report, out=f"other-{similarity}", max_steps=report.scratch_steps)
    steps, seconds = reached(run, report.target_loss, report.eval_every)
    met = run.eval_losses[0][1] <= report.target_loss
    own = replace(report, steps_selected=steps, seconds_selected=seconds, met_at_start=met)
    return _row(trainee, similarity, own, OTHER, name)


def _run(
    context: Context,
    trainee: Trainee,
    similarity: int,
    name: str,
    report: StartsReport,
    *,
    out: str,
    max_steps: int,
    n_texts: int | None = None,
) -> TrainingReport:
    """From a model of a pool with the first of the user's texts (None: all) up to scratch's target; kept."""
    every = zoo_trainer(context).eval_every if n_texts is None else PARTS_EVALUATED
    trainer: TorchTrainer = replace(
        zoo_trainer(context), patience=None, target_loss=report.target_loss, max_steps=max_steps, eval_every=every
    )
    return trainer.fit(
        trained_pool(context, similarity)[name],
        trainee.training[:n_texts],
        validation=trainee.validation,
        out=trainee_folder(context, trainee) / f"{out}-{pool_mark(context, similarity)}",
        resume=True,
    )


def _file(context: Context, trainee: Trainee) -> Path:
    pools = "-".join(f"{s}-{pool_mark(context, s)}" for s in context.preset.similarities)
    return trainee_folder(context, trainee) / f"rows-{pools}-t{PROBED_AT}-parts-every-{PARTS_EVALUATED}.json"


def _texts_needed(context: Context, trainee: Trainee, similarity: int, name: str, report: StartsReport) -> int | None:
    """Texts with which the selected start reaches the target in as many steps as scratch trained, or as it needs with all of them where
    these are more: 0 if it is there without any, None if it is not with all of them.
    """
    if report.met_at_start:
        return 0
    if report.steps_selected is None:
        return None
    steps = max(report.scratch_steps, report.steps_selected)

    def enough(parts: int) -> bool:
        n, out = (
            len(trainee.training) * parts // PARTS,
            f"from-{similarity}-{name}-part-{parts}-every-{PARTS_EVALUATED}",
        )
        run = _run(context, trainee, similarity, name, report, out=out, max_steps=steps, n_texts=n)
        return any(loss <= report.target_loss for _, loss in run.eval_losses)

    return len(trainee.training) * smallest_part(enough) // PARTS


def _summary(rows: Sequence[Mapping[str, Any]], known_phrases: int, similarity: int, kind: str) -> dict[str, Any]:
    """Over users; steps, seconds and texts over those who got to the target, and how many did."""
    own = [
        row
        for row in rows
        if (row["known_phrases"], row["similarity"], row["kind"]) == (known_phrases, similarity, kind)
    ]
    there = [row for row in own if row["steps_selected"] is not None]
    told: dict[str, Any] = {
        "known_phrases": known_phrases,
        "similarity": similarity,
        "kind": kind,
        "trainees": len(own),
        "trainees_right": sum(row["start"] == row["style"] for row in own),
        "got_there": len(there),
        "met_at_start": sum(row["met_at_start"] for row in own),
    }
    if not there:
        return told
    return told | {
        "steps": fmean(row["steps_selected"] for row in there),
        "seconds": fmean(row["seconds_selected"] for row in there),
        "steps_saved": asdict(estimate([saved(row, "steps") for row in there])),
        "seconds_saved": asdict(estimate([saved(row, "seconds") for row in there])),
        "phone_j": estimated(fmean(row["seconds_selected"] for row in there), PHONE).joules,
        "data_saved": asdict(estimate([1 - row["texts_selected"] / row["texts"] for row in there]))
        if kind == SELECTED
        else None,
    }


def _against_another(rows: Sequence[Mapping[str, Any]], known_phrases: int, similarity: int) -> dict[str, Any]:
    """The control on the same users: who did not get there while scratch trained counts with all of its steps."""
    own = [row for row in rows if (row["known_phrases"], row["similarity"]) == (known_phrases, similarity)]
    saved = {kind: [_saved_at_least(row) for row in own if row["kind"] == kind] for kind in (SELECTED, OTHER)}
    return {
        "known_phrases": known_phrases,
        "similarity": similarity,
        "saved": {kind: asdict(estimate(values)) for kind, values in saved.items()},
        "difference": asdict(paired_difference(saved[SELECTED], saved[OTHER])),
    }


def _saved_at_least(row: Mapping[str, Any]) -> float:
    """Steps saved by a start that is given as many as scratch trained, its last ones without improvement too.

    >>> _saved_at_least({"steps_selected": None, "steps_base": 50, "scratch_steps": 55})
    -0.1
    """
    most = row["scratch_steps"]
    return round(1 - min(row["steps_selected"] or most, most) / row["steps_base"], 6)
