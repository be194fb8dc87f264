"""The demo as a newcomer runs it: minutes, so it is among the slow tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from xpert.cli import main
from xpert.zoo.corpus import STYLES
from xpert.zoo.pictures import accepted_words

pytestmark = pytest.mark.slow


def test_the_demo_selects_rightly_and_saves_half_the_steps(tmp_path: Path, capsys: Any) -> None:
    pytest.importorskip("matplotlib")
    assert main(["demo", "--out", str(tmp_path / "demo"), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert list(document["models"]) == list(STYLES)
    assert document["users"] >= 28
    assert document["correct"] >= 0.95 * document["users"]
    assert document["steps_selected"] <= document["steps_base"] / 2
    assert document["starts"]["interval_share"] <= 0.02
    assert document["peak_mb"] <= 3000
    assert main(["doctor", str(tmp_path / "demo" / "catalog")]) == 0


def test_the_demo_of_pictures_selects_rightly_and_saves_half_the_steps(tmp_path: Path, capsys: Any) -> None:
    pytest.importorskip("matplotlib")
    pytest.importorskip("diffusers")
    assert main(["demo", "--modality", "diffusion", "--out", str(tmp_path / "demo"), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    accepted = accepted_words()
    assert list(document["models"]) == list(accepted)
    said = {style: {word["word"] for word in words[:3]} for style, words in document["models"].items()}
    assert sum(bool(said[style] & set(words)) for style, words in accepted.items()) >= 8
    assert document["correct"] >= 0.95 * document["users"] >= 17
    assert document["steps_selected"] <= document["steps_base"] / 2
    assert document["starts"]["interval_share"] <= 0.02
    assert (tmp_path / "demo" / "contact-sheet.png").is_file()
    assert main(["doctor", str(tmp_path / "demo" / "catalog")]) == 0
