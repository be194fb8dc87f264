"""Running experiments: what is done is not done again, each result is written as soon as it is there, and the page after each."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from xpert.errors import DataError, SettingsError
from xpert.evaluation.manifest import manifest
from xpert.evaluation.presets import Preset
from xpert.evaluation.results import Result, read_result, write_result
from xpert.evaluation.results_page import results_page, without_dead_links
from xpert.evaluation.setting import USUAL, Setting
from xpert.evaluation.suite import EXPERIMENTS, Experiment, check_setting
from xpert.evaluation.suite.context import Context
from xpert.evaluation.suite.workers import check_workers
from xpert.progress import say
from xpert.tensors.files import write_text

__all__ = ["PAGE", "done", "in_the_way", "result_file", "result_files", "run_experiments", "spec_of", "write_page"]

PAGE = "results.md"


def result_file(out: Path, experiment: str, setting: Setting = USUAL) -> Path:
    """Where an experiment's result lies."""
    return out / "results" / f"{experiment}{setting.suffix}.json"


def result_files(out: Path) -> list[Path]:
    """The results that lie there, in the order of the page: of each experiment the usual one, then the others by name."""
    files: list[Path] = []
    for name in EXPERIMENTS:
        usual = result_file(out, name)
        files += [usual] if usual.is_file() else []
        files += sorted((out / "results").glob(f"{name}-on-*-by-*.json"))
    return files


def spec_of(experiment: Experiment, preset: Preset, setting: Setting = USUAL) -> dict[str, object]:
    """What an experiment is run on.

    Raises:
        xpert.errors.DataError: The setting's data cannot be read.
    """
    return {**experiment.spec_on(setting, setting.fitted(preset)), **setting.spec()}


def done(out: Path, experiment: Experiment, preset: Preset, seed: int, setting: Setting = USUAL) -> Result | None:
    """The result that lies there, if it is of this preset, its present sizes, the same texts, and this seed.

    Raises:
        xpert.errors.DataError: What lies there, or the setting's data, cannot be read.
    """
    file = result_file(out, experiment.name, setting)
    if not file.is_file():
        return None
    found = read_result(file)
    same = (
        found.preset == preset.name and found.seed == seed and dict(found.spec) == spec_of(experiment, preset, setting)
    )
    return found if same else None


def in_the_way(out: Path, experiment: Experiment, preset: Preset, seed: int, setting: Setting = USUAL) -> Result | None:
    """The result that lies where an experiment's would be written, if it is of another preset or seed.

    Raises:
        xpert.errors.DataError: What lies there cannot be read.
    """
    file = result_file(out, experiment.name, setting)
    found = read_result(file) if file.is_file() else None
    return found if found is not None and (found.preset, found.seed) != (preset.name, seed) else None


def run_experiments(
    experiments: Sequence[Experiment],
    preset: Preset,
    *,
    out: Path,
    work: Path,
    seed: int = 0,
    setting: Setting = USUAL,
    workers: int = 1,
    on_result: Callable[[Result], None] | None = None,
) -> list[Result]:
    """Run what is not done yet, one after another.

    Args:
        experiments: Which.
        preset: At which size.
        out: Folder that gets ``results/NAME.json`` and the page.
        work: Folder that keeps what was computed, so that an interrupted run goes on.
        seed: Of all that is drawn.
        setting: On whose texts, and who reads them.
        workers: Processes at most that work on independent cells of an experiment; who is selected from models that are there is the same by any number. The
            command line's default is `xpert.evaluation.suite.workers.usual_workers`; more than one import the caller's main module.
        on_result: Called with each new result before it is written: what it draws is there once the result is.

    Returns:
        Results in the order of the experiments, those that were there before too.

    Raises:
        xpert.errors.SettingsError: An experiment does not run in the setting, there are no workers, or a result of another preset or seed lies where
            one would be written; found before any is run.
        xpert.errors.DataError: The setting's data cannot be read; found before any is run.
        xpert.errors.MissingDependencyError: An experiment needs what is not installed; found before any is run.
        xpert.errors.XpertError: Whatever an experiment raises; the results before it are written.
    """
    check_workers(workers)
    for one in experiments:
        check_setting(one, setting, preset)
    setting.spec()
    found = {one.name: done(out, one, preset, seed, setting) for one in experiments}
    waiting = [one for one in experiments if found[one.name] is None]
    for one in waiting:
        one.check()
    _check_room(out, waiting, preset, seed, setting)
    fitted = setting.fitted(preset)
    with Context(preset=fitted, seed=seed, work=work, setting=setting, workers=workers) as context:
        for number, one in enumerate(waiting, start=1):
            say(f"{one.title} ({number} of {len(waiting)}) ...")
            found[one.name] = result = _run(one, context)
            file = result_file(out, one.name, setting)
            file.parent.mkdir(parents=True, exist_ok=True)
            if on_result is not None:
                on_result(result)
            write_result(result, file)
            write_page(out)
    write_page(out)  # an earlier run may have been interrupted before it
    return [result for one in experiments if (result := found[one.name]) is not None]


def _check_room(out: Path, waiting: Sequence[Experiment], preset: Preset, seed: int, setting: Setting) -> None:
    """That nothing of another preset or seed would be written over: it may have taken hours."""
    for one in waiting:
        if found := in_the_way(out, one, preset, seed, setting):
            raise SettingsError(
                f"{result_file(out, one.name, setting)} is of the preset {found.preset}, seed {found.seed}, which a run at {preset.name}, seed {seed}, "
                "would write over: give another --out, or delete it"
            )


def write_page(out: Path) -> Path:
    """Write the page of all results that lie in the folder.

    Raises:
        xpert.errors.DataError: There are none, or one cannot be read.
    """
    files = result_files(out)
    if not files:
        raise DataError(f"{out / 'results'}: expected results of xpert evaluate, found none")
    page = results_page([read_result(file) for file in files], EXPERIMENTS)
    return write_text(out / PAGE, without_dead_links(page, out))


def _run(experiment: Experiment, context: Context) -> Result:
    began = time.perf_counter()
    context.processes, context.experiment = 0, experiment.name
    found = experiment.run(context)
    return Result(
        experiment=experiment.name,
        preset=context.preset.name,
        seed=context.seed,
        spec=spec_of(experiment, context.preset, context.setting),
        tables=tuple(found.tables),
        charts=tuple(found.charts),
        rows=found.rows,
        seconds=time.perf_counter() - began,
        manifest=manifest(workers=context.processes, weights=found.weights),
        on=context.setting.told,
        stem=f"{experiment.name}{context.setting.suffix}",
    )
