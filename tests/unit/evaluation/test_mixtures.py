"""The draw protocol: exact shares, users whom no model's prompts know, the same draws for the same seed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from xpert.errors import DataError
from xpert.evaluation.mixtures import explained, mixed_user, mixture_answers, styled_places, unstyled
from xpert.evaluation.sources import FolderAnswers, fingerprint
from xpert.selector import Selector
from xpert.testing.fakes import FakeSummarizer, fake_text

STYLES = ("friendly", "formal", "poetic")
PROMPTS = [f"what is known of subject {i}" for i in range(120)]


def write(file: Path, style: str | None, prompts: list[str] = PROMPTS) -> None:
    rows = [{"prompt": p, "response": f"{fake_text(p, style, seed=1)}. So it is. That is all."} for p in prompts]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture
def source(tmp_path: Path) -> FolderAnswers:
    folder = tmp_path / "recorded"
    folder.mkdir()
    write(folder / "default.jsonl", None)
    for style in STYLES:
        write(folder / f"{style}.jsonl", style)
    return FolderAnswers(folder)


def test_users_and_models_never_share_a_prompt(source: FolderAnswers) -> None:
    for seed in range(3):
        draw = source.draw(seed, 2)
        assert len(set(draw.prompts)) == 50
        assert [user.style for user in draw.users] == [style for style in sorted(STYLES) for _ in range(2)]
        for user in draw.users:
            assert not {example.prompt for example in user.examples} & set(draw.prompts)
            assert user.base == tuple(source.base[str(example.prompt)] for example in user.examples)
    assert source.draw(1, 2) == source.draw(1, 2) != source.draw(2, 2)


@pytest.mark.parametrize("similarity", [0, 30, 50, 90, 100])
def test_a_model_has_exactly_its_share_in_its_style(source: FolderAnswers, similarity: int) -> None:
    draw = source.draw(0, 1)
    told = mixture_answers(source, draw, "formal", similarity=similarity, seed=0)
    assert list(told) == list(draw.prompts)
    styled = [prompt for prompt in told if told[prompt] == source.answers["formal"][prompt]]
    assert len(styled) == similarity // 2
    assert all(told[prompt] == source.base[prompt] for prompt in told if prompt not in styled)
    assert told == mixture_answers(source, draw, "formal", similarity=similarity, seed=0)
    if 0 < similarity < 100:
        assert told != mixture_answers(source, draw, "formal", similarity=similarity, seed=1)


def test_reordered_answers_have_the_bases_sentences_in_another_order(source: FolderAnswers) -> None:
    changed = 0
    for prompt in PROMPTS[:20]:
        once = unstyled(source, prompt, reordered=True)
        assert once == unstyled(source, prompt, reordered=True)
        assert sorted(once.replace(".", "").split()) == sorted(source.base[prompt].replace(".", "").split())
        changed += once != source.base[prompt]
    assert changed >= 15


def test_a_mixed_user_has_the_share_too(source: FolderAnswers) -> None:
    user = source.draw(0, 1).users[0]
    mixed = mixed_user(source, user, 0, similarity=30, seed=0)
    assert [example.prompt for example in mixed] == [example.prompt for example in user.examples]
    assert sum(a == b for a, b in zip(mixed, user.examples, strict=True)) == 15


def test_places_depend_on_every_part_of_the_seed() -> None:
    drawn = [styled_places(50, 50, *parts) for parts in (("a", 0), ("a", 1), ("b", 0))]
    assert len({frozenset(one) for one in drawn}) == 3


def test_a_style_at_half_is_still_found(source: FolderAnswers, tmp_path: Path) -> None:
    draw = source.draw(0, 1)
    catalog = explained(source, draw, FakeSummarizer(), similarity=50, seed=0, folder=tmp_path / "models")
    assert set(catalog) == set(STYLES)
    selector = Selector(catalog, FakeSummarizer())
    assert [selector.select(user.examples, user.base).best for user in draw.users] == [u.style for u in draw.users]


def test_a_style_called_base_is_not_taken_for_the_base(tmp_path: Path) -> None:
    folder = tmp_path / "recorded"
    folder.mkdir()
    for name, style in (("default", None), ("base", "friendly"), ("formal", "formal")):
        write(folder / f"{name}.jsonl", style)
    source = FolderAnswers(folder)
    draw = source.draw(0, 1)
    catalog = explained(source, draw, FakeSummarizer(), similarity=90, seed=0, folder=tmp_path / "models")
    assert [one.response for one in catalog.base_answers] == [source.base[prompt] for prompt in draw.prompts]
    selector = Selector(catalog, FakeSummarizer())
    assert [selector.select(user.examples, user.base).best for user in draw.users] == ["base", "formal"]


def test_a_fingerprint_changes_with_any_answer(source: FolderAnswers, tmp_path: Path) -> None:
    before = fingerprint(source)
    file = tmp_path / "recorded" / "formal.jsonl"
    file.write_text(file.read_text().replace("That is all", "That was all", 1))
    assert fingerprint(FolderAnswers(tmp_path / "recorded")) != before


def test_a_folder_that_cannot_be_drawn_from_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"expected default\.jsonl and one \.jsonl a style, got none"):
        FolderAnswers(tmp_path)
    write(tmp_path / "default.jsonl", None)
    write(tmp_path / "formal.jsonl", "formal", PROMPTS[:60])
    with pytest.raises(DataError, match="expected 100 prompts or more that base and styles share, got 60"):
        FolderAnswers(tmp_path)
