from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xpert.cli import main
from xpert.selection_io import selection_to_json
from xpert.selector import Selector
from xpert.testing.planted_catalog import PLANTED_AXES as AXES
from xpert.testing.planted_catalog import planted_catalog as planted
from xpert.types import Coordinates


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    return planted().save_pretrained(tmp_path / "catalog")


def selection_file(tmp_path: Path) -> Path:
    place = Coordinates(
        values=np.array([-0.1, 1, -0.4, 0], np.float32), stderr=np.zeros(len(AXES), np.float32), n_pairs=9
    )
    file = tmp_path / "selection.json"
    file.write_text(json.dumps(selection_to_json(Selector(planted()).rank(place))))
    return file


def test_report_of_a_catalog_and_of_a_selection(saved: Path, tmp_path: Path, capsys: Any) -> None:
    out = tmp_path / "r.html"
    assert main(["report", str(saved), "--out", str(out), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told == {
        "out": str(out),
        "bytes": out.stat().st_size,
        "models": 5,
        "shown": 5,
        "too_near": [["model-0", "model-1"]],
        "best": None,
    }
    alone = out.read_text()
    assert (
        main(["report", str(saved), "--selection", str(selection_file(tmp_path)), "--out", str(out), "--top", "3"]) == 0
    )
    assert f"{out}: " in (said := capsys.readouterr().out)
    assert "3 of 5 models" in said
    assert out.read_text() != alone
    assert "The user&#x27;s model" in out.read_text()


def test_what_cannot_be_is_one_line_and_leaves_the_older_report(saved: Path, tmp_path: Path, capsys: Any) -> None:
    out = tmp_path / "r.html"
    out.write_text("older")
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.json").write_text("{")
    moved = planted([[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0], [1, 1, 0, 0], [0, 1, 1, 1]]).save_pretrained(
        tmp_path / "moved"
    )
    for arguments, said in (
        ([str(tmp_path / "empty"), "--out", str(out)], "catalog"),
        ([str(tmp_path / "none"), "--out", str(out)], "no such folder"),
        ([str(saved), "--out", str(tmp_path / "no" / "r.html")], "--out: "),
        ([str(saved), "--out", str(tmp_path / "empty")], "is a folder"),
        ([str(saved), "--out", str(out), "--selection", str(tmp_path / "broken.json")], "broken.json: line 1"),
        ([str(moved), "--out", str(out), "--selection", str(selection_file(tmp_path))], "--selection: "),
    ):
        assert main(["report", *arguments]) == 2
        error = capsys.readouterr().err
        assert said in error
        assert error.count("\n") == 1
        assert out.read_text() == "older"
