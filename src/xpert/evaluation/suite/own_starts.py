"""Tables 5 and 6 on one's own models: what the model that a user's texts select is worth as a start, and what it answers then."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

from xpert.energy import estimated
from xpert.errors import SettingsError
from xpert.evaluation.cast import OwnCast
from xpert.evaluation.demo_users import DemoUser, Trainee
from xpert.evaluation.experiments.tables import interval, markdown, percent, points
from xpert.evaluation.keeping import kept, mark_of
from xpert.evaluation.results import Chart, Series, Table
from xpert.evaluation.scores import Scores, score_difference, score_texts
from xpert.evaluation.starts import StartsReport, interval_of
from xpert.evaluation.suite.context import Context, Findings
from xpert.evaluation.suite.start_tables import OTHER, PHONE, SELECTED, figures_told, saved, share_told, steps_told
from xpert.evaluation.suite.trainings import Trainings, against_another, figures_of, summary_of
from xpert.evaluation.suite.workers import kept_cells
from xpert.explainer import Explainer
from xpert.modalities import load_modality, modality_of
from xpert.progress import say
from xpert.references import kind_of
from xpert.selector import Selector
from xpert.trainers.torch import TorchTrainer

__all__ = ["coarse", "own_table_5", "own_table_6"]

_SCRATCH = "the base"
_COARSE = 0.1
"""Of scratch's steps: beyond such an interval a start that is there at once would be told to save less than nine tenths."""
_SCORES = {"BLEU": "bleu", "ROUGE-1": "rouge_1", "ROUGE-L": "rouge_l"}


def own_table_5(context: Context) -> Findings:
    """Steps, seconds, energy and data to the loss of scratch, from the selected model and from another; what is trained is kept."""
    users = _users(context)
    rows = [row for user in kept_cells(context, _starts, _files(context, "rows")) for row in user]
    summaries = [
        {"kind": kind, **summary_of([row for row in rows if row["kind"] == kind], kind)} for kind in (SELECTED, OTHER)
    ]
    against = against_another(rows)
    every = interval_of(_trainings(context, users[0]).trainer)
    if hint := coarse(every, rows):
        say(hint)
    return Findings(
        tables=[
            Table(
                title=f"Fine-tuning to the loss of scratch, evaluated every {'step' if every == 1 else f'{every} steps'} (means over the users who got there, of the base over all; 95% intervals)",
                markdown=_costs(rows, summaries),
            ),
            Table(
                title="Steps saved by the selected model less those by another's, same users, each for at most as many steps as scratch trained",
                markdown=markdown(
                    [SELECTED, OTHER, "difference, in points"],
                    [
                        [
                            *(share_told(against["saved"][kind]) for kind in (SELECTED, OTHER)),
                            points(against["difference"]),
                        ]
                    ],
                ),
            ),
            Table(title="User by user (-: the target was not met, or texts were not counted)", markdown=_by_user(rows)),
        ],
        charts=[_steps_chart(rows, [one.style for one in users])],
        rows={"users": rows, "summaries": summaries, "against_another": against},
        weights=context.weights(),
    )


def own_table_6(context: Context) -> Findings:
    """BLEU and ROUGE of what scratch and the fine-tuned selected model answer to the users' validation prompts."""
    said = kept_cells(context, _answers, _files(context, "answers"))
    wrote, scratch, selected = (
        [text for user in said for text in user[kind]] for kind in ("wrote", "scratch", "selected")
    )
    scores = {_SCRATCH: score_texts(scratch, wrote), SELECTED: score_texts(selected, wrote)}
    less = score_difference(selected, scratch, wrote)
    cells = [[start, *_three(scores[start]), *(_three(less) if start == SELECTED else ["-"] * 3)] for start in scores]
    return Findings(
        tables=[
            Table(
                title="BLEU and ROUGE, 0 to 100 (95% interval over the prompts of these users)",
                markdown=markdown(["start", *_SCORES, *(f"{name}, less scratch" for name in _SCORES)], cells),
            )
        ],
        charts=[
            Chart(
                title="What fine-tuned models answer",
                x_label="score",
                y_label="0 to 100",
                names=list(_SCORES),
                series=[
                    Series.of_estimates(start, range(3), [own.to_dict()[score] for score in _SCORES.values()])
                    for start, own in scores.items()
                ],
            )
        ],
        rows={
            "scores": {start: own.to_dict() for start, own in scores.items()},
            "less_scratch": less.to_dict(),
            "answers": said,
        },
        weights=context.weights(),
    )


