"""Figure 16: steps to the target of users who write in 1, 2 or 3 styles, from scratch, from the selected model, from a merge."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from xpert.evaluation.demo import DemoSettings
from xpert.evaluation.demo_users import DemoUser
from xpert.evaluation.experiments.merging_starts import (
    KINDS,
    MixedStarts,
    MixedTrainee,
    mean_steps,
    mixed_starts,
    mixed_starts_table,
    mixed_starts_users,
    mixed_trainee,
)
from xpert.evaluation.results import Chart, Series, Table
from xpert.evaluation.suite.context import Context, Findings
from xpert.evaluation.suite.workers import kept_cells
from xpert.progress import say
from xpert.trainers.torch import TorchTrainer
from xpert.zoo import adapter_names

__all__ = ["N_STYLES", "RANK", "figure_16", "prepare", "whole_weights", "zoo_trainer"]

N_STYLES = (1, 2, 3)
"""Styles that a user mixes, in equal parts."""
RANK = 8
"""Of the zoo's adapters; the merge is compressed to it for a start of its own."""
PAPER = {"scratch": (1000, 1000, 1000), "single": (250, 600, 750), "merged": (250, 450, 570)}
"""Steps by the number of styles, read off the paper's Figure 16."""

_TOLD = {"scratch": "scratch", "single": "selected model", "merged": "merge", "compressed": f"merge at rank {RANK}"}


def figure_16(context: Context) -> Findings:
    """Users of each number of styles; each user's row is kept as it comes."""
    users = [
        (n_styles, 1_000 * context.seed + user)
        for user in range(1, context.preset.mixed_users + 1)
        for n_styles in N_STYLES
    ]
    files = {user: _file(context, *user) for user in users}
    kept = kept_cells(
        context,
        _row,
        files,
        prepare=lambda waiting: prepare(
            context, [_asking(mixed_trainee(n_styles, seed)) for n_styles, seed in waiting]
        ),
    )
    rows = [MixedStarts.from_dict(row) for row in kept]
    return Findings(
        tables=[
            Table(title="Mean steps to the target, by the number of styles", markdown=mixed_starts_table(rows)),
            Table(title="User by user (-: not within the bound)", markdown=mixed_starts_users(rows)),
        ],
        charts=[_chart(rows)],
        rows=[row.to_dict() for row in rows],
        weights=whole_weights(context),
    )


def whole_weights(context: Context) -> dict[str, str]:
    """Who computed, of an experiment on all models of the zoo."""
    return context.weights([f"zoo:{name}" for name in adapter_names()])


def prepare(context: Context, users: Sequence[DemoUser]) -> None:
    """Have in the work folder what cells of users share: what the whole catalog is made of, and the base's answers to all prompts."""
    _ = context.whole_catalog
    context.said_by_base(users)


def zoo_trainer(context: Context) -> TorchTrainer:
    """The demo's settings, within the preset's steps."""
    trainer = DemoSettings().trainer
    assert isinstance(trainer, TorchTrainer)
    return replace(trainer, max_steps=context.preset.training_steps)


def _file(context: Context, n_styles: int, seed: int) -> Path:
    """Of a user's row."""
    name = f"{n_styles}-{seed}-{context.preset.training_steps}-{context.seed}.json"
    return context.work / "mixed-starts" / name


def _row(context: Context, n_styles: int, seed: int) -> dict[str, Any]:
    """One user's."""
    user = mixed_trainee(n_styles, seed)
    said = context.said_by_base([_asking(user)])
    file = _file(context, n_styles, seed)
    row = mixed_starts(
        user,
        catalog=context.whole_catalog,
        summarizer=context.summarizer,
        base=context.cast.base,
        base_answers=[said[str(example.prompt)] for example in user.training],
        out=_fresh(file.parent / "models" / file.stem),  # no other worker's
        trainer=zoo_trainer(context),
        rank=RANK,
    )
    say(f"{' + '.join(row.styles)}: {dict(row.steps)}")
    return row.to_dict()


def _asking(user: MixedTrainee) -> DemoUser:
    return DemoUser(name="mixed", style=user.styles[0], examples=user.training)


def _fresh(folder: Path) -> Path:
    """A folder that is not there yet, whatever an interrupted run has left."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(folder, ignore_errors=True)
    return folder


def _chart(rows: Sequence[MixedStarts]) -> Chart:
    """Percent of scratch's steps, so that the paper's stand beside them; numbers of styles of which nobody got there are left out."""
    series: list[Series] = []
    for kind in KINDS:
        points = [(n, means[kind] / means["scratch"]) for n in N_STYLES if (means := mean_steps(rows, n)) is not None]
        series.append(Series(name=_TOLD[kind], x=[n for n, _ in points], y=[100 * share for _, share in points]))
    for kind, steps in PAPER.items():
        shares = [100 * own / whole for own, whole in zip(steps, PAPER["scratch"], strict=True)]
        series.append(Series(name=f"{_TOLD[kind]}, paper", x=list(N_STYLES), y=shares))
    return Chart(
        title="Steps to the target",
        x_label="styles of the user",
        y_label="steps, percent of scratch's",
        series=[one for one in series if one.x],
    )
