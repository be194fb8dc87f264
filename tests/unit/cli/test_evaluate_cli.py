from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from xpert.cli import main
from xpert.evaluation.presets import PRESETS
from xpert.evaluation.results import Chart, Series, Table
from xpert.evaluation.suite import EXPERIMENTS, Experiment, workers
from xpert.evaluation.suite.context import Context, Findings


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(self: Experiment, context: Context) -> Findings:
        line = Series(name="ours", x=[1, 2], y=[1.0, 0.5], low=[0.9, 0.4], high=[1.1, 0.6])
        chart = Chart(title="t", x_label="x", y_label="y", series=[line], log=self.name == "figure-7")
        return Findings(tables=[Table(title="found", markdown="| a |\n|---|\n| 1 |")], charts=[chart], rows=[1])

    monkeypatch.setattr(Experiment, "run", run)
    monkeypatch.setattr(Experiment, "check", lambda self: None)


def test_a_dry_run_tells_all_and_writes_nothing(tmp_path: Path, capsys: Any) -> None:
    assert main(["evaluate", "all", "--dry-run", "--out", str(tmp_path / "out"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["experiments"]
    assert [one["name"] for one in found] == [name for name, one in EXPERIMENTS.items() if one.function]
    assert not any(one["done"] for one in found)
    assert {one["name"]: one["minutes"] for one in found if one["minutes"]} == PRESETS["tiny"].minutes
    assert all(size.minutes.keys() <= EXPERIMENTS.keys() for size in PRESETS.values())
    assert not (tmp_path / "out").exists()


def test_results_plots_and_page_are_written(quick: None, tmp_path: Path, capsys: Any) -> None:
    pytest.importorskip("matplotlib", reason="needs the extra 'report'")
    assert main(["evaluate", "figure-7", "--out", str(tmp_path)]) == 0
    capsys.readouterr()
    assert main(["evaluate", "figure-7", "--out", str(tmp_path), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["results"] == {"figure-7": "results/figure-7.json"}
    assert (tmp_path / "results" / "figure-7.png").read_bytes().startswith(b"\x89PNG")
    assert "(results/figure-7.png)" in Path(document["page"]).read_text()
    assert main(["evaluate", "figure-7", "--out", str(tmp_path), "--dry-run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["experiments"][0]["done"] is True
    assert main(["evaluate", "table-2", "--out", str(tmp_path)]) == 0
    assert "table-2: found" in capsys.readouterr().out


def test_what_an_interruption_left_out_is_made_up_for(
    quick: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    pytest.importorskip("matplotlib", reason="needs the extra 'report'")
    from xpert.report import result_charts

    def interrupted(*_: Any) -> None:
        raise OSError(28, "No space left on device", "chart")

    with monkeypatch.context() as patch:
        patch.setattr(result_charts, "line_chart", interrupted)
        assert main(["evaluate", "figure-7", "--out", str(tmp_path)]) != 0
    assert not (tmp_path / "results" / "figure-7.json").exists()
    assert main(["evaluate", "figure-7", "--out", str(tmp_path)]) == 0
    assert (tmp_path / "results" / "figure-7.png").is_file()
    (tmp_path / "results.md").unlink()
    assert main(["evaluate", "figure-7", "--out", str(tmp_path)]) == 0
    assert (tmp_path / "results.md").is_file()


def test_unknown_names_are_refused_before_any_work(tmp_path: Path, capsys: Any) -> None:
    assert main(["evaluate", "table-77", "--out", str(tmp_path / "out")]) == 2
    assert "did you mean 'table-7'" in capsys.readouterr().err
    assert main(["evaluate", "all", "--preset", "huge", "--out", str(tmp_path / "out")]) == 2
    assert "--preset: expected one of tiny, small, paper, got 'huge'" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "found"), [("figure-3", "table-5"), ("figure-4", "table-7"), ("figure-12", "table-7")]
)
def test_figures_of_the_paper_are_found_by_their_numbers(name: str, found: str, tmp_path: Path, capsys: Any) -> None:
    assert main(["evaluate", name, "--dry-run", "--json", "--out", str(tmp_path)]) == 0
    assert [one["name"] for one in json.loads(capsys.readouterr().out)["experiments"]] == [found]


def test_workers_are_the_machines_unless_they_are_told(
    quick: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    pytest.importorskip("matplotlib", reason="needs the extra 'report'")
    run, seen = Experiment.run, []

    def noted(self: Experiment, context: Context) -> Findings:
        seen.append(context.workers)
        return run(self, context)

    monkeypatch.setattr(Experiment, "run", noted)
    monkeypatch.setattr(workers, "_cores", lambda: 3)
    for number, told in enumerate(([], ["--workers", "2"], ["--summarizer", "encoder:minilm"])):
        assert main(["evaluate", "accuracy", "--out", str(tmp_path / str(number)), *told]) == 0
    assert seen == [3, 2, 1]
    assert main(["evaluate", "accuracy", "--out", str(tmp_path / "none"), "--workers", "0"]) == 2
    assert "--workers: expected 1 or more, got 0" in capsys.readouterr().err