def _cast(context: Context) -> OwnCast:
    if not isinstance(context.cast, OwnCast):
        raise SettingsError("own models: expected --data pool:FILE")
    return context.cast


def _users(context: Context) -> list[Trainee]:
    """Users of so many of the models as the preset has, evenly spread."""
    cast, n = _cast(context), context.preset.trainees
    names = list(cast.models)
    return [cast.trainee(names[i * len(names) // n], context.seed) for i in range(n)]


def _selected(context: Context) -> dict[str, str]:
    """User's style to the model that the user's training texts select; kept in a file."""
    cast, users = _cast(context), _users(context)

    def select() -> dict[str, str]:
        how = replace(cast.generation, seed=context.seed)
        explainer = Explainer(
            cast.base,
            context.summarizer,
            prompts=context.own_prompts,
            seed=context.seed,
            generation=how,
            cache=context.cache,
            subvectors=context.subvectors,
        )
        selector = Selector(explainer.explain(context.models), context.summarizer)
        said = context.said_by_base([DemoUser(name=u.style, style=u.style, examples=u.training) for u in users])
        return {u.style: selector.select(u.training, [said[str(one.prompt)] for one in u.training]).best for u in users}

    sizes = f"{context.seed}-{len(users)}-{context.preset.styled_texts}"
    return kept(_folder(context) / f"selected-{sizes}{context.setting.suffix}.json", select)


def _folder(context: Context) -> Path:
    """Of all trainings, which no summarizer matters for."""
    cast = _cast(context)
    how = mark_of(sorted(cast.training.items()))
    return context.work / "own-starts" / f"{cast.name}-{cast.fingerprint}-{how}"


def _trainings(context: Context, user: Trainee) -> Trainings:
    cast = _cast(context)
    trainer = TorchTrainer(**{"max_steps": context.preset.training_steps, **cast.training})
    folder = _folder(context) / f"{user.style}-{context.seed}-{trainer.max_steps}"
    return Trainings(
        base=cast.base,
        training=user.training,
        validation=user.validation,
        trainer=trainer,
        folder=folder,
        adapter_base=cast.base,
    )


def _files(context: Context, what: str) -> dict[tuple[int, str], Path]:
    """A user's number and selected model to the file of what was found."""
    selected = _selected(context)
    return {
        (number, selected[user.style]): _trainings(context, user).folder / f"{what}-{selected[user.style]}.json"
        for number, user in enumerate(_users(context))
    }


def _compared(context: Context, user: Trainee, name: str) -> StartsReport:
    return _trainings(context, user).compared(context.models[name], out=f"from-{name}")


def _starts(context: Context, number: int, name: str) -> list[dict[str, Any]]:
    """One user's: from the selected model, and from another than the user's, drawn by the seed."""
    user = _users(context)[number]
    others = [other for other in context.models if other != user.style]
    other = random.Random(f"other than {user.style}, {context.seed}").choice(others)
    trainings, model, report = _trainings(context, user), context.models[name], _compared(context, user, name)
    needed = trainings.texts_needed(model, report, out=f"from-{name}")
    control = trainings.from_another(context.models[other], report, out=f"other-{other}")
    rows = [
        {"style": user.style, **figures_of(one, kind=kind, start=start, n_texts=len(user.training))}
        for one, kind, start in ((report, SELECTED, name), (control, OTHER, other))
    ]
    rows[0]["texts_selected"] = needed
    for row in rows:
        say(f"{user.style}, from {row['start']} ({row['kind']}): {row['steps_selected']} of {row['steps_base']} steps")
    return rows


def _answers(context: Context, number: int, name: str) -> dict[str, Any]:
    """What scratch and the fine-tuned selected model answer to a user's validation prompts, beside what the user wrote."""
    user = _users(context)[number]
    report, prompts = _compared(context, user, name), [str(one.prompt) for one in user.validation]
    return {
        "style": user.style,
        "prompts": prompts,
        "wrote": [one.response for one in user.validation],
        "scratch": _said_by(context, report.out_base, _cast(context).base, prompts),
        "selected": _said_by(context, report.out_selected, context.models[name], prompts),
    }


def _said_by(context: Context, model: Path, start: str, prompts: Sequence[str]) -> list[str]:
    """A new adapter of a full model that was the start is one of that model, not of the base."""
    cast = _cast(context)
    over = start if kind_of(model) == "adapter" and kind_of(start) == "full" else cast.base
    with load_modality(modality_of(over)).open(over) as prober:
        return list(prober.answer(str(model), prompts, replace(cast.generation, seed=context.seed)))


def coarse(every: int, rows: Sequence[Mapping[str, Any]]) -> str | None:
    """What to do where steps are counted too coarsely to tell what is saved; None where they are not.

    >>> coarse(8, [{"steps_base": 400}]), coarse(1, [{"steps_base": 3}])
    (None, None)
    >>> coarse(8, [{"steps_base": 400}, {"steps_base": 8}]).partition(":")[0]
    'models are evaluated every 8 steps, and scratch needs as few as 8'

    Args:
        every: Steps between evaluations.
        rows: Of the users (`xpert.evaluation.suite.trainings.figures_of`).
    """
    fewest = min(row["steps_base"] for row in rows)
    if every == 1 or every <= _COARSE * fewest:
        return None
    return (
        f"models are evaluated every {every} steps, and scratch needs as few as {fewest}: a start that is there at once counts as {every}. "
        "Evaluate more often ('training': {'eval_every': 1} in the pool's file), or train more slowly (its 'lr')"
    )


def _costs(rows: Sequence[Mapping[str, Any]], summaries: Sequence[Mapping[str, Any]]) -> str:
    header = ["start", "right model", "got there", "at its start", "steps", "FT-time", "steps saved", "FT-time saved"]
    header += [f"energy, {PHONE} (estimated)", "data saved"]
    scratch = [row for row in rows if row["kind"] == SELECTED]
    seconds, n = fmean(row["seconds_base"] for row in scratch), len(scratch)
    figures = [f"{fmean(row['steps_base'] for row in scratch):.0f}", f"{seconds:.1f} s", "-", "-"]
    cells: list[list[object]] = [
        [_SCRATCH, "-", f"{n} of {n}", "-", *figures, f"{estimated(seconds, PHONE).joules:.0f} J", "-"]
    ]
    for row in summaries:
        counts = [f"{row[name]} of {row['trainees']}" for name in ("trainees_right", "got_there", "met_at_start")]
        cells.append([row["kind"], *counts, *(figures_told(row) if row["got_there"] else ["-"] * 6)])
    return markdown(header, cells)


def _by_user(rows: Sequence[Mapping[str, Any]]) -> str:
    cells = [
        [
            row["style"],
            f"{row['start']} ({row['kind']})",
            f"{row['steps_base']}{' (cut short)' if row['scratch_stopped_by'] == 'max_steps' else ''}",
            steps_told(row),
            "-" if row["steps_selected"] is None else percent(saved(row, "steps")),
            "-" if row["texts_selected"] is None else f"{row['texts_selected']} of {row['texts']}",
        ]
        for row in rows
    ]
    return markdown(["user", "start", "steps: scratch", "steps: start", "saved", "texts needed"], cells)


def _steps_chart(rows: Sequence[Mapping[str, Any]], users: Sequence[str]) -> Chart:
    """Steps of scratch and of both starts, user by user; who did not get there has no point."""
    lines = [("scratch", [(row["style"], row["steps_base"]) for row in rows if row["kind"] == SELECTED])]
    lines += [
        (kind, [(row["style"], row["steps_selected"]) for row in rows if row["kind"] == kind])
        for kind in (SELECTED, OTHER)
    ]
    series = [
        Series(
            name=name,
            x=[users.index(style) for style, steps in told if steps is not None],
            y=[steps for _, steps in told if steps is not None],
        )
        for name, told in lines
    ]
    return Chart(title="Steps to the loss of scratch", x_label="user", y_label="steps", names=users, series=series)


def _three(scores: Scores) -> list[str]:
    told = scores.to_dict()
    return [interval(told[name]) for name in _SCORES.values()]
