"""``xpert demo``: the whole flow on the models that come with the package."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from xpert.cli.output import LEFT_OUT, Outcome, table, top_words
from xpert.errors import SettingsError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from xpert.evaluation.demo import DemoReport
    from xpert.evaluation.demo_zoos import DemoZoo
    from xpert.types import Example

__all__ = ["demo"]

_RESULT = "demo.json"


def demo(
    modality: Annotated[str, typer.Option(metavar="text|diffusion", help="What the models make.")] = "text",
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Keep catalog, results, charts and one user's data in this folder."),
    ] = None,
    seed: Annotated[int, typer.Option(help="The seed of the users and of everything else that is drawn.")] = 0,
) -> Outcome:
    """Explain the zoo, select for users whose data no model saw, and fine-tune one of them from two starts."""
    from xpert.evaluation.demo_zoos import ZOOS

    if modality not in ZOOS:
        raise SettingsError(f"--modality {modality}: there is no such demo: expected one of {', '.join(ZOOS)}")
    _check_out(out)
    from xpert.evaluation.demo import run_demo

    zoo = ZOOS[modality](seed)
    with _folder(out) as folder:
        report = run_demo(
            base=zoo.base,
            summarizer=zoo.summarizer,
            models=zoo.models,
            users=zoo.users,
            trainee=zoo.trainee,
            mixed=zoo.mixed,
            out=folder,
            settings=zoo.settings,
        )
        if out is not None:
            keep(report, zoo, folder)
    return Outcome(document=report.to_dict(), view=lambda: _view(report, zoo, out))


def keep(report: DemoReport, zoo: DemoZoo, folder: Path) -> None:
    """Write the results beside the catalog: JSON, charts, and one user's data and selection."""
    from xpert.report.charts import starts_chart
    from xpert.selection_io import selection_to_json
    from xpert.tensors.files import write_text

    rows = [_data_row(i, example, folder) for i, example in enumerate(zoo.trainee.training)]
    write_text(folder / "me.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    write_text(folder / "selection.json", json.dumps(selection_to_json(report.selection), indent=2) + "\n")
    starts = report.starts
    starts_chart(
        starts.curve_base,
        starts.curve_selected,
        target_loss=starts.target_loss,
        selected=report.selection.best,
        out=folder / "chart.png",
        unit=zoo.unit,
    )
    if report.shown:
        from xpert.images import open_image
        from xpert.report.contact_sheet import contact_sheet

        mine = [example.response for example in zoo.trainee.training[: zoo.settings.n_shown]]
        columns = {**report.shown, f"user: {zoo.trainee.style}": mine}
        contact_sheet(
            {name: [open_image(answer) for answer in answers] for name, answers in columns.items()},
            folder / "contact-sheet.png",
            side=72,
        )
    write_text(folder / _RESULT, json.dumps(report.to_dict(), indent=2) + "\n")


def _data_row(number: int, example: Example, folder: Path) -> dict[str, str | None]:
    """One line of the user's data; an image becomes a file beside it."""
    from xpert.images import is_image, open_image

    if not is_image(example.response):
        return {"prompt": example.prompt, "response": example.response}
    file = folder / "me" / f"{number:03d}.png"
    file.parent.mkdir(exist_ok=True)
    open_image(example.response).save(file, format="PNG")
    return {"prompt": example.prompt, "image": f"me/{file.name}"}


def _check_out(out: Path | None) -> None:
    if out is None:
        return
    if out.exists() and not out.is_dir():
        raise SettingsError(f"--out {out} is a file: give a folder")
    if out.is_dir() and any(out.iterdir()) and not (out / _RESULT).is_file():
        raise SettingsError(f"--out {out} holds something else: give a new or empty folder")
    from xpert.report.charts import require_matplotlib

    require_matplotlib("xpert demo --out, which draws a chart,")


@contextmanager
def _folder(out: Path | None) -> Iterator[Path]:
    """Where to work: a folder that becomes ``out`` when all is done, or one that is gone then."""
    from xpert.tensors.files import atomic_folder

    if out is None:
        with TemporaryDirectory() as folder:
            yield Path(folder)
        return
    with atomic_folder(out) as folder:
        yield folder
        shutil.rmtree(folder / "starts")


def _view(report: DemoReport, zoo: DemoZoo, out: Path | None) -> list[RenderableType]:
    catalog, starts, users = report.catalog, report.starts, len(report.choices)
    words = [(name, top_words(catalog[name].words, 4, catalog[name].stderr, with_errors=False)) for name in catalog]
    accuracy = [f"{share:.0%} by {axes} axes" for axes, share in report.to_dict()["accuracy"].items()]
    reached = "never" if starts.steps_selected is None else f"{starts.steps_selected}"
    runs = [
        ("the base", starts.steps_base, f"{starts.seconds_base:.1f}"),
        (report.selection.best, reached, f"{starts.seconds_selected:.1f}"),
    ]
    parts: list[RenderableType] = [
        table(["model", "in words"], words),
        f"{LEFT_OUT} xpert show tells errors, and every axis.",
        f"Users whose {zoo.data} no model saw: {report.correct()} of {users} got the model of their style "
        f"({', '.join(accuracy)}).",
        f"Fine-tuning a user of style {report.trainee} to a validation loss of {starts.target_loss:.3f}:",
        table(["start", "#steps", "#seconds"], runs),
    ]
    if starts.met_at_start:
        parts.append("The selected model met the target before its first step, which counts as one interval.")
    if report.mixed is not None:
        styles, plan = report.mixed
        weights = " + ".join(f"{weight:.2f} {name}" for name, weight in plan.weights.items())
        parts.append(
            f"A user of half {styles[0]}, half {styles[1]}, would start from {weights}: "
            f"distance {plan.distance_after:.2f} instead of {plan.distance_before:.2f} with the best one alone."
        )
    parts.append(f"{report.seconds:.0f} s in all, peak memory {report.peak_mb:.0f} MB.")
    if out is not None:
        parts.append(f"Catalog, results, charts and this user's data are in {out}.")
    return parts
