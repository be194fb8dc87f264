from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from xpert.cli.app import build
from xpert.errors import IncompatibleModelError, SettingsError, WeightsError
from xpert.streaming.quantize import quantize
from xpert.summarizers.hf import HFSummarizer
from xpert.summarizers.streamed import StreamedSummarizer
from xpert.testing.checks_summarizer import SAMPLE_PAIRS
from xpert.testing.tiny import tiny_causal_lm


@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
def test_int8_is_near_and_half_as_long(architecture: str, tmp_path: Path) -> None:
    folder = tiny_causal_lm(tmp_path / "lm", architecture=architecture, hidden_size=64, layers=3)  # pyright: ignore[reportArgumentType]
    done = quantize(folder, tmp_path / "int8")
    assert 0 < done.error <= done.worst_error < 0.02
    whole, small = StreamedSummarizer(folder), StreamedSummarizer(tmp_path / "int8")
    expected, got = whole.summarize(SAMPLE_PAIRS).embeddings, small.summarize(SAMPLE_PAIRS).embeddings
    assert not np.array_equal(got, expected)
    cosines = (got * expected).sum(1) / np.linalg.norm(got, axis=1) / np.linalg.norm(expected, axis=1)
    assert cosines.min() > 0.99
    read = [one.report.bytes_read for one in (whole, small)]
    assert read[1] < 0.4 * read[0]  # of float32
    assert whole.fingerprint != small.fingerprint


def test_zoo_summarizer(tmp_path: Path) -> None:
    quantize("zoo:summarizer", tmp_path / "int8")
    options = {"dtype": "bfloat16"}
    whole, small = StreamedSummarizer("zoo:summarizer", **options), StreamedSummarizer(tmp_path / "int8", **options)
    expected, got = whole.summarize(SAMPLE_PAIRS).embeddings, small.summarize(SAMPLE_PAIRS).embeddings
    cosines = (got * expected).sum(1) / np.linalg.norm(got, axis=1) / np.linalg.norm(expected, axis=1)
    assert cosines.min() > 0.995
    assert small.report.bytes_read < 0.6 * whole.report.bytes_read


def test_it_says_what_it_is_a_copy_of(tmp_path: Path) -> None:
    folder = tiny_causal_lm(tmp_path / "lm")
    quantize(folder, tmp_path / "int8")
    assert StreamedSummarizer(tmp_path / "int8").stands_for == f"streamed:{folder}"
    assert StreamedSummarizer(folder).stands_for == f"streamed:{folder}"
    (tmp_path / "int8" / "xpert_int8.json").write_text("[]")
    with pytest.raises(WeightsError, match="quantize the model again"):
        _ = StreamedSummarizer(tmp_path / "int8").stands_for


def test_resident_models_refuse_it_clearly(tmp_path: Path) -> None:
    folder = tiny_causal_lm(tmp_path / "lm")
    quantize(folder, tmp_path / "int8")
    with pytest.raises(IncompatibleModelError, match="int8 by xpert quantize, which only streamed:"):
        HFSummarizer(tmp_path / "int8")
    with pytest.raises(SettingsError, match="int8 already"):
        quantize(tmp_path / "int8", tmp_path / "again")
    quantize(folder, tmp_path / "int8")


def test_target_that_holds_something_else(tmp_path: Path) -> None:
    folder = tiny_causal_lm(tmp_path / "lm")
    with pytest.raises(SettingsError, match="holds something that is no quantized model"):
        quantize(folder, folder)


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from xpert.cli import main

    folder = tiny_causal_lm(tmp_path / "lm")
    assert build() is not None
    assert main(["quantize", "--model", str(folder), "--out", str(tmp_path / "out"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["tensors"] == 14
    assert told["bytes_after"] < told["bytes_before"]
