from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from xpert.baselines.bounds import OracleBaseline, RandomBaseline
from xpert.baselines.encoder_similarity import EncoderSimilarityBaseline
from xpert.errors import SettingsError
from xpert.references import describe
from xpert.registry import BASELINES
from xpert.testing.checks_selection import check_costed_method
from xpert.types import Array, Example

MINE = [Example(prompt=f"q{i}", response=f"a b b{i}") for i in range(6)]


class Letters:
    """An encoder of tests: how many of the letters a, b and c; counts what it encodes."""

    def __init__(self) -> None:
        self.encoded = 0

    def encode(self, texts: Sequence[str]) -> Array:
        self.encoded += len(texts)
        return np.array([[text.count(letter) for letter in "abc"] for text in texts], np.float32)


@pytest.fixture
def models(tiny_adapters: dict[str, Path]) -> dict[str, str]:
    return {name: str(path) for name, path in tiny_adapters.items()}


def test_random_draws_every_model_over_seeds(models: dict[str, str]) -> None:
    found = check_costed_method(lambda: RandomBaseline(models, seed=3), MINE, list(models))
    assert (found.cost.inferences, found.cost.readings, found.cost.models) == (0, 0, 1)
    assert found.cost.downloaded_bytes == describe(models[found.selection.best]).bytes
    assert {RandomBaseline(models, seed=seed).select(MINE).best for seed in range(20)} == set(models)


def test_the_oracle_is_right(models: dict[str, str]) -> None:
    for name in models:
        check_costed_method(lambda name=name: OracleBaseline(models, name), MINE, list(models), expected=name)
    with pytest.raises(SettingsError, match="right: expected one of tutor, poet, clerk, got 'cook'"):
        OracleBaseline(models, "cook")


def test_similarity_finds_the_model_with_the_users_letters(models: dict[str, str]) -> None:
    texts = {"tutor": ["a a a"], "poet": ["a b b", "b b a"], "clerk": ["c", "c c"]}
    found = check_costed_method(
        lambda: EncoderSimilarityBaseline(models, texts, Letters()), MINE, list(models), expected="poet"
    )
    assert found.cost.readings == len(MINE)
    assert found.cost.downloaded_bytes == 3 * 3 * 4 + describe(models["poet"]).bytes
    assert found.selection.ranking[0][1] == pytest.approx(0.0, abs=1e-6)


def test_similarity_relative_to_the_base_sees_what_the_base_hides(models: dict[str, str]) -> None:
    base = ["c" * 50]
    texts = {"tutor": ["c" * 50 + "a"], "poet": ["c" * 49 + "bb"], "clerk": ["c" * 52]}
    mine = [Example(prompt="q", response="c" * 40 + "a"), Example(prompt="q", response="c" * 30 + "a")]
    said = ["c" * 40, "c" * 30]
    encoder = Letters()
    method = EncoderSimilarityBaseline(models, texts, encoder, base_texts=base)
    found = check_costed_method(lambda: method, mine, list(models), base_answers=said, expected="tutor")
    assert found.cost.readings == len(mine) + len(said)
    assert method.select(mine).best == "poet"  # unpaired, the user's shorter texts look like another style


def test_similarity_wants_texts_of_every_model(models: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match="of each model"):
        EncoderSimilarityBaseline(models, {"tutor": ["a"], "poet": ["b"], "clerk": []}, Letters())
    with pytest.raises(SettingsError, match="of each model"):
        EncoderSimilarityBaseline(models, {"tutor": ["a"]}, Letters())
    texts = {name: ["a"] for name in models}
    with pytest.raises(SettingsError, match="base_texts"):
        EncoderSimilarityBaseline(models, texts, Letters(), base_texts=[])


def test_the_registry_names_them() -> None:
    named = [BASELINES.get(name) for name in ("encoder-similarity", "random", "oracle")]
    assert named == [EncoderSimilarityBaseline, RandomBaseline, OracleBaseline]
