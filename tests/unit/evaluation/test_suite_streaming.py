"""Table 4: a summarizer of random weights, whole and streamed, each in a process of its own."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xpert.errors import SettingsError, SummarizerError
from xpert.evaluation.presets import PRESETS, RandomShape
from xpert.evaluation.suite import streaming
from xpert.evaluation.suite.context import Context
from xpert.tensors import files

SHAPE = RandomShape(
    name="mini", vocab_size=4096, hidden_size=64, intermediate_size=128, layers=3, heads=4, key_value_heads=2
)


def context(work: Path) -> Context:
    return Context(preset=replace(PRESETS["tiny"], streamed_shape=SHAPE, streamed_questions=(2,)), seed=0, work=work)


def test_whole_and_streamed_give_the_same_and_both_are_told(tmp_path: Path) -> None:
    with context(tmp_path) as one:
        found = streaming.table_4(one)
    whole, streamed = found.rows
    assert (whole["way"], streamed["way"]) == ("hf", "streamed")
    assert streamed["waited_s"] is not None
    model = tmp_path / "random-models" / "mini-0"
    assert whole["bytes_read"] == sum(file.stat().st_size for file in model.glob("*.safetensors"))
    layers = 3 * (2 * 64 * 64 + 2 * 64 * 32 + 3 * 64 * 128) * 2
    assert layers <= streamed["bytes_read"] <= whole["bytes_read"]
    assert "the same to the last bit" in found.tables[0].markdown


def test_other_embeddings_are_an_error_and_nothing_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def one(way: str, model: Path, asked: Path, out: Path) -> dict[str, Any]:
        assert len(json.loads(asked.read_text())) == 2
        np.save(out, np.full((2, 4), float(way == "hf")))
        return {}

    monkeypatch.setattr(streaming, "_one", one)
    with context(tmp_path) as own, pytest.raises(SummarizerError, match=r"expected the same embeddings .* got up to 1"):
        streaming.table_4(own)
    assert not list(tmp_path.glob("streaming-*"))


def test_a_reading_that_fails_says_why(tmp_path: Path) -> None:
    with pytest.raises(SummarizerError, match=r"none, streamed: ended with status 1: .*"):
        streaming._one("streamed", tmp_path / "none", tmp_path / "no-pairs.json", tmp_path / "out.npy")


def test_no_room_for_the_weights_is_told_before_they_are_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = files.shutil.disk_usage(tmp_path)._replace(free=1)
    monkeypatch.setattr(files.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(SettingsError, match="its disk has 0"):
        streaming.random_model(SHAPE, tmp_path / "model", 0)
    assert not (tmp_path / "model").exists()


def test_a_system_that_tells_no_memory_is_no_error() -> None:
    row = {"way": "hf", "questions": 2, "seconds": 1.0, "waited_s": None, "peak_bytes": None, "bytes_read": 10**6}
    table = streaming._table([row, {**row, "way": "streamed", "waited_s": 0.25}])
    assert "not told by the system" in table
    assert "25.00%" in table
    assert all(not series.x for series in streaming._chart([row]).series)
