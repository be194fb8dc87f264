"""What ``show`` and ``select`` tell of uncertainty, and messages in the words of the command line."""

from __future__ import annotations

import io
import json
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from xpert.basis import SubvectorBasis
from xpert.catalog import Catalog
from xpert.cli import main, output
from xpert.cli.merge import _view as _merge_view
from xpert.cli.options import in_options
from xpert.cli.select import _view
from xpert.provenance import Fit, Provenance
from xpert.selector import Selector
from xpert.types import Axis, Coordinates, Example, Generation, MergePlan, ModelCard

NAMES = ("elementary-informative-unfriendly", "tutor")
N_UNNAMED = 30


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A catalog of two models on three words and many unnamed axes; the first model's "formal" is not told from 0."""
    axes = [*(Axis(word=w) for w in ("friendly", "formal", "concise")), Axis(word="log length", kind="measured")]
    axes += [Axis(word=f"unnamed-{i}", kind="unnamed") for i in range(1, N_UNNAMED + 1)]
    k = len(axes)
    z = np.full((2, k), 0.01, np.float32)
    z[0, :4], z[1, :4] = [1.3142, 0.1, -0.5, 0.7], [-1.0, 2.0, 0.25, 0.1]
    z[0, 4:6] = 0.9
    fit = Fit(residual=0.1, named_share=0.9, measured_share=0.1, unnamed_share=0.2, converged=True)
    header = Provenance(
        base="b",
        summarizer="fake:24-0",
        instruction="?",
        width=k,
        measured=(),
        measured_scale=1.0,
        n_prompts=20,
        prompts_sha256="",
        seed=0,
        generation=Generation(),
        eps_orth=0.5,
        eps_dec=0.2,
        centering="none",
        null_pairs="none",
        subvectors="planted",
        coefficients="least-squares",
        candidate_order="given",
        n_candidates_examined=3,
        fits=dict.fromkeys(NAMES, fit),
        match_thresholds={"direction:all": 0.6},
    )
    basis = SubvectorBasis(axes=tuple(axes), vectors=np.eye(k, dtype=np.float32), null=np.zeros(k, np.float32))
    cards = tuple(ModelCard(name=n, reference=n, kind="recorded", base="b", bytes=0, sha256="") for n in NAMES)
    catalog = Catalog(
        basis=basis,
        models=cards,
        coordinates=z,
        stderr=np.full((2, k), 0.08, np.float32),
        provenance=header,
        base_answers=(Example(prompt="p", response="r"),),
    )
    return catalog.save_pretrained(tmp_path / "catalog")


def test_show_tells_errors_marks_what_is_unsure_and_hides_what_is_nothing(folder: Path, capsys: Any) -> None:
    assert main(["show", str(folder), NAMES[0]]) == 0
    out = capsys.readouterr().out
    assert re.search(r"^ ?friendly +word +\+1\.31 ± 0\.08", out, re.MULTILINE)
    assert re.search(r"^ ?~formal +word +\+0\.10 ± 0\.08", out, re.MULTILINE)
    assert re.findall(r"unnamed-\d+", out) == ["unnamed-1", "unnamed-2"]
    assert f"{N_UNNAMED - 2} unnamed axes are not told from 0" in out
    assert main(["show", str(folder), NAMES[0], "--all"]) == 0
    assert len(re.findall(r"unnamed-\d+", capsys.readouterr().out)) == N_UNNAMED


def test_top_words_leaves_out_what_is_not_told_from_0_and_sorts_the_rest(folder: Path, capsys: Any) -> None:
    words = [("concise", -0.5), ("formal", 0.1), ("friendly", 1.3142), ("poetic", 0.3)]
    errors = [0.004, 0.08, 0.08, 0.1]
    assert output.top_words(words, 2, errors) == "friendly +1.31 ± 0.08, concise -0.50 ± 0.01"
    assert output.top_words(words, 2, errors, with_errors=False) == "friendly +1.31, concise -0.50"
    assert output.top_words(words, 2) == "concise -0.50, formal +0.10", "no errors: all count as told"
    assert output.top_words(words[1:2], 2, [0.08]) == "no word that is told from 0"
    assert main(["show", str(folder)]) == 0
    out = capsys.readouterr().out
    assert output.LEFT_OUT in out
    assert "formal +0.10" not in out


