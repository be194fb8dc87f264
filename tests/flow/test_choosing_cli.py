"""Conditions of ``xpert select``, what it says of its choice, and why ``xpert merge`` stays with one model."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xpert.catalog import Catalog
from xpert.cli import main
from xpert.selection_io import selection_to_json
from xpert.types import Coordinates, Selection

CARDS: Mapping[str, Mapping[str, Any]] = {
    "friendly": {"kind": "adapter", "base": "org/one", "licence": "MIT", "bytes": 1_000_000},
    "formal": {"kind": "full", "base": "org/two", "licence": "Apache-2.0", "bytes": 50_000_000},
    "poetic": {"kind": "recorded", "base": "org/one", "licence": None, "bytes": 5_000_000},
}


@pytest.fixture
def catalog(pool: dict[str, str], fake_scheme: str, tmp_path: Path, capsys: Any) -> Path:
    """Three explained models of different bases, kinds, licences and sizes."""
    out = tmp_path / "catalog"
    models = [part for name in CARDS for part in ("--model", f"{name}={pool[name]}")]
    asked = ["--summarizer", fake_scheme, "--n-prompts", "20", "--out", str(out)]
    assert main(["explain", "--base", pool["base"], *models, *asked]) == 0
    capsys.readouterr()
    made = Catalog.from_pretrained(out)
    cards = tuple(replace(card, **CARDS[card.name]) for card in made.models)
    return replace(made, models=cards).save_pretrained(out)


@pytest.fixture
def told(catalog: Path, me: Path, capsys: Any) -> Callable[..., str]:
    """Runs ``xpert select`` for the poetic user, and gives what it printed: on one line, as tables and wraps depend on the terminal."""

    def do(*options: str, code: int = 0) -> str:
        capsys.readouterr()
        got = main(["select", "--catalog", str(catalog), "--data", str(me), *options])
        out, err = capsys.readouterr()
        assert got == code, err
        if code:
            assert out == ""
            assert len(err.splitlines()) == 1
            return err
        return out if "--json" in options else " ".join(out.split())

    return do


@pytest.mark.parametrize(
    ("options", "left"),
    [
        (["--only-base", "org/one"], {"friendly", "poetic"}),
        (["--only-base", "org/one", "--only-base", "org/two"], {"friendly", "formal", "poetic"}),
        (["--only-kind", "full"], {"formal"}),
        (["--only-kind", "full", "--only-kind", "adapter"], {"friendly", "formal"}),
        (["--only-licence", "mit"], {"friendly"}),
        (["--only-licence", "mit", "--only-licence", "apache-2.0"], {"friendly", "formal"}),
        (["--max-mb", "5"], {"friendly", "poetic"}),
        (["--max-mb", "4.999999"], {"friendly"}),
        (["--min-mb", "5"], {"formal", "poetic"}),
        (["--min-mb", "2", "--max-mb", "20"], {"poetic"}),
        (["--only-base", "org/one", "--max-mb", "2"], {"friendly"}),
    ],
)
def test_only_models_that_meet_the_conditions_are_ranked(
    told: Callable[..., str], options: list[str], left: set[str]
) -> None:
    document = json.loads(told("--json", *options))
    assert {row["name"] for row in document["ranking"]} == left
    assert document["best"] == ("poetic" if "poetic" in left else document["ranking"][0]["name"])
    assert document["excluded"] == 3 - len(left)
    assert sum(row["probability"] for row in document["ranking"]) == pytest.approx(1.0)


def test_conditions_that_nothing_meets(told: Callable[..., str]) -> None:
    said = told("--only-kind", "adapter", "--only-base", "org/two", code=2)
    assert "none of the catalog's 3 models has bases=org/two, kinds=adapter: allow more" in said
    assert "none of the catalog's 3 models" in told("--only-licence", "gpl-3.0", "--json", code=2)
    assert "--max-mb" in told("--max-mb", "-1", code=2)


def test_the_choice_is_told_with_its_reasons(told: Callable[..., str]) -> None:
    said = told("--only-base", "org/one")
    assert "Best: poetic" in said
    assert "A match (" in said
    assert "What speaks for poetic: poetic" in said
    assert re.search(r"Nearer than friendly by: [^.]*\bpoetic\b", said)
    assert "Left out by your conditions: 1 of 3 models." in said
    assert "Left out" not in told()


def test_a_stranger_is_told_what_is_missing(told: Callable[..., str]) -> None:
    said = told("--only-kind", "full")
    assert "Best: formal" in said
    assert "no match (" in said
    assert "merge several models (xpert merge), or start from the base" in said
    assert "In your text, but in no sum of these models: poetic" in said
    assert "Nearer than" not in said


def test_top_is_how_many_the_table_shows(told: Callable[..., str]) -> None:
    everyone = told()
    assert all(name in everyone.split("model", 1)[1] for name in CARDS)
    table = told("--top", "1").split("distance", 1)[1]
    assert "poetic" in table
    assert "friendly 1." not in table
    assert {row["name"] for row in json.loads(told("--top", "1", "--json"))["ranking"]} == set(CARDS)
    assert "--top" in told("--top", "0", code=2)


@pytest.fixture
def adapters(
    tiny_base: Path, tiny_adapters: dict[str, Path], fake_scheme: str, tmp_path: Path, write: Any, capsys: Any
) -> Path:
    """Three tiny adapters at planted places, a word apart."""
    out = tmp_path / "adapters"
    models = [part for name, folder in tiny_adapters.items() for part in ("--model", f"{name}={folder}")]
    prompts = write("probes.txt", [f"Tell me about thing {i}." for i in range(4)])
    asked = ["--prompts", str(prompts), "--max-new-tokens", "8", "--summarizer", fake_scheme, "--out", str(out)]
    assert main(["explain", "--base", str(tiny_base), *models, *asked]) == 0
    capsys.readouterr()
    made = Catalog.from_pretrained(out)
    z = np.zeros((3, len(made.basis)), np.float32)
    z[range(3), range(3)] = 1
    return replace(made, coordinates=z, stderr=np.zeros_like(z)).save_pretrained(out)


@pytest.mark.parametrize(
    ("values", "error", "options", "said"),
    [
        ([1.0, 0.3, 0.0], 0.3, [], r"One model: the best second one would lower the squared distance by \d+\.\d%"),
        ([1.0, 0.3, 0.0], 0.0, ["--max-models", "1"], "One model, as --max-models 1 asks."),
        ([1.0, 0.0, 0.0], 0.0, [], "One model: none of the other 2 brings you nearer beside it, whatever its weight."),
        ([1.0, 0.9, 0.0], 0.0, [], None),
    ],
)
def test_merge_tells_why_it_stayed_with_one_model(
    adapters: Path, tmp_path: Path, capsys: Any, values: list[float], error: float, options: list[str], said: str | None
) -> None:
    file = tmp_path / "selection.json"
    file.write_text(json.dumps(selection_to_json(_selection(adapters, values, error))))
    given = ["merge", "--catalog", str(adapters), "--selection", str(file), "--out", str(tmp_path / "start"), *options]
    assert main(given) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert main([*given, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["considered"] == 3
    if said is None:
        assert "One model" not in out
        assert len(document["weights"]) == 2
        assert document["gains"][0] > document["needed"][0]
        return
    assert len(document["weights"]) == 1
    if r"\d" not in said:
        assert said in out
        return
    gain, needed = document["gains"][0], document["needed"][0]
    assert 0 < gain <= needed
    assert f"lower the squared distance by {gain:.1%} of your style's squared length" in out
    assert f"It has to be more than {needed:.1%}" in out


def _selection(catalog: Path, values: list[float], error: float) -> Selection:
    made = Catalog.from_pretrained(catalog)
    z = np.zeros(len(made.basis), np.float32)
    z[:3] = values
    return Selection(
        best=made.names[0],
        matched=False,
        ranking=((made.names[0], 0.2),),
        words=((made.basis.words[0], 1.0),),
        coordinates=Coordinates(values=z, stderr=np.full_like(z, error), n_pairs=9),
        threshold=0.5,
    )
