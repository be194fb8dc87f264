"""Table 5 on the zoo: pools trained at a similarity, the right model, and what the selected one is worth as a start."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from xpert.evaluation.cast import BASE
from xpert.evaluation.demo_users import Trainee
from xpert.evaluation.presets import PARTS_EVALUATED, PROBED_AT
from xpert.evaluation.results import Table
from xpert.evaluation.starts import StartsReport
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
    SELECTED,
    accuracy_table,
    cost_table,
    differences_table,
    saved_chart,
    users_table,
)
from xpert.evaluation.suite.trainings import Trainings, against_another, figures_of, summary_of
from xpert.evaluation.suite.workers import kept_cells
from xpert.progress import say

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


def trainings(context: Context, trainee: Trainee) -> Trainings:
    """Those of a user of the zoo."""
    return Trainings(
        base=BASE,
        training=trainee.training,
        validation=trainee.validation,
        trainer=zoo_trainer(context),
        folder=trainee_folder(context, trainee),
    )


def compared(context: Context, trainee: Trainee, similarity: int, name: str) -> StartsReport:
    """Both starts of a user, the base and the model of a pool that was selected; what is done is not repeated."""
    model = trained_pool(context, similarity)[name]
    out = f"from-{similarity}-{name}-{pool_mark(context, similarity)}"
    return trainings(context, trainee).compared(model, out=out)


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
    user = {"style": trainee.style, "known_phrases": trainee.known_phrases, "similarity": similarity}
    return user | figures_of(report, kind=kind, start=name, n_texts=len(trainee.training))


def _from_another(context: Context, trainee: Trainee, similarity: int, report: StartsReport) -> dict[str, Any]:
    """The control: from the model of another style."""
    name = other_style(context, trainee)
    own = trainings(context, trainee).from_another(
        trained_pool(context, similarity)[name],
        report,
        out=f"other-{similarity}-{pool_mark(context, similarity)}",
    )
    return _row(trainee, similarity, own, OTHER, name)


def _file(context: Context, trainee: Trainee) -> Path:
    pools = "-".join(f"{s}-{pool_mark(context, s)}" for s in context.preset.similarities)
    return trainee_folder(context, trainee) / f"rows-{pools}-t{PROBED_AT}-parts-every-{PARTS_EVALUATED}.json"


def _texts_needed(context: Context, trainee: Trainee, similarity: int, name: str, report: StartsReport) -> int | None:
    return trainings(context, trainee).texts_needed(
        trained_pool(context, similarity)[name],
        report,
        out=f"from-{similarity}-{name}",
        mark=f"-{pool_mark(context, similarity)}",
    )


def _summary(rows: Sequence[Mapping[str, Any]], known_phrases: int, similarity: int, kind: str) -> dict[str, Any]:
    """Over users of so many percent known phrases who start from a pool."""
    place = {"known_phrases": known_phrases, "similarity": similarity, "kind": kind}
    own = [row for row in rows if all(row[name] == value for name, value in place.items())]
    return place | summary_of(own, kind)


def _against_another(rows: Sequence[Mapping[str, Any]], known_phrases: int, similarity: int) -> dict[str, Any]:
    """The control on the same users: who did not get there while scratch trained counts with all of its steps."""
    own = [row for row in rows if (row["known_phrases"], row["similarity"]) == (known_phrases, similarity)]
    return {"known_phrases": known_phrases, "similarity": similarity, **against_another(own)}
