"""The command line from models to a fine-tuned start, and what it says to bad input."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xpert.cli import main

Run = Callable[..., dict[str, Any]]


@pytest.fixture
def run(capsys: Any) -> Run:
    """Runs a command with --json, and gives what it printed."""

    def do(*arguments: object, code: int = 0) -> dict[str, Any]:
        capsys.readouterr()
        got = main([*map(str, arguments), "--json"])
        out, err = capsys.readouterr()
        assert got == code, err
        return json.loads(out)

    return do


@pytest.fixture
def fails(capsys: Any) -> Callable[..., str]:
    """Runs a command that must fail with exit 2 and one line, and gives the line."""

    def do(*arguments: object) -> str:
        capsys.readouterr()
        code = main([*map(str, arguments)])
        out, err = capsys.readouterr()
        assert (code, out) == (2, ""), err
        assert len(err.splitlines()) == 1
        assert err.startswith("xpert: error: ")
        return err

    return do


@pytest.fixture
def catalog(run: Run, pool: dict[str, str], fake_scheme: str, tmp_path: Path) -> Path:
    """The recorded pool, explained."""
    out = tmp_path / "catalog"
    run("explain", *_models(pool), "--summarizer", fake_scheme, "--n-prompts", 20, "--out", out)
    return out


@pytest.fixture
def live_catalog(
    run: Run, tiny_base: Path, tiny_adapters: dict[str, Path], fake_scheme: str, tmp_path: Path, write: Any
) -> Path:
    """Tiny models that can be merged and trained, explained."""
    out = tmp_path / "live"
    models = [part for name, folder in tiny_adapters.items() for part in ("--model", f"{name}={folder}")]
    prompts = write("probes.txt", [f"Tell me about thing {i}." for i in range(4)])
    asked = ["--prompts", prompts, "--max-new-tokens", 16]
    run("explain", "--base", tiny_base, *models, *asked, "--summarizer", fake_scheme, "--out", out)
    return out


def _models(pool: dict[str, str]) -> list[str]:
    named = [part for name, reference in pool.items() if name != "base" for part in ("--model", f"{name}={reference}")]
    return ["--base", pool["base"], *named]


def test_explain_tells_each_model_in_words(
    run: Run, pool: dict[str, str], fake_scheme: str, tmp_path: Path, capsys: Any
) -> None:
    arguments = ["explain", *_models(pool), "--summarizer", fake_scheme, "--n-prompts", 20, "--out", tmp_path / "c"]
    document = run(*arguments)
    for style in ("friendly", "formal", "poetic"):
        model = document["models"][style]
        words = [word["word"] for word in model["words"] if word["word"] in document["models"]]
        assert words[0] == style
        assert model["words"][0]["value"] != 0
        assert 0 <= model["residual"] <= 1
        assert 0 <= model["unnamed_share"] <= 1
        assert model["named_share"] > 0.5
        assert isinstance(model["converged"], bool)
    assert 3 <= document["n_subvectors"] <= document["n_candidates_examined"]
    assert (document["eps_orth"], document["eps_dec"]) == (0.1, 0.2)
    shown = run("show", tmp_path / "c")
    assert shown["models"] == document["models"]
    one = run("show", tmp_path / "c", "poetic")
    assert one["words"] == document["models"]["poetic"]["words"]
    assert main(["show", str(tmp_path / "c"), "poetic"]) == 0
    assert "poetic" in capsys.readouterr().out


def test_models_from_a_folder(run: Run, pool: dict[str, str], fake_scheme: str, tmp_path: Path) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    for style in ("friendly", "formal"):
        shutil.copy(pool[style].removeprefix("answers:"), folder / f"{style}.jsonl")
    arguments = ["--models-from", folder, "--model", f"poetic={pool['poetic']}", "--n-prompts", 20]
    out = tmp_path / "c"
    document = run("explain", "--base", pool["base"], *arguments, "--summarizer", fake_scheme, "--out", out)
    assert set(document["models"]) == {"friendly", "formal", "poetic"}


@pytest.mark.parametrize("axes", ["all", "named", "named+measured"])
def test_select_finds_the_poet(run: Run, catalog: Path, me: Path, my_base_answers: Path, axes: str) -> None:
    given = ["select", "--catalog", catalog, "--data", me, "--axes", axes]
    for more in ([], ["--base-answers", my_base_answers], ["--top", "1"]):
        document = run(*given, *more)
        assert document["best"] == "poetic"
        assert document["matched"] is True
        distances = [row["distance"] for row in document["ranking"]]
        assert distances == sorted(distances)
        assert {row["name"] for row in document["ranking"]} == {"friendly", "formal", "poetic"}
        assert document["words"][0].keys() == {"word", "value", "stderr"}
        assert document["confidence"] == document["ranking"][0]["probability"] > 0.9
        assert all(isinstance(value, float) for value in document["coordinates"])


def test_select_lets_the_base_answer(run: Run, catalog: Path, pool: dict[str, str], write: Any) -> None:
    rows = [json.loads(line) for line in Path(pool["poetic"].removeprefix("answers:")).read_text().splitlines()]
    me = write("asked.jsonl", [*rows, rows[0]])
    document = run("select", "--catalog", catalog, "--data", me, "--base", pool["base"])
    assert document["best"] == "poetic"
    answers = write("by_hand.jsonl", _answers(pool["base"], [*rows, rows[0]]))
    assert document == run("select", "--catalog", catalog, "--data", me, "--base-answers", answers)


def _answers(base: str, rows: list[dict[str, str]]) -> list[dict[str, str]]:
    lines = Path(base.removeprefix("answers:")).read_text().splitlines()
    answers = {row["prompt"]: row["response"] for row in map(json.loads, lines)}
    return [{"response": answers[row["prompt"]]} for row in rows]


def test_select_merge_train_go_on_from_each_other(run: Run, live_catalog: Path, me: Path, tmp_path: Path) -> None:
    selection = run("select", "--catalog", live_catalog, "--data", me)
    (tmp_path / "selection.json").write_text(json.dumps(selection))
    chosen = ["--catalog", live_catalog, "--selection", tmp_path / "selection.json"]
    merged = run("merge", *chosen, "--out", tmp_path / "start")
    assert merged["out"] == str(tmp_path / "start")
    assert set(merged["weights"]) <= {"tutor", "poet", "clerk"}
    assert all(weight >= 0 for weight in merged["weights"].values())
    own = Path(shutil.copytree(live_catalog, tmp_path / "own"))
    chosen = ["--catalog", own, "--selection", tmp_path / "selection.json", "--out", tmp_path / "dare"]
    other = run("merge", *chosen, "--method", "dare", "--density", "0.5", "--enter", "mix")
    assert (other["method"], other["entered"]) == ("dare", "mix")
    assert (tmp_path / "dare" / "config.json").is_file()
    shown = run("show", own, "mix")
    assert shown["words"]
    trained = run(
        "train", "--start", tmp_path / "start", "--data", me, "--out", tmp_path / "mine", "--max-steps", 2, "--rank", 4
    )
    assert trained["steps"] == 2
    assert {"seconds", "first_loss", "last_loss", "trainable_parameters"} <= trained.keys()
    assert trained["out"] == str(tmp_path / "mine")
    assert (tmp_path / "mine" / "adapter_config.json").is_file()


def test_doctor_finds_every_changed_byte(run: Run, fails: Any, catalog: Path, me: Path, capsys: Any) -> None:
    assert run("doctor", catalog)["problems"] == []
    for file in sorted(catalog.iterdir()):
        good = file.read_bytes()
        file.write_bytes(good[:-2] + bytes([good[-2] ^ 1]) + good[-1:])
        assert run("doctor", catalog, code=2)["problems"], file.name
        file.write_bytes(good)
    assert run("doctor", catalog)["problems"] == []


def test_doctor_finds_values_that_are_not_finite(run: Run, catalog: Path) -> None:
    from dataclasses import replace

    from xpert.catalog import Catalog

    whole = Catalog.from_pretrained(catalog)
    coordinates = whole.coordinates.copy()
    coordinates[0, 0] = np.nan
    replace(whole, coordinates=coordinates).save_pretrained(catalog)
    problems = run("doctor", catalog, code=2)["problems"]
    assert len(problems) == 1
    assert "finite" in problems[0]


GOOD = {"prompt": "Why?", "response": "Because."}
BAD_DATA = {
    "empty": ([], "empty"),
    "broken": ([GOOD, '{"prompt": '], "line 2"),
    "field": ([GOOD, GOOD, {"prompt": "Why?"}], "line 3"),
    "type": ([{"text": 7}], "line 1"),
}


@pytest.mark.parametrize("case", BAD_DATA)
@pytest.mark.parametrize("command", ["select", "train"])
def test_bad_personal_data(
    fails: Any, catalog: Path, tiny_base: Path, write: Any, tmp_path: Path, case: str, command: str
) -> None:
    rows, said = BAD_DATA[case]
    data, out = write("bad.jsonl", rows), tmp_path / "out"
    given = {"select": ["--catalog", catalog], "train": ["--start", tiny_base, "--out", out]}[command]
    error = fails(command, "--data", data, *given)
    assert "bad.jsonl" in error
    assert said in error
    assert not out.exists()


def test_missing_files(
    fails: Any, catalog: Path, me: Path, pool: dict[str, str], fake_scheme: str, tmp_path: Path
) -> None:
    out, none = tmp_path / "out", tmp_path / "none"
    explain = ["explain", *_models(pool), "--summarizer", fake_scheme, "--out", out]
    assert str(none) in fails("select", "--catalog", catalog, "--data", none)
    assert str(none) in fails("select", "--catalog", none, "--data", me)
    assert str(none) in fails("select", "--catalog", catalog, "--data", me, "--base-answers", none)
    assert str(none) in fails("merge", "--catalog", catalog, "--selection", none, "--out", out)
    assert str(none) in fails("train", "--start", none, "--data", me, "--out", out)
    assert str(none) in fails("train", "--start", "zoo:base", "--data", none, "--out", out)
    assert str(none) in fails("show", none)
    assert str(none) in fails(*explain, "--prompts", none)
    assert str(none) in fails(*explain, "--models-from", none)
    assert not out.exists()


def test_bad_pools(fails: Any, pool: dict[str, str], fake_scheme: str, tmp_path: Path, write: Any) -> None:
    out = tmp_path / "out"
    rest = ["--summarizer", fake_scheme, "--out", out, "--n-prompts", 20]
    broken = write("broken.jsonl", [GOOD, "{"])
    twice = ["--model", f"friendly={pool['formal']}"]
    cases = {
        "line 2": [*_models(pool), "--model", f"x=answers:{broken}", *rest],
        "friendly": [*_models(pool), *twice, *rest],
        "30": [*_models(pool), *rest[:-1], 31],
        "nothing-here": [*_models(pool), "--model", "x=nothing-here", *rest],
        "no models": ["--base", pool["base"], *rest],
        "nowhere": ["--base", "nowhere", *_models(pool)[2:], *rest],
        "abacus": [*_models(pool), *rest, "--summarizer", "abacus:x"],
        "--eps-orth: expected": [*_models(pool), *rest, "--eps-orth", 2],
        "--centering: expected": [*_models(pool), *rest, "--centering", "sometimes"],
        "described-not": [*_models(pool), *rest, "--subvectors", "described-not"],
    }
    for said, arguments in cases.items():
        assert said in fails("explain", *arguments), said
        assert not out.exists()


def test_a_foreign_folder_is_left_alone(fails: Any, pool: dict[str, str], fake_scheme: str, tmp_path: Path) -> None:
    out = tmp_path / "holidays"
    out.mkdir()
    (out / "sea.txt").write_text("blue")
    assert str(out) in fails("explain", *_models(pool), "--summarizer", fake_scheme, "--out", out)
    assert [path.name for path in out.iterdir()] == ["sea.txt"]


def test_models_that_do_not_belong_to_the_base(
    fails: Any, tiny_base: Path, tiny_adapters: dict[str, Path], fake_scheme: str, tmp_path: Path
) -> None:
    from xpert.testing.tiny import tiny_adapter, tiny_causal_lm

    other = tiny_causal_lm(tmp_path / "other", hidden_size=48)
    alien = tiny_adapter(other, tmp_path / "alien")
    out = tmp_path / "out"
    rest = ["--summarizer", fake_scheme, "--n-prompts", 2, "--out", out]
    error = fails("explain", "--base", tiny_base, "--model", f"alien={alien}", *rest)
    assert "alien" in error
    assert not out.exists()
    broken = _with_nan(tiny_adapters["poet"], tmp_path / "broken")
    assert "broken" in fails("explain", "--base", tiny_base, "--model", f"x={broken}", *rest)
    assert not out.exists()


def _with_nan(adapter: Path, folder: Path) -> Path:
    from safetensors.numpy import load_file, save_file

    shutil.copytree(adapter, folder)
    file = folder / "adapter_model.safetensors"
    tensors = load_file(file)
    next(iter(tensors.values()))[0, 0] = np.nan
    save_file(tensors, file, metadata={"format": "pt"})
    return folder


def test_a_summarizer_of_another_width(fails: Any, catalog: Path, me: Path) -> None:
    error = fails("select", "--catalog", catalog, "--data", me, "--summarizer", "fake:32-0")
    assert "32" in error
    assert "24" in error


def test_catalogs_that_cannot_be_opened(fails: Any, catalog: Path, me: Path) -> None:
    select = ["select", "--catalog", catalog, "--data", me]
    header = catalog / "xpert.json"
    good = header.read_text()
    value = json.loads(good)
    header.write_text(json.dumps(value | {"format_version": value["format_version"] + 98}))
    assert "version" in fails(*select)
    header.write_text(good)
    words = catalog / "words.json"
    words.write_text(words.read_text().replace("poetic", "poetik"))
    assert "words.json" in fails(*select)
    words.unlink()
    assert "words.json" in fails(*select)


def test_selections_and_answers_that_do_not_fit(
    fails: Any, run: Run, catalog: Path, live_catalog: Path, me: Path, write: Any, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    fewer = write("fewer.jsonl", [{"response": "x"}])
    assert "fewer.jsonl" in fails("select", "--catalog", catalog, "--data", me, "--base-answers", fewer)
    notes = write("notes.jsonl", [{"text": "Rain again."}])
    assert "prompt" in fails("select", "--catalog", catalog, "--data", notes, "--base", "anything")
    bad = write("selection.json", ['{"best": 1}'])
    assert "selection.json" in fails("merge", "--catalog", live_catalog, "--selection", bad, "--out", out)
    good = write("recorded.json", [run("select", "--catalog", catalog, "--data", me)])
    assert "recorded" in fails("merge", "--catalog", catalog, "--selection", good, "--out", out)
    assert "answers only" in fails("train", "--start", f"answers:{fewer}", "--data", me, "--out", out)
    assert not out.exists()


def test_interrupted_work_leaves_the_old_catalog(
    run: Run, catalog: Path, pool: dict[str, str], fake_scheme: str, monkeypatch: Any, capsys: Any
) -> None:
    from xpert.testing.fakes import FakeSummarizer

    before = {path.name: path.read_bytes() for path in catalog.iterdir()}
    beside = sorted(path.name for path in catalog.parent.iterdir())

    def stop(*arguments: Any, **options: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(FakeSummarizer, "summarize", stop)
    given = ["explain", *_models(pool), "--summarizer", fake_scheme, "--n-prompts", "20", "--out", str(catalog)]
    assert main(given) == 130
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert {path.name: path.read_bytes() for path in catalog.iterdir()} == before
    assert sorted(path.name for path in catalog.parent.iterdir()) == beside
