from __future__ import annotations

import sys

import pytest

from xpert.errors import DataError, MissingDependencyError
from xpert.evaluation.scores import bleu, rouge, score_difference, score_texts

WRITTEN = [
    "The river rises in the mountains and falls into the sea.",
    "Bread is made of flour, water, salt and a little yeast.",
    "A clock tells the hours, and a calendar tells the days.",
    "Nobody knows for certain why the old bridge fell down.",
]
SAID = [
    "The river rises in the hills and falls into the sea.",
    "Bread is made from flour and water.",
    "A clock tells the time, and a calendar tells the days of a year.",
    "It fell down.",
]


@pytest.fixture(autouse=True)
def _packages() -> None:
    for package in ("sacrebleu", "rouge_score"):
        pytest.importorskip(package, reason="needs the extra 'eval'")


def test_bleu_is_that_of_sacrebleu() -> None:
    from sacrebleu.metrics.bleu import BLEU

    assert bleu(SAID, WRITTEN) == pytest.approx(BLEU().corpus_score(SAID, [WRITTEN]).score)
    assert bleu(WRITTEN, WRITTEN) == pytest.approx(100)
    assert bleu(["nothing alike"], [WRITTEN[0]]) == 0


def test_rouge_by_hand() -> None:
    found = rouge(["the sea and the river"], ["the river and the sea"])
    assert found["rouge-1"] == pytest.approx(100)
    assert found["rouge-L"] == pytest.approx(100 * 3 / 5)
    assert rouge(["a b", "c d"], ["a b", "x y"])["rouge-1"] == pytest.approx(50)


def test_intervals_are_about_the_score_of_all_texts() -> None:
    found = score_texts(SAID, WRITTEN)
    assert found.bleu.mean == pytest.approx(bleu(SAID, WRITTEN))
    assert found.rouge_l.mean == pytest.approx(rouge(SAID, WRITTEN)["rouge-L"])
    for one in (found.bleu, found.rouge_1, found.rouge_l):
        assert one.low < one.mean < one.high
        assert one.n == 4
    assert score_texts(SAID, WRITTEN, seed=1) == score_texts(SAID, WRITTEN, seed=1)


def test_repeats_of_a_text_are_no_further_texts() -> None:
    once = score_texts(SAID, WRITTEN)
    often = score_texts(SAID * 5, WRITTEN * 5, groups=list(range(4)) * 5)
    assert often.bleu.n == 4
    assert often.bleu.mean == pytest.approx(once.bleu.mean)
    assert (often.rouge_1.low, often.rouge_1.high) == pytest.approx((once.rouge_1.low, once.rouge_1.high))
    alone = score_texts(SAID * 5, WRITTEN * 5)
    assert alone.rouge_1.high - alone.rouge_1.low < once.rouge_1.high - once.rouge_1.low


def test_differences_are_drawn_alike() -> None:
    same = score_difference(SAID, SAID, WRITTEN)
    assert (same.bleu.low, same.bleu.mean, same.bleu.high) == (0, 0, 0)
    better = score_difference(WRITTEN, SAID, WRITTEN)
    assert better.bleu.mean == pytest.approx(100 - bleu(SAID, WRITTEN))
    assert better.rouge_1.low > 0
    assert set(better.to_dict()) == {"bleu", "rouge_1", "rouge_l"}


@pytest.mark.parametrize(("answers", "references"), [([], []), (["a"], ["a", "b"])])
def test_each_text_needs_a_reference(answers: list[str], references: list[str]) -> None:
    for score in (bleu, rouge, score_texts):
        with pytest.raises(DataError, match="a reference for each"):
            score(answers, references)
    with pytest.raises(DataError, match="one a text, got 1 for 4"):
        score_texts(SAID, WRITTEN, groups=["a"])


@pytest.mark.parametrize(
    ("module", "package", "score"), [("sacrebleu", "sacrebleu", bleu), ("rouge_score", "rouge-score", rouge)]
)
def test_what_is_missing_is_named(module: str, package: str, score: object, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [known for known in sys.modules if known.split(".")[0] == module]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingDependencyError, match=rf"needs {package}, .*xpert\[eval\]"):
        score(SAID, WRITTEN)  # pyright: ignore[reportCallIssue]
