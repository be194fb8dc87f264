"""``xpert explain --catalog``: recorded models added, replaced, removed; and what cannot be."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from xpert.cli import main
from xpert.testing.fakes import fake_text

Run = Callable[..., dict[str, Any]]


@pytest.fixture
def run(capsys: Any) -> Run:
    def do(*arguments: object) -> dict[str, Any]:
        capsys.readouterr()
        code = main([*map(str, arguments), "--json"])
        out, err = capsys.readouterr()
        assert code == 0, err
        return json.loads(out)

    return do


@pytest.fixture
def fails(capsys: Any) -> Callable[..., str]:
    def do(*arguments: object) -> str:
        capsys.readouterr()
        code = main([*map(str, arguments)])
        out, err = capsys.readouterr()
        assert (code, out, len(err.splitlines())) == (2, "", 1), err
        return err

    return do


@pytest.fixture
def first(run: Run, pool: dict[str, str], fake_scheme: str, tmp_path: Path) -> Path:
    """Two of the three recorded models."""
    out = tmp_path / "first"
    run("explain", "--base", pool["base"], *named(pool, "friendly", "formal"), *said(fake_scheme), "--out", out)
    return out


def named(pool: dict[str, str], *styles: str) -> list[str]:
    return [part for style in styles for part in ("--model", f"{style}={pool[style]}")]


def said(summarizer: str) -> list[str]:
    return ["--summarizer", summarizer, "--n-prompts", "20"]


def rounded(document: Any) -> Any:
    """Floats to six digits, without where it lies and how often words were looked at."""
    document = {key: value for key, value in document.items() if key not in ("out", "n_candidates_examined")}
    return json.loads(json.dumps(document), parse_float=lambda text: round(float(text), 5))


def test_adding_gives_what_explaining_all_gives(
    run: Run, pool: dict[str, str], fake_scheme: str, first: Path, tmp_path: Path
) -> None:
    every = named(pool, "friendly", "formal", "poetic")
    whole = run("explain", "--base", pool["base"], *every, *said(fake_scheme), "--out", tmp_path / "whole")
    new = tmp_path / "new"
    grown = run("explain", "--catalog", first, *named(pool, "poetic"), "--out", new)
    assert rounded(grown) == rounded(whole)
    options = ["--base", pool["base"], "--seed", 0, "--n-prompts", 20]
    assert rounded(run("explain", "--catalog", first, *named(pool, "poetic"), *options, "--out", first)) == rounded(
        whole
    )
    assert run("doctor", first)["problems"] == []
    less = run("explain", "--catalog", first, "--remove", "formal", "--remove", "friendly", "--out", first)
    assert list(less["models"]) == ["poetic"]
    swapped = run(
        "explain", "--catalog", new, "--model", f"formal={pool['poetic']}", "--remove", "poetic", "--out", new
    )
    assert list(swapped["models"]) == ["friendly", "formal"]
    assert next(w["word"] for w in swapped["models"]["formal"]["words"] if w["word"] in pool) == "poetic"


def test_what_cannot_be_done(
    fails: Any, pool: dict[str, str], first: Path, tmp_path: Path, write: Any, tiny_base: Path
) -> None:
    before = {path.name: path.read_bytes() for path in first.iterdir()}
    rows = [{"prompt": f"tell me about thing {i} and its parts", "response": fake_text("x")} for i in range(30)]
    another = f"answers:{write('another.jsonl', rows)}"
    grow = ["explain", "--catalog", first, "--out", first]
    add = named(pool, "poetic")
    cases = {
        "nobody": [*grow, "--remove", "nobody"],
        "all 2 models": [*grow, "--remove", "formal", "--remove", "friendly"],
        "nothing to do": grow,
        "seed: the catalog was made with 0, got 3": [*grow, *add, "--seed", 3],
        "--eps-orth": [*grow, *add, "--eps-orth", 0.3],
        "answered with --max-new-tokens 128, got --max-new-tokens 5": [*grow, *add, "--max-new-tokens", 5],
        "--n-prompts": [*grow, *add, "--n-prompts", 5],
        "answers are not those in the catalog": [*grow, *add, "--base", another],
        "fake:32-0": [*grow, *add, "--summarizer", "fake:32-0"],
        "has weights": [*grow, "--model", f"live={tiny_base}"],
        "--catalog": ["explain", "--remove", "formal", "--out", tmp_path / "x"],
        "--base": ["explain", *add, "--out", tmp_path / "x"],
        "none-there": ["explain", "--catalog", tmp_path / "none-there", *add, "--out", tmp_path / "x"],
    }
    for words, arguments in cases.items():
        assert words in fails(*arguments), words
    assert {path.name: path.read_bytes() for path in first.iterdir()} == before
    (first / "pairs.safetensors").unlink()
    assert "explain all models again" in fails(*grow, *add)


def test_an_adapter_of_another_base_is_refused(
    run: Run, fails: Any, fake_scheme: str, tiny_base: Path, tiny_adapters: dict[str, Path], tmp_path: Path, write: Any
) -> None:
    from xpert.testing.tiny import tiny_adapter, tiny_causal_lm

    out = tmp_path / "live"
    prompts = write("probes.txt", [f"Tell me about thing {i}." for i in range(3)])
    asked = ["--prompts", prompts, "--max-new-tokens", 8, "--summarizer", fake_scheme]
    run("explain", "--base", tiny_base, "--model", f"tutor={tiny_adapters['tutor']}", *asked, "--out", out)
    alien = tiny_adapter(tiny_causal_lm(tmp_path / "other", hidden_size=48), tmp_path / "alien")
    assert "alien" in fails("explain", "--catalog", out, "--model", f"alien={alien}", "--out", out)
    changed = tiny_causal_lm(tmp_path / "changed", seed=5)
    add = ["--model", f"poet={tiny_adapters['poet']}", "--out", out]
    assert "not the one that made the catalog" in fails("explain", "--catalog", out, "--base", changed, *add)
    grown = run("explain", "--catalog", out, *add)
    assert list(grown["models"]) == ["tutor", "poet"]
