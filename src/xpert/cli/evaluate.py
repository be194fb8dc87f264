"""``xpert evaluate``: the paper's experiments, on the models that come with the package; some on other texts too."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xpert.cli.evaluate_plan import plan
from xpert.cli.output import Outcome, table

if TYPE_CHECKING:
    from rich.console import RenderableType

    from xpert.evaluation.results import Result

__all__ = ["evaluate"]

Name = Annotated[str, typer.Argument(metavar="EXPERIMENT", help="An experiment's name, or all; --dry-run lists them.")]
PresetName = Annotated[str, typer.Option("--preset", metavar="tiny|small|paper", help="At which size.")]
Out = Annotated[
    Path,
    typer.Option(
        metavar="DIR", help="Gets results.md, and results/ with JSON and plots; what is done there is not done again."
    ),
]
Work = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Keeps what was computed, so that an interrupted run goes on.",
        show_default="work in --out",
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only tell what would be run, and on what.")]
Data = Annotated[
    str | None,
    typer.Option(
        metavar="zoo|hub|hub:NAME,NAME|FOLDER|genres:FOLDER|pool:FILE",
        show_default="zoo; hub, for paper",
        help="Whose texts: the zoo's; a folder of recorded answers, default.jsonl and a STYLE.jsonl each; a folder of passages, a GENRE.jsonl each; your own models and users, as a JSON file names them; the paper's, from the Hub, or others of its data sets by name (--preset paper).",
    ),
]
SummarizerName = Annotated[
    str | None,
    typer.Option(
        "--summarizer",
        metavar="REF",
        help="Who reads them, such as encoder:minilm.",
        show_default="zoo:summarizer; for paper, the paper's",
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Processes of one thread each that share independent cells (accuracy, figure-13, figure-15, table-5, table-5-bases, table-6, figure-16, table-10).",
        show_default="one a core, 4 at most; 1 by another summarizer than zoo:summarizer, which each would load",
    ),
]
Seed = Annotated[int, typer.Option(help="The seed of all that is drawn.")]


def evaluate(
    experiment: Name,
    *,
    preset: PresetName = "tiny",
    out: Out = Path("evaluation"),
    work: Work = None,
    dry_run: DryRun = False,
    seed: Seed = 0,
    data: Data = None,
    summarizer: SummarizerName = None,
    workers: Workers = None,
) -> Outcome:
    """Run an experiment of the paper, or all, and write tables and plots beside the paper's figures."""
    from xpert.evaluation.presets import preset_of
    from xpert.evaluation.setting import USUAL, Setting
    from xpert.evaluation.suite import experiments_of

    size = preset_of(preset)
    usual = size.pools or USUAL
    setting = Setting(data=data or usual.data, summarizer=summarizer or usual.summarizer)
    chosen = experiments_of(experiment, size, setting)
    if dry_run and size.pools is not None:
        return plan(size, setting)
    if dry_run:
        return _plan(chosen, size, out, seed, setting)
    from xpert.evaluation.running import PAGE, run_experiments
    from xpert.evaluation.suite.workers import usual_workers
    from xpert.report.charts import require_matplotlib

    require_matplotlib("xpert evaluate")
    results = run_experiments(
        chosen,
        size,
        out=out,
        work=work or out / "work",
        seed=seed,
        setting=setting,
        workers=usual_workers(setting) if workers is None else workers,
        on_result=lambda result: draw(result, out),
    )
    document = {
        "preset": size.name,
        "seed": seed,
        "page": str(out / PAGE),
        "data": setting.data_name,
        "summarizer": setting.summarizer,
        "results": {one.experiment: f"results/{one.stem or one.experiment}.json" for one in results},
        "seconds": sum(one.seconds for one in results),
    }
    return Outcome(document=document, view=lambda: _view(results, out / PAGE))


def draw(result: Result, out: Path) -> None:
    """Draw a result's charts beside its JSON."""
    from xpert.evaluation.results_page import chart_file
    from xpert.report.result_charts import line_chart

    for number, chart in enumerate(result.charts):
        line_chart(chart, out / "results" / chart_file(result.stem or result.experiment, number))


def _plan(chosen: Sequence[Any], size: Any, out: Path, seed: int, setting: Any) -> Outcome:
    from xpert.evaluation.running import done, in_the_way, spec_of

    there = {one.name: done(out, one, size, seed, setting) is not None for one in chosen}
    others = {one.name: found for one in chosen if (found := in_the_way(out, one, size, seed, setting))}
    minutes = size.minutes if setting.is_usual else {}
    specs = {one.name: spec_of(one, size, setting) for one in chosen}
    document = {
        "preset": size.name,
        "seed": seed,
        "experiments": [
            {
                "name": one.name,
                "title": one.title,
                "done": there[one.name],
                "minutes": minutes.get(one.name),
                "cells": one.cells,
                **specs[one.name],
            }
            for one in chosen
        ],
    }
    rows = [
        (
            one.name,
            one.title,
            "done" if there[one.name] else f"at {other.preset}, seed {other.seed}: another --out" if other else "to do",
            f"{minutes[one.name]:g}" if one.name in minutes else "",
            ", ".join(f"{name.replace('_', ' ')} {listed(value)}" for name, value in specs[one.name].items()),
        )
        for one in chosen
        for other in [others.get(one.name)]
    ]
    told = (
        [
            "Minutes: as measured on our two cores, after the experiments before it; alone, one also makes what they would have left.\n"
        ]
        if minutes
        else []
    )
    return Outcome(
        document=document, view=lambda: [table(["name", "experiment", "state", "minutes", "on"], rows), *told]
    )


def _view(results: Sequence[Result], page: Path) -> list[RenderableType]:
    parts: list[RenderableType] = []
    for result in results:
        for one in result.tables:
            parts += [f"{result.experiment}: {one.title}", f"{one.markdown}\n"]
    return [*parts, f"Written: {page}"]


def listed(value: object) -> str:
    """A value of a spec for people.

    >>> listed([90, 50]), listed("zoo")
    ('90/50', 'zoo')
    """
    return "/".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
