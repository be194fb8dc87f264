from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xpert.measured import MEASURED, measure, quantities
from xpert.types import AnswerPair


def row(base: str, other: str) -> dict[str, float]:
    values = measure([AnswerPair(prompt="p", base=base, other=other)])[0]
    return dict(zip(MEASURED, values.tolist(), strict=True))


def test_length_is_the_log_ratio_of_words() -> None:
    assert row("one two three", "a b c d e f g")["longer"] == pytest.approx(math.log(8 / 4))
    assert row("a b c d e f g", "one two three")["longer"] == pytest.approx(-math.log(8 / 4))


def test_sentence_length() -> None:
    got = row("One two. Three four.", "One two three four five six seven eight.")
    assert got["longer sentences"] == pytest.approx(math.log(9 / 3))


def test_word_length() -> None:
    assert row("go on", "continuing thereafter")["longer words"] == pytest.approx(math.log(11 / 3))


@pytest.mark.parametrize("bullet", ["- ", "* ", "• ", "1. ", "12) ", "a) "])
def test_list_lines(bullet: str) -> None:
    assert row("First.\nSecond.", f"First:\n{bullet}one\n{bullet}two\nEnd.")["more lists"] == pytest.approx(0.5)


def test_a_dash_inside_a_line_or_a_number_is_no_list() -> None:
    assert row("x", "It is - well - 3. That is all.\n1984 was long ago.")["more lists"] == 0


def test_digits() -> None:
    assert row("none here", "in 1984 and 2001")["more digits"] == pytest.approx(0.5)


def test_marks_count_sentences_not_signs() -> None:
    got = row("Yes. No.", "Wow!!! Really?! Well. Who knows?")
    assert got["more exclamations"] == pytest.approx(0.25)
    assert got["more questions"] == pytest.approx(0.5)


def test_a_mark_followed_by_a_closing_quote_or_markup_ends_a_sentence() -> None:
    assert row("x", 'He said "Stop!" Then **go!** Fine.')["more exclamations"] == pytest.approx(1 - 1 / 3)


def test_a_point_inside_a_number_ends_nothing() -> None:
    assert quantities("It costs 3.50 now")[1] == pytest.approx(math.log1p(5))


def test_chinese_characters_count_as_words() -> None:
    assert row("雪", "雪是凍水。是。")["longer"] == pytest.approx(math.log(6 / 2))


def test_empty_texts_are_zero() -> None:
    assert quantities("") == (0.0,) * len(MEASURED)
    assert measure([]).shape == (0, len(MEASURED))
    assert not measure([AnswerPair(prompt="", base="", other="")]).any()


@given(st.text(max_size=200), st.text(max_size=200))
def test_bounded_finite_and_antisymmetric(a: str, b: str) -> None:
    there = measure([AnswerPair(prompt="", base=a, other=b)])[0]
    back = measure([AnswerPair(prompt="", base=b, other=a)])[0]
    assert there.dtype == np.float32
    assert np.isfinite(there).all()
    assert (np.abs(there[:3]) <= 3).all()
    assert (np.abs(there[3:]) <= 1).all()
    np.testing.assert_allclose(there, -back, atol=1e-6)


def test_extreme_lengths_are_cut_off() -> None:
    assert row("", "word " * 5000)["longer"] == 3.0


def test_order_of_sentences_changes_nothing() -> None:
    a, b = "Short one. Is it a longer one, then? Yes!", "Yes! Short one. Is it a longer one, then?"
    np.testing.assert_allclose(quantities(a), quantities(b))
