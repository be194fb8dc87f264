"""Table 5 on the zoo: pools trained at a similarity, the right model, and what the selected one is worth as a start."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from xpert.energy import estimated
from xpert.evaluation.bootstrap import estimate
from xpert.evaluation.cast import BASE, zoo_user
from xpert.evaluation.demo_users import DemoUser, Trainee, zoo_trainee
from xpert.evaluation.experiments.data_saved import PARTS, smallest_part
from xpert.evaluation.experiments.tables import markdown, percent
from xpert.evaluation.keeping import kept
from xpert.evaluation.results import Chart, Series, Table
from xpert.evaluation.starts import StartsReport, compare_starts
from xpert.evaluation.suite.context import Context, Findings
from xpert.evaluation.suite.merging import zoo_trainer
from xpert.explainer import Explainer
from xpert.progress import say
from xpert.selector import Selector
from xpert.space import AXES
from xpert.trainers.torch import TorchTrainer
from xpert.zoo import pool_names
from xpert.zoo.making.pools import PoolSettings, make_pool

__all__ = ["compared", "selected_from", "table_5", "trained_pool", "trainee_folder", "trainees"]

PHONE = "pixel-7"
_N_TRAINING, _N_VALIDATION = 40, 20
_FIRST_USER = 50
"""Seed of the first user who is fine-tuned: none of the demo's, whose settings were chosen with users of lower seeds."""
_NAMES = {"all": "all axes", "named": "words alone", "named+measured": "words and measured quantities"}


def table_5(context: Context) -> Findings:
    """The right model, and steps, seconds, energy and data from the selected one; what is trained is kept."""
    preset = context.preset
    chosen = {s: selected_from(context, s) for s in preset.similarities}
    rows = [
        _measured(context, trainee, similarity, chosen[similarity])
        for trainee in trainees(context)
        for similarity in preset.similarities
    ]
    summaries = [_summary(rows, s, chosen[s]) for s in sorted(preset.similarities)]
    return Findings(
        tables=[
            Table(title="Right model (95% interval over users)", markdown=_accuracy(summaries)),
            Table(
                title="Fine-tuning to the loss of scratch (means over the users who got there, of the base over all; 95% intervals)",
                markdown=_cost(rows, summaries),
            ),
            Table(title="User by user (-: not within the bound)", markdown=_users(rows)),
        ],
        charts=[_chart(summaries)],
        rows={"users": rows, "summaries": summaries, "selected": chosen},
    )


def trained_pool(context: Context, similarity: int) -> dict[str, str]:
    """Style to reference: shipped where it is, else trained into the work folder."""
    shipped = {name.partition("@")[0]: f"zoo:{name}" for name in pool_names(similarity)}
    missing = [style for style in context.preset.styles if style not in shipped]
    folder = context.work / "pools" / str(similarity)
    if missing:
        say(f"s = {similarity}: {len(missing)} of {len(context.preset.styles)} models are trained, or there already")
        make_pool(BASE, folder, PoolSettings(similarity=similarity / 100), styles=missing)
    return {style: shipped.get(style, str(folder / style)) for style in context.preset.styles}


def selected_from(context: Context, similarity: int) -> dict[str, Any]:
    """Whether each user got the right model, and which one each trainee gets; kept in a file."""
    preset = context.preset
    key = f"{len(preset.styles)}-{preset.draws}-{preset.users_a_style}-{preset.trainees}-{preset.styled_texts}"
    file = context.work / "trained-pools" / f"{key}-{context.seed}-{similarity}{context.setting.suffix}.json"

    def select() -> dict[str, Any]:
        models = trained_pool(context, similarity)
        catalog = Explainer(
            BASE,
            context.summarizer,
            n_prompts=50,
            seed=context.seed,
            cache=context.cache,
            subvectors=context.subvectors,
        ).explain(models)
        selectors = {axes: Selector(catalog, context.summarizer, axes=axes) for axes in AXES}
        right: dict[str, list[bool]] = {}
        for user in _selecting_users(context):
            said = context.said_by_base([user])
            place = selectors["all"].locate(user.examples, [said[str(one.prompt)] for one in user.examples])
            for axes, selector in selectors.items():
                right.setdefault(_NAMES[axes], []).append(selector.rank(place).best == user.style)
        best: dict[str, str] = {}
        for trainee in trainees(context):
            said = context.said_by_base([DemoUser(name=trainee.style, style=trainee.style, examples=trainee.training)])
            answers = [said[str(one.prompt)] for one in trainee.training]
            best[trainee.style] = selectors["all"].select(trainee.training, answers).best
        say(f"s = {similarity}: {sum(right[_NAMES['all']])} of {len(right[_NAMES['all']])} right by all axes")
        return {"right": right, "trainees": best}

    return kept(file, select)


