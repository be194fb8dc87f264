"""A device that streams its summarizer selects what the server's resident one selects."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from xpert.cli import main
from xpert.explainer import Explainer
from xpert.streaming.quantize import quantize


@pytest.fixture
def catalog(pool: dict[str, str], tiny_summarizer: Path, tmp_path: Path) -> Path:
    models = {name: reference for name, reference in pool.items() if name != "base"}
    explainer = Explainer(
        base=pool["base"], summarizer=f"hf:{tiny_summarizer}", subvectors="unembedded", n_prompts=8, eps_orth=0.5
    )
    explainer.explain(models).save_pretrained(tmp_path / "catalog")
    return tmp_path / "catalog"


def selected(capsys: pytest.CaptureFixture[str], catalog: Path, me: Path, *options: str) -> Any:
    capsys.readouterr()
    assert main(["select", "--catalog", str(catalog), "--data", str(me), "--json", *options]) == 0
    return json.loads(capsys.readouterr().out)


def test_same_selection(catalog: Path, me: Path, tiny_summarizer: Path, capsys: pytest.CaptureFixture[str]) -> None:
    resident = selected(capsys, catalog, me)
    streamed = ["--summarizer", f"streamed:{tiny_summarizer}"]
    assert selected(capsys, catalog, me, *streamed) == resident
    assert selected(capsys, catalog, me, *streamed, "--memory-budget", "1GB") == resident


def test_an_int8_copy_stands_for_its_model(
    catalog: Path, me: Path, tiny_summarizer: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    quantize(tiny_summarizer, tmp_path / "int8")
    for more in ([], ["--memory-budget", "1GB"]):
        chosen = selected(capsys, catalog, me, "--summarizer", f"streamed:{tmp_path / 'int8'}", *more)
        assert chosen["best"] == selected(capsys, catalog, me)["best"]


def test_another_model_of_the_same_width_is_refused_within_a_budget_too(
    catalog: Path, me: Path, tiny_summarizer: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(tiny_summarizer, tmp_path / "another")
    for more in ([], ["--memory-budget", "1GB"]):
        options = ["--summarizer", f"streamed:{tmp_path / 'another'}", *more]
        assert main(["select", "--catalog", str(catalog), "--data", str(me), *options]) != 0
        assert "is not the catalog's" in capsys.readouterr().err


def test_a_budget_is_for_streamed_ones(
    catalog: Path, me: Path, tiny_summarizer: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--summarizer", f"hf:{tiny_summarizer}", "--memory-budget", "1GB"]
    assert main(["select", "--catalog", str(catalog), "--data", str(me), *options]) == 2
    assert "expected a summarizer streamed:REF" in capsys.readouterr().err
