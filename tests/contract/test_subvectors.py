"""Every built-in sub-vector source keeps the contract of `xpert.protocols.SubvectorSource`, and the check sees who does not."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xpert.protocols import SubvectorContext, Summarizer
from xpert.registry import SUBVECTORS
from xpert.subvectors.captioned import CaptionedSubvectors
from xpert.subvectors.painted import PaintedSubvectors
from xpert.subvectors.prompt_tuning import TuningSettings, tune_prompt
from xpert.summarizers.hf import HFSummarizer
from xpert.summarizers.instructions import Instruction
from xpert.testing import FakeSummarizer, check_subvector_source, fake_text
from xpert.types import Array, Generation

PROMPTS = ["why is the sky blue", "tell me how", "rain"]
SHORT = Instruction(name="t", compare="{a} {b}", write="{word} {prompt}", meaning="{word}", max_new_tokens=8)


def context(summarizer: Summarizer) -> SubvectorContext:
    return SubvectorContext(
        summarizer=summarizer,
        prompts=PROMPTS,
        base_answers=[fake_text(prompt) for prompt in PROMPTS],
        null=np.full(summarizer.width, 0.1, np.float32),
    )


@pytest.mark.parametrize(
    "name", [name for name in SUBVECTORS.builtin if name not in ("prompt-tuned", "painted", "unembedded")]
)
def test_built_in_with_the_fake(name: str) -> None:
    check_subvector_source(SUBVECTORS.get(name), context(FakeSummarizer()))


def test_contrastive_with_an_llm(tiny_summarizer: Path) -> None:
    with_llm = context(HFSummarizer(tiny_summarizer, instruction=SHORT))
    check_subvector_source(SUBVECTORS.get("contrastive"), with_llm)


def test_prompt_tuned_with_an_llm(tiny_summarizer: Path) -> None:
    llm = HFSummarizer(tiny_summarizer)
    targets = np.random.default_rng(0).normal(size=(2, llm.width)).astype(np.float32)
    settings = TuningSettings(n_tokens=7, steps=3)
    tuned = tune_prompt(llm, ["warm", "dry"], targets, null=np.zeros(llm.width, np.float32), settings=settings)
    check_subvector_source(lambda: SUBVECTORS.get("prompt-tuned")(tuned), context(llm))


def test_unembedded_with_an_llm(tiny_summarizer: Path) -> None:
    check_subvector_source(SUBVECTORS.get("unembedded"), context(HFSummarizer(tiny_summarizer)))


def test_described_with_an_encoder(tmp_path: Path) -> None:
    pytest.importorskip("sentence_transformers", reason="needs the extra 'encoder'")
    from xpert.summarizers.encoder import EncoderSummarizer
    from xpert.testing.tiny_encoder import tiny_encoder

    encoder = EncoderSummarizer(tiny_encoder(tmp_path / "encoder"), words=["friendly", "formal", "poetic", "funny"])
    check_subvector_source(SUBVECTORS.get("described"), context(encoder))


def test_captioned_with_an_image_encoder(tmp_path: Path) -> None:
    pytest.importorskip("PIL", reason="needs the extra 'diffusion'")
    from xpert.summarizers.image_encoder import ImageEncoderSummarizer
    from xpert.testing.tiny_clip import tiny_clip

    encoder = ImageEncoderSummarizer(tiny_clip(tmp_path / "clip"), words=["neon", "grey", "sketched", "bright"])
    for centred in (True, False):
        check_subvector_source(lambda centred=centred: CaptionedSubvectors(centred=centred), context(encoder))


def test_painted_by_a_text_model(tiny_base: Path) -> None:
    how = Generation(max_new_tokens=4)
    fake = context(FakeSummarizer())
    check_subvector_source(lambda: PaintedSubvectors(tiny_base, modality="text", generation=how), fake)


class Broken:
    """Breaks one rule."""

    name = "broken"
    made = 0

    def __init__(self, rule: str) -> None:
        self.rule = rule
        Broken.made += 1
        self.number = Broken.made

    def vectors(self, words: Sequence[str], context: SubvectorContext) -> Array:
        rows = np.array([[len(w), sum(map(ord, w))] + [1.0] * 22 for w in words], np.float32).reshape(-1, 24)
        if self.rule == "dtype":
            return rows.astype(np.float64)  # pyright: ignore[reportReturnType]
        if self.rule == "shape":
            return rows[:, 1:]
        if self.rule == "finite":
            return rows * np.float32("nan")
        if self.rule == "order":
            return rows + np.arange(len(rows), dtype=np.float32)[:, None]
        if self.rule == "others":
            return rows + np.float32(len(rows))
        if self.rule == "instances":
            return rows + np.float32(self.number * 1e-6 * rows)
        return rows


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("dtype", "float32"),
        ("shape", "vectors: expected"),
        ("finite", "finite"),
        ("order", "order of the words"),
        ("others", "asked with it"),
        ("instances", "second instance|asked with it"),
    ],
)
def test_the_check_sees_a_broken_rule(rule: str, message: str) -> None:
    def make() -> Any:
        return Broken(rule)

    with pytest.raises(AssertionError, match=message):
        check_subvector_source(make, context(FakeSummarizer()))


def test_the_check_passes_who_keeps_the_rules() -> None:
    check_subvector_source(lambda: Broken("none"), context(FakeSummarizer()))
