from __future__ import annotations

import pytest

from xpert.summarizers.words import best_candidates, clean_word, leading_word, starts_word


@pytest.mark.parametrize(
    ("text", "word"),
    [
        (" Poetic", "poetic"),
        ("laid-back", "laid-back"),
        ("Höflich", "höflich"),
        ("ДРУЖЕЛЮБНЫЙ", "дружелюбный"),
        ("正式", "正式"),
        ("雅", "雅"),
        ("औपचारिक", "औपचारिक"),
        ("the", None),
        ("", None),
        ("  ", None),
        ("a", None),
        ("3rd", None),
        ("don't", None),
        ("-warm", None),
        ("warm-", None),
        ("\ufffd", None),
        ("two words", None),
    ],
)
def test_clean_word(text: str, word: str | None) -> None:
    assert clean_word(text) == word


@pytest.mark.parametrize(
    ("text", "yes"),
    [
        (" fri", True),
        ("fri", True),
        ("\ufffd", True),
        ("'s", False),
        (" ", False),
        ("1a", False),
        ("-", False),
        ("a b", False),
    ],
)
def test_starts_word(text: str, yes: bool) -> None:
    assert starts_word(text) is yes


def test_leading_word() -> None:
    assert leading_word("\n warm.") == ("warm", True)
    assert leading_word("laid-") == ("laid-", False)
    assert leading_word("正式的") == ("正式的", False)


def test_ties_are_alphabetical() -> None:
    got = best_candidates({"warm": 0.4, "cold": 0.3, "bold": 0.3}, 3)
    assert [(c.word, c.score) for c in got] == [("warm", 0.4), ("bold", 0.3), ("cold", 0.3)]
    assert len(best_candidates({"a": 1.0, "b": 1.0}, 1)) == 1
