from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from xpert.errors import SettingsError
from xpert.summarizers.instructions import INSTRUCTION_FILE, LANGUAGE_STYLE, Instruction, load_instruction

GOOD: dict[str, Any] = {"name": "mine", "compare": "{a}|{b}?", "write": "{word}: {prompt}", "meaning": "{word}?"}


def write(folder: Path, content: object) -> Path:
    text = content if isinstance(content, str) else json.dumps(content)
    (folder / INSTRUCTION_FILE).write_text(text, encoding="utf-8")
    return folder


def test_a_folder_without_one_has_none(tmp_path: Path) -> None:
    assert load_instruction(tmp_path) is None


def test_a_folder_brings_its_own(tmp_path: Path) -> None:
    got = load_instruction(write(tmp_path, {**GOOD, "max_answer_tokens": 64, "answer_prefix": "It is"}))
    assert got == Instruction(**GOOD, max_answer_tokens=64, answer_prefix="It is")
    assert got is not None
    assert "64 tokens" in got.provenance
    assert "{a}|{b}?" in got.provenance
    assert "It is" in got.provenance


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "expected JSON"),
        ([], "expected a JSON object, got list"),
        ({**GOOD, "surprise": 1}, "unknown key 'surprise'"),
        ({**GOOD, "max_answer_tokens": "64"}, "max_answer_tokens: expected int, got str"),
        ({**GOOD, "max_answer_tokens": 0}, "max_answer_tokens: expected 1 or more"),
        ({"name": "mine", "compare": "{a}{b}", "write": "{word}{prompt}"}, "'meaning' is missing"),
        ({**GOOD, "compare": "{a}"}, r"expected \{a\}, \{b\} in it"),
        ({**GOOD, "write": "{word} {prompt} {other}"}, r"expected \{prompt\}, \{word\} in it"),
        ({**GOOD, "meaning": "{word} {"}, "expected a template"),
        ({**GOOD, "compare": "{a:>99999}{b}"}, r"expected \{a\}, \{b\} in it"),
        ({**GOOD, "compare": "{a!r}{b}"}, r"expected \{a\}, \{b\} in it"),
        ({**GOOD, "compare": "{a.__class__}{a}{b}"}, r"expected \{a\}, \{b\} in it"),
        ({**GOOD, "words": "nowhere.txt"}, "expected a text file in UTF-8, one word a line"),
        ({**GOOD, "words": ["a", "b"]}, "expected words .* and carriers, or neither"),
        ({**GOOD, "words": ["a", " "], "carriers": ["{word}"]}, "words: expected a list of texts that are not empty"),
        ({"name": "mine", "words": ["a", "a"], "carriers": ["{word}"]}, "two or more"),
        ({"name": "mine", "words": ["a", "b"]}, "'carriers' is missing"),
        ({"name": "mine", "words": ["a", "b"], "carriers": ["about it"]}, r"carriers: expected \{word\} in it"),
    ],
)
def test_a_broken_file_is_one_clear_line(tmp_path: Path, content: object, message: str) -> None:
    with pytest.raises(SettingsError, match=message) as caught:
        load_instruction(write(tmp_path, content))
    assert "\n" not in str(caught.value)


def test_braces_in_answers_are_left_alone() -> None:
    assert "{x}" in LANGUAGE_STYLE.compare.format(a="{x}", b="y")


def test_whole_numbers_and_empty_texts(tmp_path: Path) -> None:
    made = replace(LANGUAGE_STYLE, eps_orth=1)
    assert Instruction.from_json(made.to_json(), "here") == made
    assert Instruction.from_json({**LANGUAGE_STYLE.to_json(), "eps_dec": 1}, "here").eps_dec == 1.0
    with pytest.raises(SettingsError, match="stop_words: expected texts that are not empty"):
        replace(LANGUAGE_STYLE, stop_words=("",))
