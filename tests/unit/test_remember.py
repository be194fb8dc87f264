"""What is cached is found again, what differs is not, and what says nothing of itself is never cached."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from xpert.cache import Cache
from xpert.protocols import SubvectorContext
from xpert.remember import CachedSubvectors, CachedSummaries, answers_key, fingerprint_of, remembered_source
from xpert.subvectors.contrastive import ContrastiveSubvectors
from xpert.subvectors.described import DescribedSubvectors
from xpert.testing.fakes import FakeSummarizer, FakeWriter, fake_text
from xpert.types import AnswerPair, Array, Generation, Summary

PROMPTS = tuple(f"question {i}" for i in range(4))
PAIRS = [AnswerPair(prompt=p, base=fake_text(p), other=fake_text(p, "poetic")) for p in PROMPTS]


class Counting(FakeSummarizer):
    """Says what it is, and counts."""

    def __init__(self, fingerprint: str | None = "one") -> None:
        super().__init__()
        self.calls = 0
        if fingerprint is not None:
            self.fingerprint = fingerprint

    def summarize(self, pairs: Sequence[AnswerPair], *, n_candidates: int = 0) -> Summary:
        self.calls += 1
        return super().summarize(pairs, n_candidates=n_candidates)


def test_summaries_are_computed_once_for_the_same_question(tmp_path: Path) -> None:
    asked = Counting()
    first = CachedSummaries(asked, Cache(tmp_path)).summarize(PAIRS, n_candidates=3)
    again = CachedSummaries(asked, Cache(tmp_path)).summarize(PAIRS, n_candidates=3)
    assert asked.calls == 1
    np.testing.assert_array_equal(first.embeddings, again.embeddings)
    assert first.candidates == again.candidates
    CachedSummaries(asked, Cache(tmp_path)).summarize(PAIRS, n_candidates=2)
    CachedSummaries(asked, Cache(tmp_path)).summarize(PAIRS[::-1], n_candidates=3)
    CachedSummaries(asked, Cache(tmp_path)).summarize([replace(PAIRS[0], base="x"), *PAIRS[1:]], n_candidates=3)
    assert asked.calls == 4
    other = Counting("two")
    CachedSummaries(other, Cache(tmp_path)).summarize(PAIRS, n_candidates=3)
    assert other.calls == 1


def test_a_summarizer_that_says_nothing_of_itself_is_never_cached(tmp_path: Path) -> None:
    asked = Counting(None)
    for _ in range(2):
        CachedSummaries(asked, Cache(tmp_path / "c")).summarize(PAIRS)
    assert asked.calls == 2
    assert not (tmp_path / "c").exists()
    assert fingerprint_of(asked) is None


def test_rows_that_are_not_finite_are_not_kept(tmp_path: Path) -> None:
    class Broken(Counting):
        def summarize(self, pairs: Sequence[AnswerPair], *, n_candidates: int = 0) -> Summary:
            summary = super().summarize(pairs, n_candidates=n_candidates)
            return replace(summary, embeddings=summary.embeddings * np.float32(np.nan))

    CachedSummaries(Broken(), Cache(tmp_path / "c")).summarize(PAIRS)
    assert not (tmp_path / "c").exists()


class Source:
    """A word's row is its letters; what was asked for is noted."""

    name = "letters"
    fingerprint = "letters 1"

    def __init__(self) -> None:
        self.asked: list[list[str]] = []

    def vectors(self, words: Sequence[str], context: SubvectorContext) -> Array:
        self.asked.append(list(words))
        rows = [[float(word.count(letter)) for letter in "aeiou"] for word in words]
        return np.array(rows, np.float32).reshape(len(words), 5)


def context(**changes: object) -> SubvectorContext:
    made = SubvectorContext(
        summarizer=FakeSummarizer(), prompts=PROMPTS, base_answers=PROMPTS, null=np.zeros(5, np.float32), seed=0
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def cached(source: Source, folder: Path) -> CachedSubvectors:
    return CachedSubvectors(source, Cache(folder), source_says=source.fingerprint, summarizer_says="s")


def test_sub_vectors_are_kept_a_word_each(tmp_path: Path) -> None:
    source = Source()
    kept = cached(source, tmp_path)
    first = kept.vectors(["warm", "cool"], context())
    both = kept.vectors(["formal", "warm", "warm", "cool"], context())
    assert source.asked == [["warm", "cool"], ["formal"]]
    np.testing.assert_array_equal(both[[1, 3]], first)
    np.testing.assert_array_equal(both[1], both[2])
    assert kept.vectors([], context()).shape == (0, 5)
    for other in (
        context(seed=1),
        context(null=np.ones(5, np.float32)),
        context(prompts=PROMPTS[::-1]),
        context(base_answers=("x",) * 4),
    ):
        kept.vectors(["warm"], other)
    assert source.asked[3:] == [["warm"]] * 4


def test_words_that_were_computed_together_count_only_together(tmp_path: Path) -> None:
    source = Source()
    cached(source, tmp_path).vectors(["warm", "cool", "dry"], context())
    next((tmp_path / "subvectors").rglob("*.safetensors")).unlink()  # as if the run had been killed before the last one
    cached(source, tmp_path).vectors(["warm", "cool", "dry"], context())
    assert source.asked == [["warm", "cool", "dry"]] * 2
    broken = next((tmp_path / "subvectors").rglob("*.safetensors"))
    broken.write_bytes(broken.read_bytes()[:-1])
    cached(source, tmp_path).vectors(["warm", "cool", "dry"], context())
    assert source.asked == [["warm", "cool", "dry"]] * 3


def test_which_sources_can_be_cached(tmp_path: Path) -> None:
    says, silent, cache = Counting(), Counting(None), Cache(tmp_path)
    own, foreign = ContrastiveSubvectors(), ContrastiveSubvectors(FakeWriter())
    assert isinstance(remembered_source(own, says, cache), CachedSubvectors)
    assert remembered_source(own, silent, cache) is own
    assert remembered_source(own, says, None) is own
    assert remembered_source(foreign, says, cache) is foreign
    settings = [ContrastiveSubvectors(n_prompts=3), own, DescribedSubvectors(), DescribedSubvectors(n_texts=1)]
    settings.append(DescribedSubvectors(["a", "b"]))
    assert len({source.fingerprint for source in settings}) == len(settings)


@pytest.mark.parametrize("change", ["model", "modality", "prompts", "seed", "length", "second"])
def test_answers_are_found_by_all_that_they_depend_on(change: str) -> None:
    def key(**given: object) -> str:
        parts = {
            "fingerprint": "f",
            "modality": "text",
            "prompts": PROMPTS,
            "generation": Generation(),
            "second": False,
        }
        return answers_key(**(parts | given))  # type: ignore[arg-type]

    changed = {
        "model": {"fingerprint": "g"},
        "modality": {"modality": "image"},
        "prompts": {"prompts": PROMPTS[::-1]},
        "seed": {"generation": Generation(seed=1)},
        "length": {"generation": Generation(max_new_tokens=9)},
        "second": {"second": True},
    }
    assert key() != key(**changed[change])
    assert key() == key(generation=Generation(batch_size=3))
