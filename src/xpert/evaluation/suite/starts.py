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
from xpert.evaluation.experiments.tables import markdown, percent, points
from xpert.evaluation.presets import PARTS_EVALUATED, PROBED_AT
from xpert.evaluation.results import Chart, Series, Table
from xpert.evaluation.starts import StartsReport, compare_starts, reached
from xpert.evaluation.suite.chosen import (
    ALL,
    EXHAUSTIVE,
    LLAMA,
    other_bases,
    other_style,
    pool_mark,
    pool_weights,
    rights_by_base,
    selected_from,
    selections,
    trained_pool,
    trainee_folder,
    trainees,
)
from xpert.evaluation.suite.context import Context, Findings
from xpert.evaluation.suite.merging import zoo_trainer
from xpert.evaluation.suite.workers import kept_cells
from xpert.progress import say
from xpert.trainers.torch import TorchTrainer
from xpert.types import TrainingReport

__all__ = ["SELECTED", "compared", "table_5"]

PHONE = "pixel-7"
SELECTED, _OTHER = "selected", "another style's"


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
    rights = [_right(*place, found["right"]) for place, found in chosen.items()]
    columns = [{"base": LLAMA, **row} for row in rights] + [
        {"base": row["base"], **_right(row["known_phrases"], row["similarity"], row["right"])}
        for row in rights_by_base(context)
    ]
    starts = [(*place, SELECTED) for place in chosen]
    starts += [(known, max(preset.similarities), _OTHER) for known in preset.known_phrases]
    summaries = [_summary(rows, *start) for start in starts]
    against = [_against_another(rows, known, max(preset.similarities)) for known in preset.known_phrases]
    return Findings(
        tables=[
            Table(
                title="Right model (95% interval over users; exhaustive search for the first of them)",
                markdown=_accuracy(rights),
            ),
            Table(title=f"The same by base, all axes{_left_out(context)}", markdown=_by_base(columns)),
            Table(
                title="Fine-tuning to the loss of scratch (means over the users who got there, of the base over all; 95% intervals)",
                markdown=_cost(rows, summaries),
            ),
            Table(
                title="Steps saved by the selected model less those by another style's, same users, each for at most as many steps as scratch trained",
                markdown=_differences(against),
            ),
            Table(title="User by user (-: the target was not met; texts: not counted)", markdown=_users(rows)),
        ],
        charts=[_chart(rights, summaries, known) for known in preset.known_phrases],
        rows={
            "users": rows,
            "right": rights,
            "right_by_base": columns,
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
    return _row(trainee, similarity, own, _OTHER, name)


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


def _right(known_phrases: int, similarity: int, right: Mapping[str, Sequence[bool]]) -> dict[str, Any]:
    """Shares of users who got the right model, and by how much xpert's is above exhaustive search's on the same users."""
    values = {name: [float(one) for one in of_users] for name, of_users in right.items()}
    searched = values[EXHAUSTIVE]
    return {
        "known_phrases": known_phrases,
        "similarity": similarity,
        "right": {name: asdict(estimate(own)) for name, own in values.items()},
        "less_exhaustive": asdict(paired_difference(values[ALL][: len(searched)], searched)),
    }


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
        "steps_saved": asdict(estimate([_saved(row, "steps") for row in there])),
        "seconds_saved": asdict(estimate([_saved(row, "seconds") for row in there])),
        "phone_j": estimated(fmean(row["seconds_selected"] for row in there), PHONE).joules,
        "data_saved": asdict(estimate([1 - row["texts_selected"] / row["texts"] for row in there]))
        if kind == SELECTED
        else None,
    }


def _against_another(rows: Sequence[Mapping[str, Any]], known_phrases: int, similarity: int) -> dict[str, Any]:
    """The control on the same users: who did not get there while scratch trained counts with all of its steps."""
    own = [row for row in rows if (row["known_phrases"], row["similarity"]) == (known_phrases, similarity)]
    saved = {kind: [_saved_at_least(row) for row in own if row["kind"] == kind] for kind in (SELECTED, _OTHER)}
    return {
        "known_phrases": known_phrases,
        "similarity": similarity,
        "saved": {kind: asdict(estimate(values)) for kind, values in saved.items()},
        "difference": asdict(paired_difference(saved[SELECTED], saved[_OTHER])),
    }


def _saved_at_least(row: Mapping[str, Any]) -> float:
    """Steps saved by a start that is given as many as scratch trained, its last ones without improvement too.

    >>> _saved_at_least({"steps_selected": None, "steps_base": 50, "scratch_steps": 55})
    -0.1
    """
    most = row["scratch_steps"]
    return round(1 - min(row["steps_selected"] or most, most) / row["steps_base"], 6)


def _saved(row: Mapping[str, Any], what: str) -> float:
    """Negative where the selected start took longer.

    >>> _saved({"steps_selected": 15, "steps_base": 60}, "steps")
    0.75
    """
    return 1 - row[f"{what}_selected"] / row[f"{what}_base"]


def _accuracy(rights: Sequence[Mapping[str, Any]]) -> str:
    names = list(rights[0]["right"])
    cells = [
        [
            _phrases(row),
            f"s = {row['similarity']}",
            *(_share(row["right"][name]) for name in names),
            row["right"][ALL]["n"],
            points(row["less_exhaustive"]),
            row["less_exhaustive"]["n"],
        ]
        for row in rights
    ]
    header = ["known phrases", "pool", *names, "users", "all axes less exhaustive, same users, in points", "searched"]
    return markdown(header, cells)


def _left_out(context: Context) -> str:
    """For a title: which bases there are not."""
    _, missing = other_bases(context.work)
    return f" (not there: {', '.join(missing)})" if missing else ""


def _by_base(columns: Sequence[Mapping[str, Any]]) -> str:
    """A pool a row, a base a column: right by all axes, by exhaustive search, and the difference on the same users in points."""
    bases = list(dict.fromkeys(row["base"] for row in columns))
    by = {(row["base"], row["known_phrases"], row["similarity"]): row for row in columns}
    places = dict.fromkeys((row["known_phrases"], row["similarity"]) for row in columns)
    cells = [
        [
            f"{known}%",
            f"s = {similarity}",
            *(
                cell
                for base in bases
                for row in [by[base, known, similarity]]
                for cell in (
                    _share(row["right"][ALL]),
                    _share(row["right"][EXHAUSTIVE]),
                    points(row["less_exhaustive"]),
                )
            ),
        ]
        for known, similarity in places
    ]
    header = [text for base in bases for text in (base, f"{base}, {EXHAUSTIVE}", f"{base}, difference in points")]
    return markdown(["known phrases", "pool", *header], cells)


def _differences(against: Sequence[Mapping[str, Any]]) -> str:
    cells = [
        [
            _phrases(row),
            f"s = {row['similarity']}",
            *(_share(row["saved"][kind]) for kind in (SELECTED, _OTHER)),
            points(row["difference"]),
        ]
        for row in against
    ]
    return markdown(["known phrases", "pool", SELECTED, _OTHER, "difference, in points"], cells)


def _phrases(row: Mapping[str, Any]) -> str:
    return f"{row['known_phrases']}%"


def _cost(rows: Sequence[Mapping[str, Any]], summaries: Sequence[Mapping[str, Any]]) -> str:
    header = [
        "known phrases",
        "start",
        "right model",
        "got there",
        "at its start",
        "steps",
        "FT-time",
        "steps saved",
        "FT-time saved",
        "energy, Pixel 7 (estimated)",
        "data saved",
    ]
    cells: list[list[object]] = []
    for known in dict.fromkeys(row["known_phrases"] for row in rows):
        scratch = list({row["style"]: row for row in rows if row["known_phrases"] == known}.values())
        seconds, whole = fmean(row["seconds_base"] for row in scratch), f"{len(scratch)} of {len(scratch)}"
        figures = [f"{fmean(row['steps_base'] for row in scratch):.0f}", f"{seconds:.1f} s", "-", "-"]
        energy = f"{estimated(seconds, PHONE).joules:.0f} J"
        cells.append([f"{known}%", "the base", "-", whole, "-", *figures, energy, "-"])
        for row in summaries:
            if row["known_phrases"] != known:
                continue
            of = f"of {row['trainees']}"
            cells.append(
                [
                    f"{known}%",
                    f"{row['kind']}, s = {row['similarity']}",
                    f"{row['trainees_right']} {of}",
                    f"{row['got_there']} {of}",
                    f"{row['met_at_start']} {of}",
                    *(_figures(row) if row["got_there"] else ["-"] * 6),
                ]
            )
    return markdown(header, cells)


def _figures(row: Mapping[str, Any]) -> list[str]:
    saved = [_share(row[name]) for name in ("steps_saved", "seconds_saved")]
    data = "-" if row["data_saved"] is None else _share(row["data_saved"])
    return [f"{row['steps']:.0f}", f"{row['seconds']:.1f} s", *saved, f"{row['phone_j']:.0f} J", data]


def _users(rows: Sequence[Mapping[str, Any]]) -> str:
    cells = [
        [
            row["style"],
            _phrases(row),
            row["similarity"],
            row["start"],
            row["steps_base"],
            f"{row['steps_selected']} (at its start)" if row["met_at_start"] else _or_dash(row["steps_selected"]),
            "-" if row["steps_selected"] is None else percent(_saved(row, "steps")),
            _or_dash(row["texts_selected"]),
        ]
        for row in rows
    ]
    texts = rows[0]["texts"]
    header = [
        "user",
        "known phrases",
        "s",
        "start",
        "steps: scratch",
        "steps: start",
        "saved",
        f"texts needed of {texts}",
    ]
    return markdown(header, cells)


def _or_dash(value: object) -> object:
    return "-" if value is None else value


def _share(one: Mapping[str, float]) -> str:
    return f"{100 * one['mean']:.0f}% ({100 * one['low']:.0f} to {100 * one['high']:.0f})"


def _chart(rights: Sequence[Mapping[str, Any]], summaries: Sequence[Mapping[str, Any]], known_phrases: int) -> Chart:
    own = [row for row in rights if row["known_phrases"] == known_phrases]
    there = [
        row
        for row in summaries
        if row["known_phrases"] == known_phrases and row["kind"] == SELECTED and row["got_there"]
    ]

    xs, there_xs = [row["similarity"] for row in own], [row["similarity"] for row in there]
    return Chart(
        title=f"What the selected model saves, {known_phrases}% known phrases",
        x_label="similarity s, percent",
        y_label="percent",
        series=[
            Series.of_estimates("right model", xs, [row["right"][ALL] for row in own], factor=100),
            Series.of_estimates("steps saved", there_xs, [row["steps_saved"] for row in there], factor=100),
            Series.of_estimates("data saved", there_xs, [row["data_saved"] for row in there], factor=100),
        ],
    )
