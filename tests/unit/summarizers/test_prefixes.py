from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from xpert.summarizers import causal
from xpert.summarizers.hf import HFSummarizer
from xpert.summarizers.instructions import Instruction
from xpert.summarizers.prefixes import PrefixCache, shared_length
from xpert.testing.tiny import tiny_causal_lm
from xpert.types import AnswerPair

BASES = ["rain falls " * (i + 1) for i in range(6)]


def pairs(model: int) -> list[AnswerPair]:
    return [
        AnswerPair(prompt=f"p{i}", base=base, other=f"{'Oh' * model}, rain {model}! " * (7 - i))
        for i, base in enumerate(BASES)
    ]


@pytest.fixture(scope="module", params=["llama", "gpt2", "qwen2", "llama without a chat template"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    architecture, *raw = request.param.split(" ", 1)
    return tiny_causal_lm(
        tmp_path_factory.mktemp("p") / architecture,
        architecture=architecture,
        seed=3,
        tied=False,
        chat_template=not raw,
    )


def test_rows_are_those_of_whole_questions(folder: Path) -> None:
    sharing, whole = HFSummarizer(folder), HFSummarizer(folder, prefix_bytes=0)
    for model in range(5):
        expected, got = whole.summarize(pairs(model), n_candidates=4), sharing.summarize(pairs(model), n_candidates=4)
        np.testing.assert_allclose(got.embeddings, expected.embeddings, rtol=0, atol=1e-5)
        assert [c.word for c in got.candidates] == [c.word for c in expected.candidates]
    back = sharing.summarize(pairs(2)[::-1]).embeddings[::-1]
    np.testing.assert_allclose(back, whole.summarize(pairs(2)).embeddings, rtol=0, atol=1e-5)
    alone = np.concatenate([sharing.summarize([pair]).embeddings for pair in pairs(1)])
    np.testing.assert_allclose(alone, whole.summarize(pairs(1)).embeddings, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "compare", ["{b} is what, beside {a}?", "Say one word. {b}{a}", "{a}{b}", "{{x}} {prompt} {a}: {b}"]
)
def test_any_template(folder: Path, compare: str) -> None:
    asked = Instruction(name="t", compare=compare, write="{word} {prompt}", meaning="{word}")
    sharing, whole = HFSummarizer(folder, instruction=asked), HFSummarizer(folder, instruction=asked, prefix_bytes=0)
    for model in range(3):
        got, expected = sharing.summarize(pairs(model)), whole.summarize(pairs(model))
        np.testing.assert_allclose(got.embeddings, expected.embeddings, rtol=0, atol=1e-5)


def test_shared_tokens_are_read_once(folder: Path) -> None:
    asked = Instruction(name="t", compare="First: {a}\nSecond: {b}\n", write="{word} {prompt}", meaning="{word}")
    bases = ["the quick brown fox jumps over the lazy dog " * 4 + text for text in BASES]
    read: list[int] = []

    def n_read(summarizer: HFSummarizer, model: int) -> int:
        read.clear()
        summarizer.summarize([AnswerPair(prompt="", base=base, other=f"rain {model}") for base in bases])
        return sum(read)

    sharing, whole = HFSummarizer(folder, instruction=asked), HFSummarizer(folder, instruction=asked, prefix_bytes=0)
    for summarizer in (sharing, whole):
        summarizer._loaded().base_model.register_forward_pre_hook(
            lambda module, args, kwargs: read.append(kwargs["input_ids"].numel()), with_kwargs=True
        )
    counts = {model: (n_read(sharing, model), n_read(whole, model)) for model in range(3)}
    assert counts[0][0] <= 1.1 * counts[0][1], "the first time all is read, the prefixes before the rest"
    assert counts[1][0] < 0.4 * counts[1][1]
    assert counts[2][0] < 0.4 * counts[2][1]


def test_a_row_is_the_same_to_the_last_bit_whatever_was_asked_before(folder: Path) -> None:
    asked = [pairs(model) for model in range(3)]
    fresh = [HFSummarizer(folder).summarize(some).embeddings for some in asked]
    used = HFSummarizer(folder)
    used.summarize([*asked[2][:2], *asked[0][3:]])
    for some, expected in zip(asked, fresh, strict=True):
        assert np.array_equal(used.summarize(some).embeddings, expected)


def test_prefixes_that_do_not_all_fit_are_not_used(folder: Path) -> None:
    small, whole = HFSummarizer(folder, prefix_bytes=5000), HFSummarizer(folder, prefix_bytes=0)
    assert np.array_equal(small.summarize(pairs(0)).embeddings, whole.summarize(pairs(0)).embeddings)
    assert small._prefixes.n_bytes == 0


def test_a_token_across_the_border_is_the_rows_own(folder: Path) -> None:
    """What follows the prefix may merge with its last token: the row's own tokens count."""
    asked = Instruction(name="t", compare="{a} the{b}", write="{word} {prompt}", meaning="{word}")
    sharing, whole = HFSummarizer(folder, instruction=asked), HFSummarizer(folder, instruction=asked, prefix_bytes=0)
    for others in (["se", "re", " sun"], ["re", " sun", "se"], ["n", "se", "re"], ["m", "", "x"]):
        asks = [AnswerPair(prompt="", base="over", other=other) for other in others]
        got, expected = sharing.summarize(asks), whole.summarize(asks)
        np.testing.assert_allclose(got.embeddings, expected.embeddings, rtol=0, atol=1e-5)


def test_memory_is_bounded_and_the_oldest_go_first() -> None:
    def layers(n: int) -> Any:
        return ((torch.zeros(2, n, 4), torch.zeros(2, n, 4)),)  # 64 n bytes

    cache = PrefixCache(64 * 10)
    assert cache.fits(640)
    assert not cache.fits(641)
    cache.keep("a", range(4), layers(4))
    cache.keep("b", range(4), layers(4))
    assert cache.missing(["c", "a", "c"]) == ["c"]
    cache.keep("c", range(4), layers(4))
    assert cache.n_bytes == 64 * 8
    assert cache.find("b", range(9)) is None
    assert cache.find("a", [0, 1, 7]) is not None
    assert cache.find("a", [0, 1, 7])[0][0].shape == (2, 2, 4)  # type: ignore[index]
    assert cache.find("a", [5, 1]) is None
    assert cache.find("a", range(4))[0][0].shape == (2, 3, 4)  # type: ignore[index] - the last token is always read
    cache.keep("d", range(20), layers(20))
    assert cache.n_bytes == 0


def test_nothing_is_shared_where_the_cache_is_of_another_kind(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(causal, "prefix_states", lambda *_: None)
    sharing, whole = HFSummarizer(folder), HFSummarizer(folder, prefix_bytes=0)
    for model in range(3):
        assert np.array_equal(sharing.summarize(pairs(model)).embeddings, whole.summarize(pairs(model)).embeddings)
    assert not sharing._prefixes.supported


def test_shared_length() -> None:
    assert shared_length([], [1]) == 0
    assert shared_length([1, 2], [1, 2]) == 2
    assert shared_length([1, 2, 3], [1, 9, 3]) == 1
