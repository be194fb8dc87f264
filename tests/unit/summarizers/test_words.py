from __future__ import annotations

import pytest

from xpert.summarizers.words import WordRules, best_candidates, clean_word, isolated, leading_word, starts_word


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


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("UMGANGSSPRACHLICH", "umgangssprachlich"),
        ("Ärztlich", "ärztlich"),  # a + combining mark is composed
        ("İyi", "iyi"),
        ("ΦΙΛΙΚΟΣ", "φιλικος"),
        ("об'єктивний", "об'єктивний"),
        ("м’який’", "м’який"),  # a closing quotation mark is no part of it
        ("intel·lectual", "intel·lectual"),
        ("حرفه\u200cای", "حرفه\u200cای"),
        ("\u200fودود\u200f", "ودود"),
        ("رســـمي", "رسمي"),
        ("יְדִידוּתִי", "יְדִידוּתִי"),
        ("เป็นกันเอง", "เป็นกันเอง"),
        ("親しみやすい", "親しみやすい"),
        ("プロフェッショナル", "プロフェッショナル"),
        ("友好的语气比第一个回答更加明显", None),  # a phrase
        ("友好yes", None),
        ("я", None),
        ("it's", None),
        ("友好。", None),
    ],
)
def test_words_of_other_languages(text: str, word: str | None) -> None:
    assert clean_word(text) == word


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("友好", ("友好", False)),
        ("友好。因为", ("友好", True)),
        ("友好and", ("友好", True)),
        ("warm友好", ("warm", True)),
        ("\u200fودود، لأن", ("ودود", True)),
        ("об'єкт", ("об'єкт", False)),
        ("warm's", ("warm", True)),
        ("友\ufffd", ("友\ufffd", False)),
    ],
)
def test_where_words_end_in_other_scripts(text: str, found: tuple[str, bool]) -> None:
    assert leading_word(text) == found


def test_names_with_signs_and_letters_that_are_words() -> None:
    rules = WordRules(characters="+#", known=frozenset({"c"}), stop_words=frozenset({"code"}))
    assert [clean_word(text, rules) for text in ("C++", "f#", "C", "r", "code", "+c")] == [
        "c++",
        "f#",
        "c",
        None,
        None,
        None,
    ]
    assert leading_word("C++ is", rules) == ("C++", True)
    assert starts_word(" C#", rules)
    assert not starts_word(" C#")


def test_a_word_from_right_to_left_keeps_the_number_beside_it_in_place() -> None:
    assert isolated("ודידותי") == "\u2068ודידותי\u2069"
    assert isolated("友好") == "友好"
