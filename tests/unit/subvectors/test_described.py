from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from xpert.errors import SettingsError, SummarizerError
from xpert.protocols import SubvectorContext
from xpert.subvectors.described import CARRIERS, DescribedSubvectors
from xpert.testing import FAKE_STYLES, FakeSummarizer, fake_text
from xpert.types import Array

PROMPTS = [f"question number {i} is asked" for i in range(6)]


class Counting(FakeSummarizer):
    """Counts the texts that it encodes."""

    encoded = 0

    def encode(self, texts: Any) -> Array:
        self.encoded += len(texts)
        return super().encode(texts)


def context(summarizer: Any) -> SubvectorContext:
    return SubvectorContext(
        summarizer=summarizer,
        prompts=PROMPTS,
        base_answers=[fake_text(p) for p in PROMPTS],
        null=np.zeros(summarizer.width, np.float32),
    )


def cosine(a: Array, b: Array) -> float:
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


@pytest.mark.parametrize("n_texts", [0, 3])
def test_planted_directions_are_recovered(n_texts: int) -> None:
    fake = FakeSummarizer(seed=5)
    words = list(FAKE_STYLES)
    rows = DescribedSubvectors(words, n_texts=n_texts).vectors(words, context(fake))
    planted = fake.encode([" ".join(markers) for markers in FAKE_STYLES.values()])
    planted = planted - planted.mean(axis=0)
    assert all(cosine(row, truth) > 0.95 for row, truth in zip(rows, planted, strict=True))
    np.testing.assert_allclose(rows.sum(axis=0), 0, atol=1e-6)


def test_rows_are_the_mean_over_texts_relative_to_the_mean_over_words() -> None:
    fake = FakeSummarizer()
    ctx = context(fake)
    source = DescribedSubvectors(["warm", "formal", "odd"], n_texts=2, max_words=5, carriers=["{word}:", "so {word},"])
    cut = [" ".join(answer.split()[:5]) for answer in ctx.base_answers[:2]]
    raw = {
        w: np.mean(
            [fake.encode([f"{c.format(word=w)} {t}"])[0] for t in cut for c in ("{word}:", "so {word},")], axis=0
        )
        for w in ("warm", "formal", "odd", "poetic")
    }
    mean = (raw["warm"] + raw["formal"] + raw["odd"]) / 3
    got = source.vectors(["formal", "poetic"], ctx)
    np.testing.assert_allclose(got, np.stack([raw["formal"] - mean, raw["poetic"] - mean]), atol=1e-6)


def test_a_row_does_not_depend_on_the_words_asked_with_it() -> None:
    fake = FakeSummarizer()
    together = DescribedSubvectors().vectors(["friendly", "formal", "unheard"], context(fake))
    apart = DescribedSubvectors()
    for word, row in zip(["unheard", "formal", "friendly"], together[::-1], strict=True):
        np.testing.assert_allclose(apart.vectors([word], context(fake))[0], row, atol=1e-6)


def test_the_list_is_encoded_once() -> None:
    fake = Counting()
    source = DescribedSubvectors()
    source.vectors(["friendly"], context(fake))
    first = fake.encoded
    assert first == len(fake.words) * len(CARRIERS)
    source.vectors(["formal", "friendly", "poetic"], context(fake))
    assert fake.encoded == first
    source.vectors(["unheard", "unheard"], context(fake))
    assert fake.encoded == first + len(CARRIERS)


def test_a_summarizer_that_cannot_encode() -> None:
    class Bare:
        name, width = "bare:1", 4

    with pytest.raises(SummarizerError, match="bare:1 is none"):
        DescribedSubvectors().vectors(["warm"], context(Bare()))


def test_no_list_of_words() -> None:
    class Wordless(FakeSummarizer):
        words = ()  # pyright: ignore[reportAssignmentType]

    with pytest.raises(SummarizerError, match="words="):
        DescribedSubvectors().vectors(["warm"], context(Wordless()))
    assert DescribedSubvectors(["warm", "formal"]).vectors(["warm"], context(Wordless())).shape == (1, 24)


@pytest.mark.parametrize("options", [{"n_texts": -1}, {"max_words": 0}, {"carriers": []}, {"carriers": ["no place"]}])
def test_options_out_of_range(options: dict[str, Any]) -> None:
    with pytest.raises(SettingsError):
        DescribedSubvectors(**options)
