from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from xpert.errors import SettingsError, SummarizerError
from xpert.protocols import SubvectorContext
from xpert.subvectors.contrastive import ContrastiveSubvectors
from xpert.testing import FAKE_STYLES, FakeSummarizer, FakeWriter, fake_text
from xpert.types import AnswerPair, Array

PROMPTS = [f"question number {i} is asked" for i in range(12)]


class CountingWriter(FakeWriter):
    """Remembers what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, int, int]] = []

    def write(self, word: str, prompts: Sequence[str], *, seed: int = 0) -> list[str]:
        self.asked.append((word, len(prompts), seed))
        return super().write(word, prompts, seed=seed)


def context(summarizer: Any, *, null: Array | None = None, seed: int = 0) -> SubvectorContext:
    return SubvectorContext(
        summarizer=summarizer,
        prompts=PROMPTS,
        base_answers=[fake_text(p) for p in PROMPTS],
        null=np.zeros(summarizer.width, np.float32) if null is None else null,
        seed=seed,
    )


def test_planted_directions_are_recovered() -> None:
    fake = FakeSummarizer(seed=2, common=0.0)
    words = list(FAKE_STYLES)
    rows = ContrastiveSubvectors().vectors(words, context(fake))
    planted = fake.encode([" ".join(markers) for markers in FAKE_STYLES.values()])
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    planted = planted / np.linalg.norm(planted, axis=1, keepdims=True)
    assert (np.diag(rows @ planted.T) > 0.95).all()


def test_a_row_is_the_mean_of_the_pairs_less_the_null() -> None:
    fake = FakeSummarizer()
    null = np.arange(fake.width, dtype=np.float32)
    ctx = context(fake, null=null, seed=4)
    pairs = [
        AnswerPair(prompt=p, base=b, other=fake_text(p, "poetic", seed=4))
        for p, b in zip(PROMPTS, ctx.base_answers, strict=True)
    ]
    expected = fake.summarize(pairs).embeddings.mean(axis=0) - null
    np.testing.assert_allclose(ContrastiveSubvectors().vectors(["poetic"], ctx)[0], expected, atol=1e-5)


def test_words_are_written_once_a_context_with_its_seed() -> None:
    fake, writer = FakeSummarizer(), CountingWriter()
    source = ContrastiveSubvectors(writer, n_prompts=5)
    first = source.vectors(["warm", "formal", "warm"], context(fake))
    again = source.vectors(["formal", "warm"], context(fake))
    assert writer.asked == [("warm", 5, 0), ("formal", 5, 0)]
    assert np.array_equal(first[:2], again[::-1])
    assert np.array_equal(first[0], first[2])
    source.vectors(["warm"], context(fake, seed=1))
    assert writer.asked[2:] == [("warm", 5, 1)]


def test_nobody_can_write() -> None:
    class Mute:
        name, width, instruction = "mute:1", 4, "?"

    with pytest.raises(SummarizerError, match="mute:1 cannot write"):
        ContrastiveSubvectors().vectors(["warm"], context(Mute()))


def test_options_out_of_range() -> None:
    with pytest.raises(SettingsError, match="n_prompts"):
        ContrastiveSubvectors(n_prompts=0)
