"""Cells in processes of their own: each is called once, with one thread; failures, ends and a killed run leave what was finished."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from xpert import progress
from xpert.cli.evaluate import Workers
from xpert.errors import DataError, SettingsError, WorkerError
from xpert.evaluation.presets import PRESETS
from xpert.evaluation.running import run_experiments
from xpert.evaluation.setting import Setting
from xpert.evaluation.suite import EXPERIMENTS
from xpert.evaluation.suite import workers as workers_module
from xpert.evaluation.suite.context import Context
from xpert.evaluation.suite.workers import in_workers, kept_cells, usual_workers

TINY = PRESETS["tiny"]


def noted(context: Context, name: str) -> None:
    import torch

    told = {"process": os.getpid(), "threads": torch.get_num_threads(), "context": id(context), "seed": context.seed}
    (context.work / name).write_text(json.dumps(told))


def failing(context: Context, name: str) -> None:
    if name == "bad":
        raise DataError("bad: expected a good one")
    noted(context, name)


def ended(context: Context, name: str) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def lasting(context: Context, name: str) -> None:
    noted(context, name)
    time.sleep(600)


def cells(context: Context) -> dict[str, Any]:
    return {file.name: json.loads(file.read_text()) for file in context.work.iterdir()}


def test_each_cell_is_called_once_with_one_thread_and_a_context_a_worker(tmp_path: Path) -> None:
    before = os.environ.get("OMP_NUM_THREADS")
    with Context(preset=TINY, seed=3, work=tmp_path, workers=2) as context:
        in_workers(context, noted, [(name,) for name in "abcdef"])
        found = cells(context)
    assert sorted(found) == list("abcdef")
    assert os.getpid() not in {one["process"] for one in found.values()}
    assert {(one["threads"], one["seed"]) for one in found.values()} == {(1, 3)}
    contexts = {(one["process"], one["context"]) for one in found.values()}
    assert len(contexts) == len({one["process"] for one in found.values()}) <= 2
    assert os.environ.get("OMP_NUM_THREADS") == before


def test_one_worker_stays_in_this_process(tmp_path: Path) -> None:
    for workers, names in ((1, "ab"), (1, "c")):
        with Context(preset=TINY, seed=0, work=tmp_path, workers=workers) as context:
            in_workers(context, noted, [(name,) for name in names])
            own = id(context)
        assert {(cells(context)[name]["process"], cells(context)[name]["context"]) for name in names} == {
            (os.getpid(), own)
        }


def test_a_cells_error_is_the_runs_and_what_is_finished_stays(tmp_path: Path) -> None:
    with (
        Context(preset=TINY, seed=0, work=tmp_path, workers=2) as context,
        pytest.raises(DataError, match="expected a good one"),
    ):
        in_workers(context, failing, [("a",), ("bad",), ("b",)])
    assert "a" in cells(context)


def test_a_worker_that_is_ended_is_told(tmp_path: Path) -> None:
    with (
        Context(preset=TINY, seed=0, work=tmp_path, workers=2) as context,
        pytest.raises(WorkerError, match=r"a worker ended before its cell did \(2 workers; .* fewer workers goes on"),
    ):
        in_workers(context, ended, [("a",), ("b",)])


def test_a_single_cell_of_several_workers_is_called_with_one_thread_too(tmp_path: Path) -> None:
    with Context(preset=TINY, seed=0, work=tmp_path, workers=2) as context:
        in_workers(context, noted, [])
        assert context.processes == 0
        in_workers(context, noted, [("a",)])
        assert context.processes == 1
        (found,) = cells(context).values()
    assert found["process"] != os.getpid()
    assert found["threads"] == 1


@pytest.mark.parametrize(("name", "unit", "told"), [("table-5", "cell", "table-5"), ("", "model", "in workers")])
def test_a_run_with_workers_tells_how_many_cells_are_done(
    name: str, unit: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setattr(progress, "FIRST_LINE_S", 1000.0)
    monkeypatch.setattr(progress, "LINE_EVERY_S", 0.0)
    with Context(preset=TINY, seed=0, work=tmp_path, workers=2) as context:
        context.experiment = name
        in_workers(context, noted, [(one,) for one in "abc"], unit=unit)
    assert capsys.readouterr().err.splitlines() == [f"{told}: {n} of 3 {unit}s" for n in (1, 2, 3)]


def test_a_kept_file_that_was_cut_is_told(tmp_path: Path) -> None:
    file = tmp_path / "cell.json"
    file.write_text('{"square": ')
    with (
        Context(preset=TINY, seed=0, work=tmp_path) as context,
        pytest.raises(DataError, match=r"cell\.json: expected JSON .* delete it"),
    ):
        kept_cells(context, squared, {(1,): file})
    assert file.read_text() == '{"square": '


def squared(context: Context, number: int) -> dict[str, int]:
    return {"square": number**2, "process": os.getpid(), "there": len(list(context.work.glob("shared")))}


@pytest.mark.parametrize("workers", [1, 2])
def test_kept_cells_come_in_order_and_only_what_is_missing_is_made(workers: int, tmp_path: Path) -> None:
    asked: list[list[tuple[int]]] = []
    files = {(number,): tmp_path / "cells" / f"{number}.json" for number in (3, 1, 2)}

    def prepare(waiting: Any) -> None:
        asked.append(list(waiting))
        (tmp_path / "shared").write_text("for all")

    with Context(preset=TINY, seed=0, work=tmp_path, workers=workers) as context:
        files[1,].parent.mkdir()
        files[1,].write_text('{"square": "kept"}')
        found = kept_cells(context, squared, files, prepare=prepare)
        assert [one["square"] for one in found] == [9, "kept", 4]
        assert [one["there"] for one in (found[0], found[2])] == [1, 1]
        assert {one["process"] == os.getpid() for one in (found[0], found[2])} == {workers == 1}
        assert kept_cells(context, squared, files, prepare=prepare) == found
    assert asked == [[(3,), (2,)]]


def test_which_experiments_share_cells_is_told_alike() -> None:
    shared = {name for name, one in EXPERIMENTS.items() if one.cells}
    for name, one in EXPERIMENTS.items():
        code = (Path(workers_module.__file__).with_name(f"{one.function.partition(':')[0]}.py")).read_text()
        assert bool(one.cells) == ("kept_cells" in code or "rights_by_base" in code), name
    (told,) = re.findall(r"independent cells \((.*?)\)", Workers.__metadata__[0].help)
    assert set(told.split(", ")) == shared
    docs = (Path(__file__).parents[3] / "docs" / "evaluation.md").read_text(encoding="utf-8")
    (listed,) = re.findall(r"\*\*Which experiments\*\*: (.*?)\. The others", docs, re.DOTALL)
    assert set(re.findall(r"`([\w-]+)`", listed)) & EXPERIMENTS.keys() == shared
    for one in EXPERIMENTS.values():
        assert one.cells in " ".join(listed.split())


def test_where_nobody_says_there_is_a_worker_a_core_up_to_four(monkeypatch: pytest.MonkeyPatch) -> None:
    for cores, expected in ((1, 1), (2, 2), (4, 4), (64, 4)):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _, n=cores: set(range(n)), raising=False)
        assert usual_workers(Setting()) == usual_workers(Setting(data="texts")) == expected
        assert usual_workers(Setting(summarizer="encoder:minilm")) == 1
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    assert usual_workers(Setting()) == 3
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert usual_workers(Setting()) == 1


SCRIPT = """
import signal
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_workers import TINY, lasting
from xpert.evaluation.suite.context import Context
from xpert.evaluation.suite.workers import in_workers
if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell has what it runs in the background ignore it
    with Context(preset=TINY, seed=0, work=Path({work!r}), workers=2) as context:
        in_workers(context, lasting, [("a",), ("b",)])
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT], ids=["killed", "interrupted"])
def test_workers_end_with_their_run(how: signal.Signals, tmp_path: Path) -> None:
    """By whatever only the run itself is told: what Ctrl-C sends comes to all."""
    script, work = tmp_path / "run.py", tmp_path / "work"
    script.write_text(SCRIPT.format(tests=str(Path(__file__).parent), work=str(work)))
    run = subprocess.Popen([sys.executable, str(script)])
    try:
        files = [work / "a", work / "b"]
        _until(lambda: all(file.is_file() and file.stat().st_size for file in files))
        processes = [json.loads(file.read_text())["process"] for file in files]
    finally:
        run.send_signal(how)
        try:
            run.wait(timeout=60)
        finally:
            run.kill()
            run.wait()
    _until(lambda: not any(_runs(process) for process in processes))


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{process}/stat")  # ended, and nobody has asked how
    return not (status.is_file() and status.read_text().rpartition(")")[2].split()[0] == "Z")


