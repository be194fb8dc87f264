from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from xpert.errors import DataError, MissingDependencyError, SettingsError
from xpert.evaluation import running, suite
from xpert.evaluation.manifest import manifest
from xpert.evaluation.presets import PRESETS, Preset, preset_of
from xpert.evaluation.results import Chart, Result, Series, Table, read_result, write_result
from xpert.evaluation.results_page import results_page, without_dead_links
from xpert.evaluation.running import PAGE, result_file, result_files, run_experiments, write_page
from xpert.evaluation.setting import USUAL, Setting
from xpert.evaluation.suite import EXPERIMENTS, Experiment, experiments_of
from xpert.evaluation.suite.context import Context, Findings
from xpert.evaluation.suite.strengths import STRENGTHS

DOCS = Path(__file__).parents[3] / "docs"
LINE = Series(name="ours", x=[1, 2], y=[0.5, 0.25], low=[0.4, 0.2], high=[0.6, 0.3])
RESULT = Result(
    experiment="table-1",
    preset="tiny",
    seed=3,
    spec={"models": 4, "sizes": [1, 2]},
    tables=(Table(title="One", markdown="| a |\n|---|\n| 1 |"),),
    charts=(Chart(title="A chart", x_label="x", y_label="y", series=(LINE,)),),
    rows=[{"error": 0.5}],
    seconds=12.4,
    manifest=manifest(),
)


def test_a_result_is_read_as_it_was_written(tmp_path: Path) -> None:
    assert read_result(write_result(RESULT, tmp_path / "results" / "table-1.json")) == RESULT


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format_version": 2}, "format 2, this xpert reads 1"),
        ({"colour": "red"}, "unknown key 'colour'"),
        ({"tables": [{"title": "x"}]}, "markdown"),
    ],
)
def test_a_result_of_another_format_is_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    file = write_result(RESULT, tmp_path / "r.json")
    file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    with pytest.raises(DataError, match=message):
        read_result(file)


def test_what_is_no_result_is_refused(tmp_path: Path) -> None:
    for text in ("", "[]", "{}"):
        (tmp_path / "r.json").write_text(text)
        with pytest.raises(DataError, match=r"r\.json: expected a result"):
            read_result(tmp_path / "r.json")


def test_the_page_tells_figures_paper_setting_and_machine() -> None:
    page = results_page([RESULT], EXPERIMENTS)
    for said in (
        "## Table 1: the domain of the prompts",
        EXPERIMENTS["table-1"].paper,
        EXPERIMENTS["table-1"].here,
        "One:\n\n| a |\n|---|\n| 1 |",
        "![A chart](results/table-1.png)",
        "Preset `tiny`, seed 3; models: 4; sizes: 1, 2. 12 s on ",
        f"torch {RESULT.manifest['packages']['torch']}",
    ):
        assert said in page


def test_the_documented_page_is_what_its_results_give() -> None:
    files = result_files(DOCS)
    assert files, "docs/results holds no results"
    page = results_page([read_result(f) for f in files], EXPERIMENTS)
    assert (DOCS / PAGE).read_text(encoding="utf-8") == page == without_dead_links(page, DOCS)
    for file in files:
        charts = len(read_result(file).charts)
        assert len(list(file.parent.glob(f"{file.stem}.png"))) == min(charts, 1)


def test_elsewhere_the_page_links_to_no_page_that_is_not_there(tmp_path: Path) -> None:
    write_result(RESULT, tmp_path / "results" / "table-1.json")
    page = write_page(tmp_path).read_text(encoding="utf-8")
    assert "What the experiments are: Evaluation (in xpert's documentation)." in page
    assert "![A chart](results/table-1.png)" in page
    (tmp_path / "evaluation.md").write_text("", encoding="utf-8")
    assert "What the experiments are: [Evaluation](evaluation.md)." in write_page(tmp_path).read_text(encoding="utf-8")


def test_names() -> None:
    assert [one.name for one in experiments_of("all")] == list(EXPERIMENTS)
    assert experiments_of("table-8") == [EXPERIMENTS["table-8"]]
    assert [one.name for one in experiments_of("all", PRESETS["paper"])] == ["table-5"]
    assert "table-5" in [one.name for one in experiments_of("all", PRESETS["tiny"])]
    with pytest.raises(SettingsError, match=r"table-8 runs on the zoo, .* cannot run at the preset paper"):
        experiments_of("table-8", PRESETS["paper"])
    for name in ("hub", "hub:law,alpaca"):
        for asked, told in (("table-5", "table-5 cannot run"), ("all", "no experiment runs")):
            with pytest.raises(
                SettingsError, match=rf"{told} on {name}: hub needs --preset paper, at which table-5 runs, got tiny"
            ):
                experiments_of(asked, PRESETS["tiny"], Setting(data=name))
            assert experiments_of(asked, PRESETS["paper"], Setting(data=name)) == [EXPERIMENTS["table-5"]]
    for asked, told in (("table-5", "table-5 cannot run"), ("all", "no experiment runs")):
        with pytest.raises(SettingsError, match=rf"{told} on zoo: the preset paper expects data hub, hub:NAME,NAME, F"):
            experiments_of(asked, PRESETS["paper"], USUAL)
    with pytest.raises(SettingsError, match=r"no experiment 'tabel-8': .* \(did you mean 'table-8'\?\)"):
        experiments_of("tabel-8")
    with pytest.raises(SettingsError, match=r"preset: expected one of tiny, small, paper, got 'tin'"):
        preset_of("tin")
    assert len(PRESETS["tiny"].styles) == 8
    for preset in PRESETS.values():
        assert max(preset.pool_sizes) <= len(STRENGTHS) * len(preset.styles)
        assert min(preset.pool_sizes) <= len(preset.styles)
        assert 2 * preset.set_size <= min(preset.domain_prompts)


