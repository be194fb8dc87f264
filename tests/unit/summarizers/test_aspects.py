from __future__ import annotations

import json
from pathlib import Path

import pytest

from xpert.errors import ReferenceNotFoundError, SettingsError
from xpert.summarizers import load_summarizer
from xpert.summarizers.aspects import find_instruction, instruction_names
from xpert.summarizers.hf import HFSummarizer
from xpert.summarizers.instructions import LANGUAGE_STYLE, Instruction, read_instruction
from xpert.summarizers.words import clean_word
from xpert.testing import FakeSummarizer

GERMAN = Instruction(
    name="sprachstil",
    compare="Antwort A:\n{a}\n\nAntwort B:\n{b}\n\nWelches Adjektiv beschreibt den Sprachstil von B eher als den von A?",
    write="Antworte in sehr {word}em Sprachstil.\n\n{prompt}",
    meaning="Welches Adjektiv bedeutet etwa {word}?",
    words=("freundlich", "höflich", "förmlich"),
    carriers=("Diese Antwort ist {word}.", "{word}"),
    stop_words=("stil", "der"),
)


def test_the_shipped_ones() -> None:
    assert instruction_names() == ("language-style", "domain", "image-style", "programming-language", "tone")
    assert find_instruction("language-style") == LANGUAGE_STYLE
    questions = {find_instruction(name).compare for name in instruction_names()}
    assert len(questions) == 5


@pytest.mark.parametrize("name", ["language-style", "domain", "image-style", "programming-language", "tone"])
def test_every_listed_word_is_a_word_of_its_aspect(name: str) -> None:
    instruction = find_instruction(name)
    assert instruction.asks
    assert len(instruction.words) >= 50
    assert [word for word in instruction.words if clean_word(word, instruction.rules) != word] == []


def test_a_users_own_by_file_by_folder_and_as_an_object(tmp_path: Path) -> None:
    (tmp_path / "wörter.txt").write_text("freundlich\n\nhöflich\nförmlich\nhöflich\n", encoding="utf-8")
    file = tmp_path / "xpert_instruction.json"
    file.write_text(json.dumps(GERMAN.to_json() | {"words": "wörter.txt"}), encoding="utf-8")
    assert find_instruction(file) == find_instruction(str(file)) == find_instruction(tmp_path) == GERMAN
    assert find_instruction(GERMAN) is GERMAN


def test_as_json_and_back() -> None:
    values = json.loads(json.dumps(GERMAN.to_json()))
    assert Instruction.from_json(values, "x") == GERMAN


def test_an_unknown_name_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ReferenceNotFoundError, match=r"'domian': expected language-style, domain, .* or a JSON file"):
        find_instruction("domian")
    with pytest.raises(ReferenceNotFoundError):
        find_instruction(tmp_path)


def test_load_summarizer_takes_one(tiny_summarizer: Path, tmp_path: Path) -> None:
    summarizer = load_summarizer(f"hf:{tiny_summarizer}", instruction="domain")
    assert summarizer.instruction.startswith("domain (first 256 tokens")
    summarizer.close()
    with pytest.raises(ReferenceNotFoundError, match="expected language-style"):
        load_summarizer(f"hf:{tiny_summarizer}", instruction="nothing")
    with pytest.raises(SettingsError, match="instruction was given beside an object"):
        load_summarizer(FakeSummarizer(), instruction="domain")


def test_a_trained_wording_is_kept_unless_told(tiny_summarizer: Path, tmp_path: Path) -> None:
    import shutil

    own = shutil.copytree(tiny_summarizer, tmp_path / "own")
    (own / "xpert_instruction.json").write_text(json.dumps(GERMAN.to_json()), encoding="utf-8")
    assert HFSummarizer(own).wording == GERMAN
    assert HFSummarizer(own, instruction="tone").wording == find_instruction("tone")
    assert HFSummarizer(own, max_answer_tokens=7).wording.max_answer_tokens == 7


def test_words_alone_ask_an_llm_nothing(tiny_summarizer: Path, tmp_path: Path) -> None:
    file = tmp_path / "words.json"
    file.write_text(json.dumps({"name": "wine", "words": ["red", "white"], "carriers": ["A {word} wine."]}))
    assert not read_instruction(file).asks
    with pytest.raises(SettingsError, match="instruction wine: expected compare, write and meaning"):
        HFSummarizer(tiny_summarizer, instruction=file)


def test_the_examples_of_the_docs_are_instructions() -> None:
    page = (Path(__file__).parents[3] / "docs" / "aspects.md").read_text(encoding="utf-8")
    found = [Instruction.from_json(json.loads(block.split("```")[0]), "docs") for block in page.split("```json\n")[1:]]
    assert [instruction.name for instruction in found] == ["sprachstil", "语言风格"]
    for instruction in found:
        assert [clean_word(word, instruction.rules) for word in instruction.words] == list(instruction.words)
