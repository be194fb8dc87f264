"""The style corpus: what it promises about its questions, its texts and its two halves."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from xpert.zoo import corpus
from xpert.zoo.corpus import (
    DEFAULT,
    GRADED,
    PROPERTIES,
    STYLES,
    Style,
    examples,
    mixture,
    questions,
    side_questions,
    write,
)
from xpert.zoo.corpus.banks import bank, bank_names, classes, phrases
from xpert.zoo.corpus.language import clause, count_words, fix_articles, reword, words

SIDES = ("models", "users")
SINGLE = {
    "friendly": Style(tone="friendly"),
    "expert": Style(expertise="expert"),
    "concise": Style(informativeness="concise"),
    "informative": Style(informativeness="informative"),
}
KINDS = {**STYLES, "default": DEFAULT, **GRADED, **SINGLE}
ROOT = Path(__file__).resolve().parents[3]


def _report():
    spec = importlib.util.spec_from_file_location("corpus_report", ROOT / "scripts" / "corpus_report.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def texts() -> dict[str, dict[str, list[str]]]:
    """1,000 answers of a few styles and 100 of the others, a side and style."""
    many = {
        "elementary-concise-friendly",
        "expert-informative-sarcastic",
        "elementary-informative-neutral",
        "informative",
    }
    return {
        side: {
            name: [e.response for e in examples(style, side=side, n=1000 if name in many else 100, seed=3)]
            for name, style in KINDS.items()
        }
        for side in SIDES
    }


def test_counts():
    assert len(questions()) == 640
    assert [q.id for q in questions()] == list(range(640))
    assert len(STYLES) == 28
    assert next(iter(STYLES)) == "elementary-concise-friendly"
    assert list(GRADED) == [f"{scale}-{step}" for scale in ("expertise", "formality") for step in (1, 2, 3, 4)]
    assert DEFAULT.name == "default"
    assert all(style.name == name for name, style in KINDS.items())


def test_sides_split_the_questions_and_share_topics_and_aspects():
    models, users = (side_questions(side) for side in SIDES)
    assert len(models) == len(users) == 320
    assert not {q.id for q in models} & {q.id for q in users}
    for part in ("topic", "aspect"):
        assert {getattr(q, part) for q in models} == {getattr(q, part) for q in users}
    assert len({q.text for q in questions()}) == 640


def test_every_side_asks_about_every_domain_alike():
    assert corpus.DOMAINS == ("nature", "home", "technology", "society")
    for side in SIDES:
        assert Counter(q.domain for q in side_questions(side)) == dict.fromkeys(corpus.DOMAINS, 80)


def test_properties_are_disjoint_families_of_adjectives():
    assert len(PROPERTIES) == 13
    adjectives = [word for family in PROPERTIES.values() for word in family]
    assert len(adjectives) == len(set(adjectives)) >= 130
    assert all(len(family) >= 10 and family[0] == name for name, family in PROPERTIES.items())
    assert corpus.properties_of(STYLES["expert-concise-neutral"]) == ("expert", "concise", "neutral")


def test_answers_are_deterministic_across_processes():
    question = questions()[17]
    here = write(question, STYLES["expert-informative-poetic"], side="users", seed=5)
    code = (
        "from xpert.zoo.corpus import *; "
        "print(write(questions()[17], STYLES['expert-informative-poetic'], side='users', seed=5))"
    )
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT / "src")
    assert there.stdout.strip() == here
    assert len({write(question, STYLES["expert-informative-poetic"], side="users", seed=s) for s in range(30)}) == 30


@pytest.mark.parametrize("name", KINDS)
def test_lengths(name, texts):
    low, high = corpus.length_range(KINDS[name])
    for side in SIDES:
        assert all(low <= count_words(text) <= high for text in texts[side][name])


def test_two_key_words_in_every_answer():
    for name in ("elementary-concise-poetic", "expert-concise-sassy", "default", "expertise-1", "formality-4"):
        for side in SIDES:
            for question in side_questions(side):
                spoken = set(words(write(question, KINDS[name], side=side, seed=1)))
                assert sum(key in spoken for key in question.keywords) >= 2, (name, question.text)


def test_no_five_words_in_more_than_a_twentieth_of_the_texts(texts):
    for side in SIDES:
        for name, of in texts[side].items():
            if len(of) == 1000:
                share, gram = _report().max_five_gram([words(text) for text in of])
                assert share <= 0.05, (side, name, gram)


def test_the_halves_share_no_phrase():
    def stored(side: str) -> set[str]:
        return {
            p.lower().rstrip(".!?")
            for name in bank_names()
            for slot in bank(name)[side]
            for p in phrases(name, slot, side)
        }

    shared = {phrase for phrase in stored("models") & stored("users") if len(words(phrase.replace("{x}", ""))) >= 3}
    assert not shared


def test_the_halves_share_no_five_fixed_words_in_a_row():
    def fragments(side: str) -> set[tuple[str, ...]]:
        runs = [
            words(run)
            for name in bank_names()
            for slot in bank(name)[side]
            for phrase in phrases(name, slot, side)
            for run in re.split(r"\{\w+\}", phrase)
        ]
        return {tuple(run[i : i + 5]) for run in runs for i in range(len(run) - 4)}

    assert not fragments("models") & fragments("users")


def test_word_classes_hold_shared_words_and_no_shared_phrase():
    for name in bank_names():
        models, users = (classes(name, side) for side in SIDES)
        shared = [entry for key in models for entry in set(models[key]) & set(users[key])]
        assert all(len(entry.split()) < 3 for entry in shared)


def test_every_slot_stands_in_both_halves():
    for name in bank_names():
        assert set(bank(name)["models"]) == set(bank(name)["users"])


def test_a_text_is_one_clean_line(texts):
    for side in SIDES:
        for of in texts[side].values():
            for text in of:
                assert text == text.strip()
                assert not set('{}|\n"') & set(text)
                assert "  " not in text
                assert text[0].isupper() or text[0].isdigit()
                assert text[-1] in ".!?"


def test_examples_mix_exactly_and_go_on_from_start():
    style = STYLES["elementary-informative-friendly"]
    mixed = examples(style, side="users", n=40, seed=2, similarity=0.25)
    long = sum(count_words(e.response) >= 52 for e in mixed)
    assert long == 10
    assert mixed == examples(style, side="users", n=40, seed=2, similarity=0.25)
    assert not {e.response for e in mixed} & {e.response for e in examples(style, side="users", n=40, seed=2, start=40)}
    both = mixture([(style, 3), (STYLES["expert-concise-poetic"], 1)], side="models", n=8, seed=0)
    assert sum(count_words(e.response) >= 52 for e in both) == 6


@pytest.mark.parametrize(
    "call",
    [
        lambda: Style(tone="angry"),
        lambda: Style(level=("expertise", 5)),
        lambda: Style(tone="friendly", level=("formality", 1)),
        lambda: side_questions("both"),
        lambda: write(questions()[0], DEFAULT, side="both", seed=0),
        lambda: examples(DEFAULT, side="users", n=3, seed=0, similarity=1.5),
        lambda: examples(DEFAULT, side="users", n=-1, seed=0),
    ],
)
def test_wrong_arguments_are_refused(call):
    with pytest.raises(ValueError, match=r"expected|stands alone"):
        call()


def test_a_bag_of_words_tells_styles_apart_but_not_all(texts):
    train = {name: [words(t) for t in texts["models"][name][:100]] for name in STYLES}
    test = {name: [words(t) for t in texts["users"][name][:40]] for name in STYLES}
    assert 0.4 <= _report().centroid_accuracy(train, test, tfidf=True) <= 0.9


def test_small_grammar():
    assert clause("Mix the flour well.", subject="one should") == "one should mix the flour well"
    assert clause("Charles Kao used glass.") == "Charles Kao used glass"
    assert fix_articles("a old house, an useful hour, a hour") == "an old house, a useful hour, an hour"
    assert reword("People use many tools.", "expert", keep=["tools"]) == "Individuals employ numerous tools."
