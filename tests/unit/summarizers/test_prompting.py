from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from xpert.errors import DataError, SummarizerError
from xpert.protocols import PromptTunable
from xpert.summarizers.hf import HFSummarizer
from xpert.summarizers.instructions import LANGUAGE_STYLE
from xpert.testing.tiny import tiny_causal_lm

WORDS = ["friendly", "matter-of-fact", "poetic", "x"]
BARE = replace(LANGUAGE_STYLE, meaning="One adjective for {word}?", answer_prefix="It is")


@pytest.fixture(scope="module")
def summarizer(tiny_summarizer: Path) -> HFSummarizer:
    return HFSummarizer(tiny_summarizer)


@pytest.mark.parametrize("instruction", [LANGUAGE_STYLE, BARE])
@pytest.mark.parametrize("architecture", ["llama", "qwen2", "gpt2"])
@pytest.mark.parametrize("chat_template", [True, False])
def test_the_text_itself_gives_the_hidden_state_of_the_question(
    tmp_path: Path, architecture: str, chat_template: bool, instruction: object
) -> None:
    folder = tiny_causal_lm(tmp_path / "m", architecture=architecture, chat_template=chat_template)  # pyright: ignore
    llm = HFSummarizer(folder, instruction=instruction)  # pyright: ignore
    space = llm.prompt_space()
    prefix, suffix = space.text_embeddings()
    rows = space.hidden(prefix, space.word_embeddings(WORDS), suffix)
    np.testing.assert_allclose(rows.numpy(), llm.meaning(WORDS), atol=1e-5)


def test_a_row_depends_on_its_word_alone(summarizer: HFSummarizer) -> None:
    space = summarizer.prompt_space()
    prefix, suffix = space.text_embeddings()
    words = space.word_embeddings(WORDS)
    assert len({len(word) for word in words}) > 1, "the words need different numbers of tokens"
    together = space.hidden(prefix, words, suffix)
    for i, word in enumerate(words):
        torch.testing.assert_close(space.hidden(prefix, [word], suffix)[0], together[i], atol=1e-5, rtol=0)


def test_gradients_flow_to_prefix_word_and_suffix_and_not_to_the_weights(summarizer: HFSummarizer) -> None:
    space = summarizer.prompt_space()
    prefix, suffix = (part.requires_grad_(True) for part in space.text_embeddings())
    words = [word.requires_grad_(True) for word in space.word_embeddings(WORDS)]
    space.hidden(prefix, words, suffix)[:, :7].square().sum().backward()
    for part in (prefix, suffix, *words):
        assert part.grad is not None
        assert bool((part.grad.abs().sum(dim=1) > 0).all())
    assert not any(weight.requires_grad for weight in summarizer._model.parameters())


def test_the_digest_is_that_of_the_weights(summarizer: HFSummarizer, tmp_path: Path) -> None:
    same = tiny_causal_lm(tmp_path / "same", seed=7, hidden_size=48)
    other = tiny_causal_lm(tmp_path / "other", seed=8, hidden_size=48)
    assert HFSummarizer(same).prompt_space().digest == summarizer.prompt_space().digest
    assert HFSummarizer(other).prompt_space().digest != summarizer.prompt_space().digest


def test_what_cannot_be_tuned(tiny_summarizer: Path) -> None:
    at_the_end = HFSummarizer(tiny_summarizer, instruction=replace(BARE, meaning="{word}", answer_prefix=""))
    assert isinstance(at_the_end, PromptTunable)
    assert len(at_the_end.prompt_space().text_embeddings()[1]), "the chat template stands after the word"
    with pytest.raises(DataError, match="empty"):
        at_the_end.prompt_space().word_embeddings(["warm", " "])
    at_the_end.close()
    with pytest.raises(SummarizerError, match="closed"):
        at_the_end.prompt_space()


def test_a_word_without_text_around_it(tmp_path: Path) -> None:
    folder = tiny_causal_lm(tmp_path / "m", chat_template=False)
    bare = HFSummarizer(folder, instruction=replace(BARE, meaning="{word}", answer_prefix=""))
    with pytest.raises(DataError, match="before and after"):
        bare.prompt_space().text_embeddings()
