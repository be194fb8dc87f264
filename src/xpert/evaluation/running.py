"""Running experiments: what is done is not done again, each result is written as soon as it is there, and the page after each."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from xpert.errors import DataError
from xpert.evaluation.manifest import manifest
from xpert.evaluation.presets import Preset
from xpert.evaluation.results import Result, read_result, write_result
from xpert.evaluation.results_page import results_page
from xpert.evaluation.suite import EXPERIMENTS, Experiment
from xpert.evaluation.suite.context import Context
from xpert.progress import say
from xpert.tensors.files import write_text

__all__ = ["PAGE", "done", "result_file", "run_experiments", "write_page"]

PAGE = "results.md"


def result_file(out: Path, experiment: str) -> Path:
    """Where an experiment's result lies."""
    return out / "results" / f"{experiment}.json"


def done(out: Path, experiment: Experiment, preset: Preset, seed: int) -> Result | None:
    """The result that lies there, if it is of this preset, its present sizes, and this seed.

    Raises:
        xpert.errors.DataError: What lies there cannot be read.
    """
    file = result_file(out, experiment.name)
    if not file.is_file():
        return None
    found = read_result(file)
    same = found.preset == preset.name and found.seed == seed and dict(found.spec) == _as_json(experiment, preset)
    return found if same else None


def run_experiments(
    experiments: Sequence[Experiment],
    preset: Preset,
    *,
    out: Path,
    work: Path,
    seed: int = 0,
    on_result: Callable[[Result], None] | None = None,
) -> list[Result]:
    """Run what is not done yet, one after another.

    Args:
        experiments: Which.
        preset: At which size.
        out: Folder that gets ``results/NAME.json`` and the page.
        work: Folder that keeps what was computed, so that an interrupted run goes on.
        seed: Of all that is drawn.
        on_result: Called with each new result before it is written: what it draws is there once the result is.

    Returns:
        Results in the order of the experiments, those that were there before too.

    Raises:
        xpert.errors.MissingDependencyError: An experiment needs what is not installed; found before any is run.
        xpert.errors.XpertError: Whatever an experiment raises; the results before it are written.
    """
    found = {one.name: done(out, one, preset, seed) for one in experiments}
    waiting = [one for one in experiments if found[one.name] is None]
    for one in waiting:
        one.check()
    with Context(preset=preset, seed=seed, work=work) as context:
        for number, one in enumerate(waiting, start=1):
            say(f"{one.title} ({number} of {len(waiting)}) ...")
            found[one.name] = result = _run(one, context)
            result_file(out, one.name).parent.mkdir(parents=True, exist_ok=True)
            if on_result is not None:
                on_result(result)
            write_result(result, result_file(out, one.name))
            write_page(out)
    write_page(out)  # an earlier run may have been interrupted before it
    return [result for one in experiments if (result := found[one.name]) is not None]


def write_page(out: Path) -> Path:
    """Write the page of all results that lie in the folder.

    Raises:
        xpert.errors.DataError: There are none, or one cannot be read.
    """
    files = [file for name in EXPERIMENTS if (file := result_file(out, name)).is_file()]
    if not files:
        raise DataError(f"{out / 'results'}: expected results of xpert evaluate, found none")
    return write_text(out / PAGE, results_page([read_result(file) for file in files], EXPERIMENTS))


def _run(experiment: Experiment, context: Context) -> Result:
    began = time.perf_counter()
    found = experiment.run(context)
    return Result(
        experiment=experiment.name,
        preset=context.preset.name,
        seed=context.seed,
        spec=_as_json(experiment, context.preset),
        tables=tuple(found.tables),
        charts=tuple(found.charts),
        rows=found.rows,
        seconds=time.perf_counter() - began,
        manifest=manifest(),
    )


def _as_json(experiment: Experiment, preset: Preset) -> dict[str, object]:
    return dict(experiment.spec(preset))