@pytest.fixture
def two(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Two experiments instead of the real ones: what they did, and whether the second fails."""
    state: dict[str, Any] = {"ran": [], "fails": False}

    def run(self: Experiment, context: Context) -> Findings:
        if self.name == "second" and state["fails"]:
            raise KeyboardInterrupt
        state["ran"].append(self.name)
        return Findings(tables=[Table(title=self.name, markdown=f"| {context.seed} |\n|---|")])

    def made(name: str, spec: Any) -> Experiment:
        return replace(EXPERIMENTS["table-1"], name=name, title=name.title(), spec=spec, needs={})

    own = {"first": made("first", lambda p: {"models": len(p.styles)}), "second": made("second", lambda p: {"a": [1]})}
    monkeypatch.setattr(Experiment, "run", run)
    monkeypatch.setattr(running, "EXPERIMENTS", own)
    return state | {"own": own, "state": state}


def go(two: dict[str, Any], out: Path, preset: Preset = PRESETS["tiny"], **options: Any) -> list[Result]:
    return run_experiments(list(two["own"].values()), preset, out=out, work=out / "work", **options)


def test_an_interrupted_run_goes_on_where_it_was(two: dict[str, Any], tmp_path: Path) -> None:
    two["state"]["fails"] = True
    with pytest.raises(KeyboardInterrupt):
        go(two, tmp_path)
    assert result_file(tmp_path, "first").is_file()
    assert "## First" in (tmp_path / PAGE).read_text()
    two["state"]["fails"] = False
    told: list[str] = []
    found = go(two, tmp_path, on_result=lambda result: told.append(result.experiment))
    assert [one.experiment for one in found] == ["first", "second"]
    assert two["state"]["ran"] == ["first", "second"]
    assert told == ["second"]
    assert (tmp_path / PAGE).read_text().index("## First") < (tmp_path / PAGE).read_text().index("## Second")
    go(two, tmp_path)
    assert two["state"]["ran"] == ["first", "second"]


@pytest.mark.parametrize("options", [{"seed": 1}, {"preset": PRESETS["small"]}])
def test_a_result_of_another_seed_or_preset_is_not_written_over(
    two: dict[str, Any], tmp_path: Path, options: Any
) -> None:
    go(two, tmp_path)
    before = result_file(tmp_path, "second").read_bytes()
    result_file(tmp_path, "first").unlink()
    with pytest.raises(SettingsError, match=r"second.json is of the preset tiny, seed 0, which a run at .*--out"):
        go(two, tmp_path, **options)
    assert two["state"]["ran"] == ["first", "second"]
    assert result_file(tmp_path, "second").read_bytes() == before
    result_file(tmp_path, "second").unlink()
    go(two, tmp_path, **options)
    assert two["state"]["ran"] == ["first", "second"] * 2


def test_what_is_missing_is_told_before_any_work(two: dict[str, Any], tmp_path: Path) -> None:
    two["own"]["second"] = replace(two["own"]["second"], needs={"nowhere_to_be_found": "eval"})
    with pytest.raises(MissingDependencyError, match=r"the experiment second needs nowhere-to-be-found.*xpert\[eval\]"):
        go(two, tmp_path)
    assert not two["state"]["ran"]


def test_there_is_no_page_of_nothing(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="found none"):
        write_page(tmp_path)


def test_the_manifest_names_versions_machine_and_commit() -> None:
    found = manifest()
    assert found["packages"]["numpy"]
    assert found["machine"]["cores"] >= 1
    assert found["commit"] is None or len(found["commit"].rstrip("+")) == 12
    assert found["weights"] == {}


def test_the_page_names_the_weights_and_the_processor_where_they_are_told() -> None:
    told = manifest(weights={"base": "0123456789ab"})
    told["machine"]["model"] = "A Processor"
    page = results_page([replace(RESULT, manifest=told)], EXPERIMENTS)
    assert "weights (SHA-256): base 0123456789ab." in page
    assert " (A Processor), " in page
    del told["weights"], told["machine"]["model"]  # as in results of before
    page = results_page([replace(RESULT, manifest=told)], EXPERIMENTS)
    assert "SHA-256" not in page
    assert suite.ALL == "all"