def test_merge_says_why_there_are_so_many_models(tmp_path: Path) -> None:
    plan = MergePlan(
        weights={"poet": 0.9, "blunt": 0.145},
        distance_before=0.5,
        distance_after=0.3,
        words=(("poetic", 0.9),),
        gains=(0.09, 0.002),
        needed=(0.01, 0.01),
        considered=5,
        brings={"poet": (("poetic", 0.9),), "blunt": (("friendly", -0.15), ("poetic", 0.02))},
    )
    lines = [str(part) for part in _merge_view(plan, 3, tmp_path, None)[1:]]
    assert lines[1].startswith(
        "Why 2 models: going from 1 to 2 lowers the squared distance by 9.0% of your style's squared length (more than 1.0% "
        "is asked); going to 3 would lower it by 0.2% only (1.0% is asked)."
    )
    table = _merge_view(plan, 3, tmp_path, None)[0]
    assert [list(column.cells) for column in cast("Any", table).columns][2] == [
        "poetic +0.90",
        "friendly -0.15, poetic +0.02",
    ]
    alone = replace(plan, weights={"poet": 0.9}, gains=(0.002,), needed=(0.01,), brings={})
    lines = [str(part) for part in _merge_view(alone, 3, tmp_path, None)]
    assert "0.2% of your style's squared length" in lines[2]
    assert _merge_view(alone, 1, tmp_path, None)[2] == "One model, as --max-models 1 asks."


def test_show_lists_axes_by_kind_and_size(folder: Path, capsys: Any) -> None:
    assert main(["show", str(folder), NAMES[0]]) == 0
    out = capsys.readouterr().out
    shown = [line.split()[0] for line in out.splitlines() if re.search(r" (word|measured|unnamed) +[+-]", line)]
    assert shown == ["friendly", "concise", "~formal", "log", "unnamed-1", "unnamed-2"]
    assert re.search(
        r"^In words: friendly \+1\.31 ± 0\.08, log length \+0\.70 ± 0\.08, concise -0\.50 ± 0\.08\.$", out, re.M
    )


