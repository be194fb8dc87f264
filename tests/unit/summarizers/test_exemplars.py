from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from xpert.errors import WeightsError
from xpert.summarizers.exemplars import Exemplars, load_exemplars, shipped_exemplars
from xpert.types import Candidate

LEARNT = Exemplars(
    words=("plain", "expert", "warm", "cold"),
    aspects=("expertise", "expertise", "tone", "tone"),
    measured=("longer",),
    weights=np.array([[1, -1, 0, 0], [0, 0, 1, -1], [0, 0.5, 0, 0]], np.float32),
    vectors=np.array([[1, 0], [-1, 0], [0, 1], [0, -1]], np.float32),
    encoder="abc",
)


def said(hidden: list[float], longer: float = 0.0) -> list[tuple[str, float]]:
    ranked = LEARNT.rank(np.array(hidden), np.array([longer]))
    return [(candidate.word, round(candidate.score, 6)) for candidate in ranked]


def test_of_each_aspect_the_strongest_word_is_said_the_strongest_first() -> None:
    assert said([0.2, 0.5]) == [("warm", 1.5), ("plain", 1.2)]
    assert said([-0.9, -0.5]) == [("expert", 1.9), ("cold", 1.5)]


def test_what_is_not_there_is_not_said() -> None:
    assert said([0.0, 0.0]) == []
    assert LEARNT.rank(np.array([0.0, 1.0]), np.zeros(1)) == (Candidate(word="warm", score=2.0),)


def test_measured_quantities_count() -> None:
    assert said([0.1, 0.0], longer=1.0)[0] == ("expert", 1.4)


def test_saved_and_read_back(tmp_path: Path) -> None:
    found = load_exemplars(LEARNT.save(tmp_path / "learnt.safetensors"))
    for name in ("words", "aspects", "measured", "encoder", "digest"):
        assert getattr(found, name) == getattr(LEARNT, name)
    np.testing.assert_array_equal(found.weights, LEARNT.weights)
    np.testing.assert_array_equal(found.of("warm"), [0, 1])
    assert replace(LEARNT, encoder="another").digest != LEARNT.digest


def test_a_missing_a_broken_and_another_file(tmp_path: Path) -> None:
    path = LEARNT.save(tmp_path / "learnt.safetensors")
    with pytest.raises(WeightsError, match="there is no such file"):
        load_exemplars(tmp_path / "none.safetensors")
    (tmp_path / "broken.safetensors").write_bytes(path.read_bytes()[:-9])
    with pytest.raises(WeightsError, match="truncated"):
        load_exemplars(tmp_path / "broken.safetensors")
    save_file(load_file(path), tmp_path / "other.safetensors")
    with pytest.raises(WeightsError, match="of version 1"):
        load_exemplars(tmp_path / "other.safetensors")
    for wrong, said in (
        (replace(LEARNT, aspects=("tone",)), "do not fit"),
        (replace(LEARNT, weights=LEARNT.weights[:2]), "do not fit"),
        (replace(LEARNT, vectors=LEARNT.vectors * np.float32("nan")), "finite"),
    ):
        with pytest.raises(WeightsError, match=said):
            load_exemplars(wrong.save(tmp_path / "wrong.safetensors"))


def test_the_shipped_ones_know_opposites_and_the_length_of_texts() -> None:
    shipped = shipped_exemplars()
    assert shipped.vectors.shape == (13, 384)
    nothing, quantities = np.zeros(384), np.zeros(len(shipped.measured))
    quantities[shipped.measured.index("longer")] = -1.2  # a third of the words
    assert shipped.rank(nothing, quantities)[0].word == "concise"
    assert shipped.rank(nothing, -quantities)[0].word == "informative"
    expert = shipped.rank(shipped.of("expert").astype(np.float64), np.zeros(len(shipped.measured)))
    assert expert[0].word == "expert"
