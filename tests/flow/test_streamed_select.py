"""A device that streams its summarizer selects what the server's resident one selects."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from xpert.cli import main
from xpert.explainer import Explainer


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


def test_a_budget_is_for_streamed_ones(
    catalog: Path, me: Path, tiny_summarizer: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--summarizer", f"hf:{tiny_summarizer}", "--memory-budget", "1GB"]
    assert main(["select", "--catalog", str(catalog), "--data", str(me), *options]) == 2
    assert "expected a summarizer streamed:REF" in capsys.readouterr().err