def _until(true: Any) -> None:
    ends = time.monotonic() + 120
    while not true():
        assert time.monotonic() < ends
        time.sleep(0.1)


def test_too_few_workers_are_refused_before_anything_is_run(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="workers: expected 1 or more, got 0"):
        run_experiments([EXPERIMENTS["accuracy"]], TINY, out=tmp_path, work=tmp_path / "work", workers=0)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_accuracy_is_the_same_by_any_number_of_workers(tmp_path: Path) -> None:
    pytest.importorskip("sentence_transformers", reason="needs the extra 'encoder'")
    texts = tmp_path / "texts"
    texts.mkdir()
    manners = {"default": "it is {}", "merry": "hooray, {} is wonderful!", "stern": "you must heed {} at once."}
    for style, manner in manners.items():
        lines = [
            json.dumps({"prompt": f"tell of {i}", "response": manner.format(f"number {i}")}) + "\n" for i in range(100)
        ]
        (texts / f"{style}.jsonl").write_text("".join(lines))
    setting = Setting(data=str(texts), summarizer="encoder:minilm")
    preset = replace(TINY, draws=2, users_a_style=1, similarities=(90, 50))
    found = [
        run_experiments(
            [EXPERIMENTS["accuracy"]],
            preset,
            out=tmp_path / f"out{workers}",
            work=tmp_path / f"work{workers}",
            setting=setting,
            workers=workers,
        )[0]
        for workers in (1, 2)
    ]
    assert found[0].rows == found[1].rows
    assert found[0].tables == found[1].tables
    assert len(found[0].rows["cells"]) == 4


