from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from xpert.errors import DataError
from xpert.evaluation.prompt_tuning import (
    ContrastiveData,
    contrastive_data,
    digest_of,
    held_out_words,
    noise_floor,
    score,
    table,
)
from xpert.evaluation.suite import tuning
from xpert.subvectors.prompt_tuning import TuningSettings
from xpert.summarizers.hf import HFSummarizer
from xpert.summarizers.instructions import Instruction

FAMILIES = {"warm": ("warm", "kind", "cordial"), "brief": ("brief", "short", "terse"), "odd": ("odd", "weird", "queer")}
WORDS = tuple(word for family in FAMILIES.values() for word in family)
SHORT = Instruction(name="t", compare="{a} {b}", write="{word} {prompt}", meaning="What of {word}?", max_new_tokens=6)


def planted(noise: float, *, n_pairs: int = 40, width: int = 48) -> ContrastiveData:
    """Each family has its axis, each word a little of its own; the null is not zero."""
    rng = np.random.default_rng(0)
    null = rng.normal(size=width)
    centres = np.repeat(np.eye(3, width) * 4, 3, axis=0) + np.eye(9, width, k=3) * 0.5
    rows = null + centres[:, None] + noise * rng.normal(size=(9, n_pairs, width))
    return ContrastiveData(
        summarizer="planted", words=WORDS, rows=rows.astype(np.float32), null=null.astype(np.float32)
    )


def test_true_vectors_score_best_and_the_mean_scores_as_the_mean() -> None:
    data, words = planted(0.0), ("kind", "terse")
    exact = score(data.vectors(words), data, words, FAMILIES)
    assert exact["error"] == pytest.approx(0, abs=1e-6)
    assert exact["own_or_synonym"] == 1
    assert exact["length_error"] == pytest.approx(0, abs=1e-6)
    rest = data.without(words)
    mean = np.stack([rest.vectors(rest.words).mean(axis=0)] * 2)
    assert score(mean, data, words, FAMILIES)["error"] == pytest.approx(exact["error_of_mean"], abs=1e-6)
    assert exact["error_of_mean"] > 0.2
    crossed = score(2 * data.vectors(words)[::-1], data, words, FAMILIES)
    assert crossed["own_or_synonym"] == 0
    assert crossed["error"] > 0.9
    assert crossed["length_error"] == pytest.approx(np.log(2), abs=1e-5)


def test_a_synonym_counts_as_found() -> None:
    data = planted(0.0)
    assert score(data.vectors(["cordial"]), data, ["kind"], FAMILIES)["own_or_synonym"] == 1


def test_halves_differ_by_their_noise_alone() -> None:
    assert noise_floor(planted(0.0), WORDS) == pytest.approx(0, abs=1e-6)
    length, noise, n_pairs = float(np.hypot(4, 0.5)), 0.5, 40
    expected = (noise / length) ** 2 * 48 / (n_pairs / 2)  # half the squared angle between two noisy means
    assert noise_floor(planted(noise, n_pairs=n_pairs), WORDS) == pytest.approx(expected, rel=0.25)


def test_held_out_words_are_spread_over_the_families_and_leave_some() -> None:
    drawn = held_out_words(FAMILIES)
    assert [sum(word in family for word in drawn) for family in FAMILIES.values()] == [2, 2, 2]
    assert drawn == held_out_words(FAMILIES)
    assert drawn != held_out_words(FAMILIES, seed=1)
    assert held_out_words({"lonely": ("lonely",), "two": ("two", "pair")}, a_family=9) in {("two",), ("pair",)}


def test_data_is_kept_in_a_file(tmp_path: Path) -> None:
    data = planted(0.3)
    again = ContrastiveData.load(data.save(tmp_path / "d.safetensors"))
    assert (again.summarizer, again.words) == (data.summarizer, data.words)
    assert np.array_equal(again.rows, data.rows)
    assert np.array_equal(again.null, data.null)
    with pytest.raises(DataError, match="'purple'"):
        data.vectors(["purple"])


def test_a_cell_a_row(tiny_summarizer: Path) -> None:
    llm = HFSummarizer(tiny_summarizer, instruction=SHORT)
    data, held_out = planted(0.2), ("kind", "terse")
    with pytest.raises(DataError, match="another summarizer"):
        next(table(llm, data, held_out, FAMILIES))
    own = replace(data, summarizer=digest_of(llm))
    settings = TuningSettings(steps=2, batch_size=4)
    rows = list(table(llm, own, held_out, FAMILIES, tokens=(3, 5), samples=(7, 9), settings=settings))
    assert [(row.n_tokens, row.n_samples) for row in rows] == [(3, 7), (3, 9), (5, 7), (5, 9)]
    assert all(0 < row.error < 2 and row.error_of_mean > 0 and row.seconds > 0 for row in rows)


def test_base_and_summarizer_write_the_data(tiny_summarizer: Path, tiny_base: Path) -> None:
    llm = HFSummarizer(tiny_summarizer, instruction=SHORT)
    data = contrastive_data(llm, str(tiny_base), ["warm", "odd"], n_prompts=3)
    assert data.rows.shape == (2, 3, 48)
    assert data.null.shape == (48,)
    assert data.summarizer == llm.prompt_space().digest
    assert not np.array_equal(data.rows[0], data.rows[1])


def test_errors_are_drawn_a_line_a_number_of_tokens() -> None:
    cells = [(10, 50, 0.3), (10, 100, 0.2), (25, 50, 0.1), (25, 100, 0.05)]
    rows = [{"n_tokens": t, "n_samples": n, "error": error, "error_of_mean": 0.5} for t, n, error in cells]
    chart = tuning._chart(rows)
    assert {line.name: (line.x, line.y) for line in chart.series} == {
        "10 tokens": ([50, 100], [0.3, 0.2]),
        "25 tokens": ([50, 100], [0.1, 0.05]),
        "the mean of all samples": ([50, 100], [0.5, 0.5]),
    }
