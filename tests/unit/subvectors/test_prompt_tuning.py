from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from xpert.errors import SettingsError, TrainingError
from xpert.subvectors.prompt_tuning import (
    TuningSettings,
    cosine_distances,
    draw_samples,
    predicted,
    resized,
    tune_prompt,
)
from xpert.summarizers.hf import HFSummarizer
from xpert.testing import FakeSummarizer
from xpert.types import Array

WORDS = ["warm", "formal", "poetic", "concise", "expert", "playful", "friendly", "dry", "bold", "kind"]
HELD_OUT = ["lyrical", "brief", "cold"]
QUICK = TuningSettings(n_tokens=8, steps=60, lr=0.01, warmup=5, batch_size=8)


@pytest.fixture(scope="module")
def llm(tiny_summarizer: Path) -> HFSummarizer:
    return HFSummarizer(tiny_summarizer)


def planted(llm: HFSummarizer, words: list[str]) -> tuple[Array, Array]:
    """Sub-vectors that a prompt near the text gives, and their null."""
    space, generator = llm.prompt_space(), torch.Generator().manual_seed(3)
    parts = resized(*space.text_embeddings(), QUICK.n_tokens)
    prompt = [part + 0.02 * torch.randn(part.shape, generator=generator) for part in parts]
    with torch.no_grad():
        rows = space.hidden(prompt[0], space.word_embeddings(words), prompt[1]).numpy()
        middle = space.hidden(prompt[0], space.word_embeddings([*WORDS, *HELD_OUT]), prompt[1]).numpy().mean(axis=0)
    return rows - middle, middle


def test_a_planted_prompt_is_found_and_holds_for_words_it_never_saw(llm: HFSummarizer) -> None:
    targets, null = planted(llm, WORDS)
    unseen, _ = planted(llm, HELD_OUT)
    before = {name: weight.clone() for name, weight in llm._model.state_dict().items()}
    tuned = tune_prompt(llm, WORDS, targets, null=null, settings=QUICK, validation=(HELD_OUT, unseen))
    figures = tuned.training
    assert figures.last_loss < 0.2 * figures.first_loss
    assert figures.validation_loss is not None
    assert figures.validation_loss < 0.3 * figures.first_loss
    rows = predicted(llm.prompt_space(), tuned, HELD_OUT) - null
    assert cosine_distances(rows, unseen).mean() == pytest.approx(figures.validation_loss, abs=1e-5)
    lengths = np.linalg.norm(rows, axis=1) / np.linalg.norm(unseen, axis=1)
    assert np.abs(np.log(lengths)).max() < 0.3
    assert tuned.n_tokens == QUICK.n_tokens
    assert all(torch.equal(weight, before[name]) for name, weight in llm._model.state_dict().items())


def test_two_runs_with_one_seed_agree_and_another_seed_does_not(llm: HFSummarizer) -> None:
    targets, null = planted(llm, WORDS)
    few = TuningSettings(n_tokens=4, steps=5, batch_size=3)
    first, again = (tune_prompt(llm, WORDS, targets, null=null, settings=few) for _ in range(2))
    other = tune_prompt(
        llm, WORDS, targets, null=null, settings=TuningSettings(n_tokens=4, steps=5, batch_size=3, seed=1)
    )
    assert np.array_equal(first.prefix, again.prefix)
    assert np.array_equal(first.suffix, again.suffix)
    assert not np.array_equal(first.prefix, other.prefix)


@pytest.mark.parametrize("n", [2, 3, 6, 7, 25, 50])
def test_the_text_is_stretched_in_its_order_and_its_split(n: int) -> None:
    prefix, suffix = resized(torch.arange(4.0)[:, None], 10 + torch.arange(2.0)[:, None], n)
    assert len(prefix) + len(suffix) == n
    assert min(len(prefix), len(suffix)) >= 1
    assert prefix[:, 0].tolist() == sorted(prefix[:, 0].tolist())
    assert abs(len(suffix) - n / 3) <= 1
    counts = Counter(prefix[:, 0].tolist()).values()
    assert max(counts) - min(counts) <= 1
    if n == 6:
        assert prefix[:, 0].tolist() == [0, 1, 2, 3]
        assert suffix[:, 0].tolist() == [10, 11]


def test_samples_are_spread_over_the_words_and_made_of_their_own_pairs() -> None:
    rng = np.random.default_rng(0)
    rows = (100 * np.arange(5)[:, None, None] + rng.normal(size=(5, 12, 3))).astype(np.float32)
    null = np.ones(3, np.float32)
    words, targets = draw_samples(WORDS[:5], rows, null, n_samples=13, n_pairs=6, seed=1)
    assert sorted(Counter(words).values()) == [2, 2, 3, 3, 3]
    places = [WORDS.index(word) for word in words]
    assert np.abs(targets.mean(axis=1) - (100 * np.array(places) - 1)).max() < 2
    assert len(np.unique(targets, axis=0)) == 13, "two samples of a word have different pairs"
    again = draw_samples(WORDS[:5], rows, null, n_samples=13, n_pairs=6, seed=1)
    assert again[0] == words
    assert np.array_equal(again[1], targets)


def test_a_sample_of_all_pairs_is_the_words_sub_vector() -> None:
    rows = np.random.default_rng(0).normal(size=(3, 8, 4)).astype(np.float32)
    null = np.full(4, 0.5, np.float32)
    words, targets = draw_samples(WORDS[:3], rows, null, n_samples=3, n_pairs=8)
    expected = rows.mean(axis=1) - null
    np.testing.assert_allclose(targets, expected[[WORDS.index(word) for word in words]], atol=1e-6)


def test_wrong_data(llm: HFSummarizer) -> None:
    null = np.zeros(48, np.float32)
    rows = np.ones((2, 48), np.float32)
    with pytest.raises(SettingsError, match=r"\(2, 48\), got \(2, 47\)"):
        tune_prompt(llm, WORDS[:2], rows[:, 1:], null=null)
    with pytest.raises(SettingsError, match="finite rows other than zero"):
        tune_prompt(llm, WORDS[:2], 0 * rows, null=null)
    with pytest.raises(SettingsError, match="takes no input embeddings"):
        tune_prompt(FakeSummarizer(), WORDS[:2], rows, null=null)
    with pytest.raises(SettingsError, match="24 pairs or more"):
        draw_samples(WORDS[:2], rows[:, None], null, n_samples=3)


def test_a_loss_that_is_not_finite(llm: HFSummarizer, monkeypatch: pytest.MonkeyPatch) -> None:
    space = llm.prompt_space()
    real = space.hidden
    monkeypatch.setattr(space, "hidden", lambda *parts: real(*parts) * float("nan"))
    with pytest.raises(TrainingError, match="step 1: lower lr"):
        tune_prompt(llm, WORDS[:2], np.ones((2, 48), np.float32), null=np.zeros(48, np.float32))


@pytest.mark.parametrize(
    "option", [{"n_tokens": 1}, {"steps": 0}, {"lr": 0.0}, {"batch_size": 0}, {"length_weight": -1.0}]
)
def test_options_out_of_range(option: dict[str, float]) -> None:
    with pytest.raises(SettingsError, match=next(iter(option))):
        TuningSettings(**option)  # pyright: ignore