SHORT = replace(
    TINY,
    styles=TINY.styles[:3],
    draws=2,
    users_a_style=1,
    recorded_prompts=50,
    similarities=(90,),
    styled_texts=2,
    mixed_users=1,
    domain_users=1,
    training_steps=4,
)


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("work")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "folder", "n_cells"),
    [("figure-13", "sizes-*", 4), ("figure-16", "mixed-starts", 3), ("table-10", "in-context", 4)],
)
def test_the_others_are_the_same_by_any_number_of_workers(
    name: str, folder: str, n_cells: int, work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cells and the base's answers are made anew; what the cache keeps is computed by one worker, and read by two."""
    for package, extra in EXPERIMENTS[name].needs.items():
        pytest.importorskip(package, reason=f"needs the extra '{extra}'")
    begun: list[int] = []
    processes = workers_module._processes
    monkeypatch.setattr(workers_module, "_processes", lambda own, n: begun.append(n) or processes(own, n))
    found: list[Any] = []
    for workers in (1, 2):
        out = tmp_path / f"out{workers}"
        (result,) = run_experiments([EXPERIMENTS[name]], SHORT, out=out, work=work, workers=workers)
        cells = sorted(work.glob(f"{folder}/*.json"))
        said = sorted(work.glob("base-answers-*.json"))
        assert len(cells) >= n_cells
        found.append((result.rows, result.tables, [file.name for file in cells], [file.read_text() for file in said]))
        for file in [*cells, *said]:
            file.unlink()
    assert found[0] == found[1]
    assert begun == [2]
