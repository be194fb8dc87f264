from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from xpert.errors import DataError, SettingsError, SummarizerError
from xpert.protocols import SubvectorContext, Summarizer, Unembedding
from xpert.subvectors.unembedded import UnembeddedSubvectors
from xpert.summarizers.causal import unembedding_rows
from xpert.summarizers.hf import HFSummarizer
from xpert.summarizers.instructions import Instruction
from xpert.testing import FakeSummarizer

WORDS = ("friendly", "formal", "poetic", "zesty")


def context(summarizer: Summarizer) -> SubvectorContext:
    null = np.ones(summarizer.width, np.float32)
    return SubvectorContext(summarizer=summarizer, prompts=["x"], base_answers=["y"], null=null)


def test_a_row_makes_its_own_word_likelier(tiny_summarizer: Path) -> None:
    """Added to any hidden state, a word's vector raises the logit of the word's beginning above those of the other words'."""
    llm = HFSummarizer(tiny_summarizer)
    rows = UnembeddedSubvectors(WORDS).vectors(WORDS, context(llm))
    logits = rows @ llm.unembedding(WORDS).T
    np.testing.assert_array_equal(logits.argmax(axis=1), np.arange(len(WORDS)))
    np.testing.assert_allclose(rows.sum(axis=0), 0, atol=1e-5)


def test_the_beginning_of_a_word_alone_and_after_a_blank() -> None:
    layer = torch.nn.Linear(2, 5, bias=False)
    layer.weight.data = torch.tensor([[1.0, 0], [3, 0], [0, 5], [7, 7], [9, 9]])
    pieces = {"calm": [0, 3], " calm": [1, 3], "odd": [2], " odd": [4, 2]}  # 4 is a blank, 3 an ending

    class Tokenizer:
        def __call__(self, texts: list[str], **_: object) -> dict[str, list[list[int]]]:
            return {"input_ids": [pieces.get(text, []) for text in texts]}

        def decode(self, ids: list[int]) -> str:
            return " " if ids == [4] else "x"

    rows = unembedding_rows(layer, Tokenizer(), ["calm", "odd"])
    np.testing.assert_allclose(rows, [[2, 0], [0, 5]])
    with pytest.raises(DataError, match="'none': the tokenizer has no token"):
        unembedding_rows(layer, Tokenizer(), ["none"])


def test_the_instructions_words_are_the_list(tiny_summarizer: Path) -> None:
    llm = HFSummarizer(tiny_summarizer)
    own = UnembeddedSubvectors().vectors(WORDS, context(llm))
    np.testing.assert_allclose(own, UnembeddedSubvectors(llm.wording.words).vectors(WORDS, context(llm)), atol=1e-6)


def test_who_cannot(tiny_summarizer: Path) -> None:
    assert not isinstance(FakeSummarizer(), Unembedding)
    with pytest.raises(SummarizerError, match="need a language model held in memory"):
        UnembeddedSubvectors().vectors(WORDS, context(FakeSummarizer()))
    bare = Instruction(name="t", compare="{a} {b}", write="{word} {prompt}", meaning="{word}")
    with pytest.raises(SummarizerError, match=r"the instruction of .* has none"):
        UnembeddedSubvectors().vectors(WORDS, context(HFSummarizer(tiny_summarizer, instruction=bare)))
    with pytest.raises(SettingsError, match="two different words"):
        UnembeddedSubvectors(["one", "one"])
