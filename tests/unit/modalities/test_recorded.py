from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from xpert.errors import DataError, IncompatibleModelError, ReferenceNotFoundError
from xpert.modalities.recorded import RecordedProber, reorder
from xpert.modalities.text import TextModality
from xpert.types import Generation

GENERATION = Generation()


@pytest.fixture
def record(tmp_path: Path) -> Any:
    def record(name: str, answers: dict[str, str], second: dict[str, str] | None = None) -> str:
        rows = [
            {"prompt": p, "response": r} | ({"response2": second[p]} if second and p in second else {})
            for p, r in answers.items()
        ]
        file = tmp_path / f"{name}.jsonl"
        file.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
        return f"answers:{file}"

    return record


def test_answers_come_in_the_order_of_the_prompts(record: Any) -> None:
    base = record("base", {"a": "A", "b": "B", "c": "C"})
    tutor = record("tutor", {"c": "cc", "b": "bb", "a": "aa"})
    with TextModality().open(base) as prober:
        assert prober.answer(None, ["c", "a"], GENERATION) == ["C", "A"]
        assert prober.answer(tutor, ["a", "b", "c"], GENERATION) == ["aa", "bb", "cc"]


def test_shared_prompts_in_the_bases_order(record: Any) -> None:
    base = record("base", {"a": "A", "b": "B", "c": "C", "d": "D"})
    tutor = record("tutor", {"d": "x", "c": "x", "a": "x"})
    poet = record("poet", {"c": "x", "a": "x", "b": "x"})
    prober = RecordedProber(base)
    assert prober.prompts([]) == ["a", "b", "c", "d"]
    assert prober.prompts([tutor, poet]) == ["a", "c"]


def test_no_shared_prompt_names_the_files(record: Any) -> None:
    prober = RecordedProber(record("base", {"a": "A"}))
    with pytest.raises(DataError, match=r"base\.jsonl and .*tutor\.jsonl share no prompt"):
        prober.prompts([record("tutor", {"b": "B"})])


def test_a_missing_answer_names_file_and_prompt(record: Any) -> None:
    prober = RecordedProber(record("base", {"a": "A"}))
    with pytest.raises(DataError, match=r"base\.jsonl: no answer to 2 of 3 prompts, first 'x'"):
        prober.answer(None, ["a", "x", "y"], GENERATION)


def test_a_recorded_base_needs_recorded_models(record: Any, tiny_adapters: dict[str, Path]) -> None:
    prober = RecordedProber(record("base", {"a": "A"}))
    adapter = str(tiny_adapters["tutor"])
    for ask in (
        lambda: prober.card("tutor", adapter),
        lambda: prober.answer(adapter, ["a"], GENERATION),
        lambda: prober.prompts([adapter]),
    ):
        with pytest.raises(IncompatibleModelError, match=r"has weights, but the base .* is recorded"):
            ask()


def test_an_absent_file(tmp_path: Path) -> None:
    with pytest.raises(ReferenceNotFoundError, match="does not exist"), TextModality().open("answers:absent.jsonl"):
        pass


def test_card(record: Any) -> None:
    base, tutor = record("base", {"a": "A"}), record("tutor", {"a": "B"})
    card = RecordedProber(base).card("tutor", tutor)
    assert (card.name, card.reference, card.kind, card.base) == ("tutor", tutor, "recorded", base)
    assert card.bytes == Path(tutor.removeprefix("answers:")).stat().st_size


def test_second_answers_are_recorded_ones_if_all_have_them(record: Any) -> None:
    answers = {"a": "One. Two.", "b": "Three. Four."}
    both = RecordedProber(record("both", answers, {"a": "second a", "b": "second b"}))
    assert both.second_answer(["b", "a"], GENERATION) == (["second b", "second a"], "response2")
    one = RecordedProber(record("one", answers, {"a": "second a"}))
    assert one.second_answer(["a"], GENERATION) == (["second a"], "response2")
    assert one.second_answer(["a", "b"], GENERATION) == (["Two. One.", "Four. Three."], "reordered")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One two. Three four.", "Three four. One two."),
        ("Title\n- a\n", "- a\nTitle"),
        ("when it rains, we stay", "we stay when it rains,"),
        ("one two three", "two three one"),
        ("word", "word"),
        ("1. First one.\n2. Second one.", "2. Second one.\n1. First one."),
        ('He said "no." Then left.', 'Then left. He said "no."'),
    ],
)
def test_reorder(text: str, expected: str) -> None:
    assert reorder(text, "0") == expected


def test_reordering_moves_parts_and_nothing_else() -> None:
    text = "One is first. Two is second!\n\n- Three\n- Four? Five is 5.5, or so; the end."
    results = {reorder(text, str(seed)) for seed in range(20)}
    assert len(results) > 5
    assert text not in results
    for result in results:
        assert sorted(result.split()) == sorted(text.split())
        assert result.count("\n") == text.count("\n")
    assert reorder(text, "x") == reorder(text, "x")
