"""Passages that answer nothing: nobody reads what another has, and a style is found among mixtures."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from xpert.errors import DataError
from xpert.evaluation.mixtures import explained, mixture_answers
from xpert.evaluation.presets import PRESETS
from xpert.evaluation.running import spec_of
from xpert.evaluation.setting import Setting
from xpert.evaluation.suite import EXPERIMENTS
from xpert.evaluation.unpaired import UnpairedTexts, mixtures_of_two, read_genres
from xpert.selector import Selector
from xpert.testing.fakes import FakeSummarizer, fake_text

STYLES = ("friendly", "formal", "poetic", "angry")
TEXTS = {style: [f"{fake_text(f'{style} {i}', style, seed=1)} ({i})." for i in range(125)] for style in STYLES}


@pytest.fixture(scope="module")
def source() -> UnpairedTexts:
    return UnpairedTexts("made up", TEXTS)


def test_genres_have_as_many_users_as_are_told(tmp_path: Path) -> None:
    for genre in ("news", "verse"):
        lines = [json.dumps({"text": f"{genre} {i}"}) + "\n" for i in range(150)]
        (tmp_path / f"{genre}.jsonl").write_text("".join(lines))
    setting, tiny = Setting(data=f"genres:{tmp_path}"), PRESETS["tiny"]
    told = spec_of(EXPERIMENTS["accuracy"], tiny, setting)["users_a_style_and_draw"]
    assert told == 1 < tiny.users_a_style
    users = setting.source().draw(0, setting.fitted(tiny).users_a_style).users
    assert [user.style for user in users] == setting.source().styles
    assert setting.fitted(PRESETS["paper"]) is PRESETS["paper"]  # there each user has passages of their own


def test_ten_styles_have_fifteen_mixtures_with_three_of_each() -> None:
    pairs = mixtures_of_two([str(i) for i in range(10)])
    assert len({frozenset(pair) for pair in pairs}) == 15
    assert set(Counter(one for pair in pairs for one in pair).values()) == {3}


def test_models_users_and_base_never_share_a_passage(source: UnpairedTexts) -> None:
    for seed in range(3):
        draw = source.draw(seed, 2)
        assert [user.style for user in draw.users] == list(source.styles)
        models = {source.answers[style][prompt] for style in source.styles for prompt in draw.prompts}
        users = {example.response for user in draw.users for example in user.examples}
        assert not models & users
        assert not set(source.base.values()) & (models | users)
        assert all(user.base == () and len(user.examples) == 50 for user in draw.users)
    assert source.draw(1, 1) == source.draw(1, 1) != source.draw(2, 1)


def test_the_base_has_all_styles_in_equal_parts_and_unstyled_is_not_its_own(source: UnpairedTexts) -> None:
    of = {text: style for style, texts in TEXTS.items() for text in texts}
    assert set(Counter(of[text] for text in source.base.values()).values()) == {25}
    assert sorted(source.unstyled.values()) == sorted(source.base.values())
    assert not any(source.unstyled[prompt] == source.base[prompt] for prompt in source.base)
    told = mixture_answers(source, source.draw(0, 1), "formal", similarity=30, seed=0)
    assert sum(of[text] == "formal" and text not in source.base.values() for text in told.values()) == 15


def test_a_mixture_is_half_and_half(source: UnpairedTexts) -> None:
    of = {text: style for style, texts in TEXTS.items() for text in texts}
    assert len(source.styles) == 4 + 6
    assert Counter(of[text] for text in source.answers["formal-and-poetic"].values()) == {"formal": 50, "poetic": 50}


def test_pure_styles_are_found_without_base_answers(tmp_path: Path) -> None:
    source = UnpairedTexts("made up", TEXTS, mixtures=False)
    draw = source.draw(0, 1)
    catalog = explained(source, draw, FakeSummarizer(), similarity=90, seed=0, folder=tmp_path)
    selector = Selector(catalog, FakeSummarizer())
    assert [selector.select(user.examples).best for user in draw.users] == list(STYLES)


def test_a_folder_of_genres_is_read_and_what_is_missing_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"expected one \.jsonl a genre, two or more, got none"):
        read_genres(tmp_path)
    for style in STYLES:
        (tmp_path / f"{style}.jsonl").write_text("".join(json.dumps({"text": t}) + "\n" for t in TEXTS[style]))
    assert read_genres(tmp_path).styles[:4] == sorted(STYLES)
    (tmp_path / "angry.jsonl").write_text("".join(json.dumps({"text": t}) + "\n" for t in TEXTS["angry"][:124] * 2))
    with pytest.raises(
        DataError, match="angry has 124 different passages, expected 125 or more: 50 of a model, 50 of a"
    ):
        read_genres(tmp_path)