def test_json_has_every_axis_with_its_error(folder: Path, capsys: Any) -> None:
    assert main(["show", str(folder), NAMES[0], "--json"]) == 0
    words = json.loads(capsys.readouterr().out)["words"]
    assert len(words) == 4 + N_UNNAMED
    assert words[0] == {"word": "friendly", "value": pytest.approx(1.3142), "stderr": pytest.approx(0.08)}
    assert main(["show", str(folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["models"][NAMES[0]]["words"] == words


@pytest.mark.parametrize("columns", [80, 100, 160])
def test_a_catalog_is_readable_on_a_narrow_terminal(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setattr(output, "_PIPE_WIDTH", columns)
    assert main(["show", str(folder)]) == 0
    table = [line for line in capsys.readouterr().out.splitlines() if not line.startswith(("Shares", "±", "2 models"))]
    assert max(map(len, table)) <= columns
    assert any(NAMES[0] in line for line in table)
    assert any("friendly +1.31" in line for line in table)
    assert len(table) < 16


def test_select_tells_how_sure_it_is(folder: Path, capsys: Any) -> None:
    catalog = Catalog.from_pretrained(folder)
    selector = Selector(catalog)
    rng = np.random.default_rng(0)
    rows = catalog.coordinates.mean(axis=0) * [1.0] + 0.1 * catalog.coordinates[1] + 3 * rng.normal(size=(20, 34))
    place = Coordinates(values=rows.mean(axis=0), stderr=rows.std(axis=0, ddof=1) / np.sqrt(20), n_pairs=20)
    sure = selector._ranked(place, rows.astype(np.float32), paired=True)
    assert sure.confidence is not None
    assert sure.probabilities is not None
    assert 0.3 < sure.confidence < 1
    assert sum(sure.probabilities) == pytest.approx(1, abs=1e-5)
    line = str(_view(sure, 5)[0])
    other = next(name for name in NAMES if name != sure.best)
    assert re.match(rf"Best: {sure.best} \(\d+% sure; next: {other} \d+%\), distance ", line)
    open_ = selector.rank(place)
    assert (open_.confidence, open_.probabilities) == (None, None)
    assert open_.ranking == sure.ranking
    assert "sure" not in str(_view(open_, 5)[0])


def test_plus_minus_is_ascii_where_it_must_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    assert output.figure(1.3, 0.3) == "+1.3 +- 0.3"
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="utf-8"))
    assert output.figure(1.3, 0.3) == "+1.3 ± 0.3"


def test_an_ascii_output_gets_ascii(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for arguments in (["show", str(folder)], ["show", str(folder), "tutor"]):
        raw = io.BytesIO()
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
        assert main(arguments) == 0
        sys.stdout.flush()
        assert b"+- 0.08" in raw.getvalue()
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    output.show(output.Outcome(document={}, view=lambda: ["süß"]), as_json=False)
    sys.stdout.flush()
    assert raw.getvalue() == b"s\\xfc\\xdf\n"


def test_did_you_mean(folder: Path, capsys: Any) -> None:
    assert main(["show", str(folder), "tutr"]) == 2
    assert "did you mean 'tutor'?" in capsys.readouterr().err
    assert main(["selct"]) == 2
    assert "'select'" in capsys.readouterr().err
    assert main(["select", "--catalgo", "x"]) == 2
    assert "--catalog" in capsys.readouterr().err


def test_did_you_mean_in_zoo_and_registries() -> None:
    from xpert.errors import ReferenceNotFoundError
    from xpert.registry import SUBVECTORS
    from xpert.zoo import names, path

    with pytest.raises(ReferenceNotFoundError, match="did you mean 'contrastive'"):
        SUBVECTORS.get("contrastiv")
    if "summarizer" in names():
        with pytest.raises(ReferenceNotFoundError, match=r"did you mean 'summarizer'\?\): `xpert zoo` lists all \d+$"):
            path("sumarizer")


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("n_prompts: expected 1 or more, got 0", "--n-prompts: expected 1 or more, got 0"),
        ("record more answers or lower n_prompts", "record more answers or lower --n-prompts"),
        ("axes='named': the catalog has no such axis", "--axes named: the catalog has no such axis"),
        ("the base model of axes that start", "the base model of axes that start"),
        ("/tmp/n_prompts/x: expected 'n_prompts' in n_prompts.json", None),
        ("max_steps: expected at least 1", None),
    ],
)
def test_messages_in_options(said: str, told: str | None) -> None:
    assert in_options(said, ["n_prompts", "axes", "base"]) == (told or said)


def test_settings_are_named_as_options(folder: Path, tmp_path: Path, capsys: Any) -> None:
    data = tmp_path / "me.jsonl"
    data.write_text('{"text": "hello"}\n')
    assert main(["select", "--catalog", str(folder), "--data", str(data), "--axes", "sometimes"]) == 2
    assert "error: --axes: expected one of all" in capsys.readouterr().err
    start = ["--start", "zoo:base", "--data", str(data), "--out", str(tmp_path / "o")]
    assert main(["train", *start, "--recipe", "mine"]) == 2
    assert "error: --recipe: expected one of" in capsys.readouterr().err


def test_help_shows_the_trainers_own_defaults(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    from dataclasses import fields

    from xpert.trainers.settings import DEFAULTS
    from xpert.trainers.torch import TorchTrainer

    monkeypatch.setenv("COLUMNS", "200")
    assert main(["train", "--help"]) == 0
    out = capsys.readouterr().out
    own = {field.name: field.default for field in fields(TorchTrainer)}
    values = dict(DEFAULTS) | {n: own[n] for n in ("max_steps", "max_length", "eval_fraction", "precision", "seed")}
    for name, value in values.items():
        row = next(line for line in out.splitlines() if f"--{name.replace('_', '-')} " in line)
        shown = re.search(r"\[default: \(?(.*?)\)?\]", row)
        assert shown is not None, name
        told = shown[1].partition(";")[0]  # of the trainer of texts; another's default follows
        assert told == str(value) or float(told) == float(value), name


@pytest.mark.parametrize("command", ["select", "show", "merge"])
def test_help_shows_defaults(command: str, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert main([command, "--help"]) == 0
    out = capsys.readouterr().out
    expected = {
        "select": ["all", "5", "(the catalog's own)", "(they choose)"],
        "show": ["(all of them)"],
        "merge": ["3"],
    }
    for value in expected[command]:
        assert f"[default: {value}]" in out
