from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from xpert.errors import SummarizerError, WeightsError
from xpert.explainer import Explainer
from xpert.protocols import SubvectorContext
from xpert.subvectors.prompt_tuned import PROMPT_FILE, PromptTunedSubvectors
from xpert.subvectors.prompt_tuning import TuningSettings, predicted, tune_prompt
from xpert.subvectors.tuned_prompt import TunedPrompt, load_tuned_prompt
from xpert.summarizers.hf import HFSummarizer
from xpert.summarizers.instructions import LANGUAGE_STYLE
from xpert.testing import FakeSummarizer
from xpert.testing.tiny import tiny_causal_lm
from xpert.types import Array

WORDS = ["warm", "formal", "poetic"]


@pytest.fixture(scope="module")
def llm(tiny_summarizer: Path) -> HFSummarizer:
    return HFSummarizer(tiny_summarizer)


@pytest.fixture(scope="module")
def tuned(llm: HFSummarizer) -> TunedPrompt:
    targets = np.random.default_rng(0).normal(size=(3, 48)).astype(np.float32)
    settings = TuningSettings(n_tokens=6, steps=3, batch_size=2)
    return tune_prompt(llm, WORDS, targets, null=np.zeros(48, np.float32), settings=settings)


def context(summarizer: HFSummarizer | FakeSummarizer, null: Array | None = None) -> SubvectorContext:
    null = np.zeros(summarizer.width, np.float32) if null is None else null
    return SubvectorContext(summarizer=summarizer, prompts=["?"], base_answers=["!"], null=null)


def test_vectors_are_hidden_states_less_the_null(llm: HFSummarizer, tuned: TunedPrompt) -> None:
    null = np.arange(48, dtype=np.float32)
    rows = PromptTunedSubvectors(tuned).vectors(["poetic", "warm", "poetic"], context(llm, null))
    expected = predicted(llm.prompt_space(), tuned, ["poetic", "warm"]) - null
    np.testing.assert_allclose(rows, expected[[0, 1, 0]], atol=1e-6)


def test_a_file_gives_back_what_was_saved(tuned: TunedPrompt, tmp_path: Path) -> None:
    again = load_tuned_prompt(tuned.save(tmp_path / "p.safetensors"))
    assert np.array_equal(again.prefix, tuned.prefix)
    assert np.array_equal(again.suffix, tuned.suffix)
    assert (again.summarizer, again.digest, again.text, again.training) == (
        tuned.summarizer,
        tuned.digest,
        tuned.text,
        tuned.training,
    )
    assert [path.name for path in tmp_path.iterdir()] == ["p.safetensors"]


def test_another_summarizers_prompt_is_refused(tuned: TunedPrompt, tmp_path: Path, tiny_summarizer: Path) -> None:
    other = HFSummarizer(tiny_causal_lm(tmp_path / "other", seed=8, hidden_size=48))
    with pytest.raises(SummarizerError, match=r"tuned for hf:.*tune one for it"):
        PromptTunedSubvectors(tuned.save(tmp_path / "p.safetensors")).vectors(WORDS, context(other))
    asked = HFSummarizer(tiny_summarizer, instruction=replace(LANGUAGE_STYLE, meaning="A domain for {word}?"))
    with pytest.raises(SummarizerError, match="A domain for"):
        PromptTunedSubvectors(tuned).vectors(WORDS, context(asked))


def test_the_file_in_the_summarizers_folder_is_used(
    tuned: TunedPrompt, tiny_summarizer: Path, tiny_base: Path, tiny_adapters: dict[str, Path], tmp_path: Path
) -> None:
    folder = tmp_path / "summarizer"
    shutil.copytree(tiny_summarizer, folder)
    copy = HFSummarizer(folder)
    with pytest.raises(SummarizerError, match=r"has no tuned prompt .*tune_prompt"):
        PromptTunedSubvectors().vectors(WORDS, context(copy))
    tuned.save(folder / PROMPT_FILE)
    rows = PromptTunedSubvectors().vectors(WORDS, context(copy))
    np.testing.assert_allclose(rows, predicted(copy.prompt_space(), tuned, WORDS), atol=1e-6)
    explainer = Explainer(
        str(tiny_base), f"hf:{folder}", n_prompts=3, subvectors="prompt-tuned", max_candidates=8, eps_orth=1.0
    )
    catalog = explainer.explain({"tutor": str(tiny_adapters["tutor"])})
    words = [axis for axis in catalog.basis.axes if axis.kind == "word"]
    assert words
    expected = predicted(copy.prompt_space(), tuned, [words[0].word])[0] - catalog.basis.null[:48]
    np.testing.assert_allclose(catalog.basis.vectors[0][:48], expected, atol=1e-4)


def test_who_takes_no_embeddings(tuned: TunedPrompt) -> None:
    with pytest.raises(SummarizerError, match="takes no input embeddings"):
        PromptTunedSubvectors(tuned).vectors(WORDS, context(FakeSummarizer()))


def test_files_that_cannot_be_read(tuned: TunedPrompt, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no such file"):
        PromptTunedSubvectors(tmp_path / "none.safetensors")
    file = tuned.save(tmp_path / "p.safetensors")
    data = file.read_bytes()
    (tmp_path / "short").write_bytes(data[:-8])
    with pytest.raises(WeightsError, match="truncated"):
        load_tuned_prompt(tmp_path / "short")
    save_file(load_file(file), tmp_path / "bare")
    with pytest.raises(WeightsError, match="expected a tuned prompt"):
        load_tuned_prompt(tmp_path / "bare")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format_version": "2"}, "format version 2"),
        ({"colour": "blue"}, "'colour'"),
        ({"training": "{}"}, "training figures"),
    ],
)
def test_a_header_that_is_not_ours(tuned: TunedPrompt, tmp_path: Path, change: dict[str, str], message: str) -> None:
    from safetensors import safe_open

    file = tuned.save(tmp_path / "p.safetensors")
    with safe_open(file, framework="numpy") as opened:
        header = opened.metadata()
    save_file(load_file(file), tmp_path / "q", metadata={**header, **change})
    with pytest.raises(WeightsError, match=message):
        load_tuned_prompt(tmp_path / "q")


@pytest.mark.parametrize("name", ["prefix", "suffix"])
def test_blocks_that_are_not_ours(tuned: TunedPrompt, tmp_path: Path, name: str) -> None:
    wide = replace(tuned, **{name: np.zeros((2, 5), np.float32)})
    with pytest.raises(WeightsError, match="one width"):
        load_tuned_prompt(wide.save(tmp_path / "p"))
    broken = replace(tuned, **{name: np.full_like(getattr(tuned, name), np.nan)})
    with pytest.raises(WeightsError, match=f"{name}: expected finite"):
        load_tuned_prompt(broken.save(tmp_path / "q"))