def _selecting_users(context: Context) -> list[DemoUser]:
    n = context.preset.draws * context.preset.users_a_style
    return [zoo_user(style, 100 * (context.seed + 1) + k) for k in range(n) for style in context.preset.styles]


def trainees(context: Context) -> list[Trainee]:
    """One user of each of so many styles, evenly spread over the preset's."""
    styles, n = context.preset.styles, context.preset.trainees
    picked = [styles[i * len(styles) // n] for i in range(n)]
    return [
        zoo_trainee(style=style, n_training=_N_TRAINING, n_validation=_N_VALIDATION, seed=_FIRST_USER + context.seed)
        for style in picked
    ]


def trainee_folder(context: Context, trainee: Trainee) -> Path:
    """Where a user's trainings lie; another pool may give another start."""
    kind = f"{len(context.preset.styles)}-{context.preset.training_steps}-{context.seed}{context.setting.suffix}"
    return context.work / "starts" / f"{trainee.style}-{kind}"


def compared(context: Context, trainee: Trainee, similarity: int, name: str) -> StartsReport:
    """Both starts of a user, the base and a model of a pool; what is done is not repeated."""
    return compare_starts(
        BASE,
        trained_pool(context, similarity)[name],
        trainee.training,
        trainee.validation,
        out=trainee_folder(context, trainee),
        trainer=zoo_trainer(context),
        resume=True,
        name=f"from-{similarity}",
    )


def _measured(context: Context, trainee: Trainee, similarity: int, chosen: Mapping[str, Any]) -> dict[str, Any]:
    name = chosen["trainees"][trainee.style]
    report = compared(context, trainee, similarity, name)
    texts = _texts_needed(context, trainee, similarity, name, report)
    say(
        f"{trainee.style}, s = {similarity}: {report.steps_selected} of {report.steps_base} steps, {texts} of {_N_TRAINING} texts"
    )
    return {
        "style": trainee.style,
        "similarity": similarity,
        "selected": name,
        "steps_base": report.steps_base,
        "seconds_base": report.seconds_base,
        "steps_selected": report.steps_selected,
        "seconds_selected": report.seconds_selected,
        "met_at_start": report.met_at_start,
        "scratch_stopped_by": report.scratch_stopped_by,
        "texts": len(trainee.training),
        "texts_selected": texts,
    }


def _texts_needed(context: Context, trainee: Trainee, similarity: int, name: str, report: StartsReport) -> int | None:
    """Texts with which the selected start reaches the target within scratch's whole training; None: not with all of them."""
    if report.steps_selected is None:
        return None
    trainer: TorchTrainer = replace(zoo_trainer(context), patience=None, target_loss=report.target_loss)
    trainer = replace(trainer, max_steps=max(report.scratch_steps, report.steps_selected))

    def enough(parts: int) -> bool:
        own = trainee.training[: len(trainee.training) * parts // PARTS]
        out = trainee_folder(context, trainee) / f"from-{similarity}-part-{parts}"
        start = trained_pool(context, similarity)[name]
        run = trainer.fit(start, own, validation=trainee.validation, out=out, resume=True)
        return any(loss <= report.target_loss for _, loss in run.eval_losses)

    return len(trainee.training) * smallest_part(enough) // PARTS


def _summary(rows: Sequence[Mapping[str, Any]], similarity: int, chosen: Mapping[str, Any]) -> dict[str, Any]:
    """Over users; steps, seconds and texts over those who got to the target, and how many did."""
    own = [row for row in rows if row["similarity"] == similarity]
    there = [row for row in own if row["steps_selected"] is not None]
    told: dict[str, Any] = {
        "similarity": similarity,
        "right": {name: asdict(estimate([float(one) for one in values])) for name, values in chosen["right"].items()},
        "trainees": len(own),
        "trainees_right": sum(row["selected"] == row["style"] for row in own),
        "got_there": len(there),
    }
    if not there:
        return told
    return told | {
        "steps": fmean(row["steps_selected"] for row in there),
        "seconds": fmean(row["seconds_selected"] for row in there),
        "steps_saved": asdict(estimate([_saved(row, "steps") for row in there])),
        "seconds_saved": asdict(estimate([_saved(row, "seconds") for row in there])),
        "phone_j": estimated(fmean(row["seconds_selected"] for row in there), PHONE).joules,
        "data_saved": asdict(estimate([1 - row["texts_selected"] / row["texts"] for row in there])),
    }


def _saved(row: Mapping[str, Any], what: str) -> float:
    """Negative where the selected start took longer.

    >>> _saved({"steps_selected": 15, "steps_base": 60}, "steps")
    0.75
    """
    return 1 - row[f"{what}_selected"] / row[f"{what}_base"]


def _accuracy(summaries: Sequence[Mapping[str, Any]]) -> str:
    names = list(summaries[0]["right"])
    cells = [
        [f"s = {row['similarity']}", *(_share(row["right"][name]) for name in names), row["right"][names[0]]["n"]]
        for row in summaries
    ]
    return markdown(["pool", *names, "users"], cells)


def _cost(rows: Sequence[Mapping[str, Any]], summaries: Sequence[Mapping[str, Any]]) -> str:
    scratch = {row["style"]: row for row in rows}
    seconds = fmean(row["seconds_base"] for row in scratch.values())
    header = [
        "start",
        "right model",
        "got there",
        "steps",
        "FT-time",
        "steps saved",
        "FT-time saved",
        "energy, Pixel 7 (estimated)",
        "data saved",
    ]
    steps = fmean(row["steps_base"] for row in scratch.values())
    whole = f"{len(scratch)} of {len(scratch)}"
    cells: list[list[object]] = [
        [
            "the base",
            "-",
            whole,
            f"{steps:.0f}",
            f"{seconds:.1f} s",
            "-",
            "-",
            f"{estimated(seconds, PHONE).joules:.0f} J",
            "-",
        ]
    ]
    for row in summaries:
        of = f"of {row['trainees']}"
        cells.append(
            [
                f"selected, s = {row['similarity']}",
                f"{row['trainees_right']} {of}",
                f"{row['got_there']} {of}",
                *(_figures(row) if row["got_there"] else ["-"] * 6),
            ]
        )
    return markdown(header, cells)


def _figures(row: Mapping[str, Any]) -> list[str]:
    saved = [_share(row[name]) for name in ("steps_saved", "seconds_saved")]
    energy = f"{row['phone_j']:.0f} J"
    return [f"{row['steps']:.0f}", f"{row['seconds']:.1f} s", *saved, energy, _share(row["data_saved"])]


def _users(rows: Sequence[Mapping[str, Any]]) -> str:
    cells = [
        [
            row["style"],
            row["similarity"],
            row["selected"],
            row["steps_base"],
            f"{row['steps_selected']} (at its start)" if row["met_at_start"] else _or_dash(row["steps_selected"]),
            "-" if row["steps_selected"] is None else percent(_saved(row, "steps")),
            _or_dash(row["texts_selected"]),
        ]
        for row in rows
    ]
    texts = rows[0]["texts"]
    return markdown(["user", "s", "selected", "steps: scratch", "selected", "saved", f"texts needed of {texts}"], cells)


def _or_dash(value: object) -> object:
    return "-" if value is None else value


def _share(one: Mapping[str, float]) -> str:
    return f"{100 * one['mean']:.0f}% ({100 * one['low']:.0f} to {100 * one['high']:.0f})"


def _chart(summaries: Sequence[Mapping[str, Any]]) -> Chart:
    there = [row for row in summaries if row["got_there"]]

    def series(name: str, rows: Sequence[Mapping[str, Any]], values: Sequence[Mapping[str, float]]) -> Series:
        parts = {key: [100 * one[key] for one in values] for key in ("mean", "low", "high")}
        xs = [row["similarity"] for row in rows]
        return Series(name=name, x=xs, y=parts["mean"], low=parts["low"], high=parts["high"])

    return Chart(
        title="What the selected model saves",
        x_label="similarity s, percent",
        y_label="percent",
        series=[
            series("right model", summaries, [row["right"][_NAMES["all"]] for row in summaries]),
            series("steps saved", there, [row["steps_saved"] for row in there]),
            series("data saved", there, [row["data_saved"] for row in there]),
        ],
    )
