from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from xpert.errors import DataError
from xpert.examples import load_answers, load_base_answers, load_examples, load_prompts
from xpert.types import Example


@pytest.fixture
def write(tmp_path: Path) -> Any:
    def write(*lines: Any, name: str = "data.jsonl") -> Path:
        file = tmp_path / name
        text = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
        file.write_text(text, encoding="utf-8")
        return file

    return write


def test_the_three_forms_in_one_file(write: Any) -> None:
    file = write(
        {"prompt": "Why?", "response": "Because.", "id": 7},
        {"text": "Just a note."},
        "",
        {
            "messages": [
                {"role": "system", "content": ""},
                {"role": "user", "content": "Hi"},
                {"role": "assistant", "content": "Hello"},
                {"role": "assistant", "content": "Still there?"},
                {"role": "user", "content": "first"},
                {"role": "user", "content": "second"},
                {"role": "assistant", "content": "Both."},
                {"role": "user", "content": "unanswered"},
            ]
        },
    )
    assert load_examples(file) == [
        Example(prompt="Why?", response="Because."),
        Example(response="Just a note."),
        Example(prompt="Hi", response="Hello"),
        Example(prompt=None, response="Still there?"),
        Example(prompt="second", response="Both."),
    ]
    assert load_examples(str(file)) == load_examples(file)


def test_python_sources() -> None:
    given = [Example(prompt="p", response="r"), "a text", {"text": "t"}, {"prompt": "p", "response": "r", "text": None}]
    assert load_examples(given) == [
        Example(prompt="p", response="r"),
        Example(response="a text"),
        Example(response="t"),
        Example(prompt="p", response="r"),
    ]


def test_a_datasets_dataset() -> None:
    datasets = pytest.importorskip("datasets")
    rows = [{"prompt": "p", "response": "r", "text": None}, {"prompt": None, "response": None, "text": "t"}]
    dataset = datasets.Dataset.from_list(rows)
    assert load_examples(dataset) == [Example(prompt="p", response="r"), Example(response="t")]


def test_text_outside_ascii_and_odd_line_ends(tmp_path: Path) -> None:
    file = tmp_path / "data.jsonl"
    file.write_bytes('\ufeff{"text": "Größe\u2028zwei"}\r\n{"text": "日本"}\r\n'.encode())
    assert [example.response for example in load_examples(file)] == ["Größe\u2028zwei", "日本"]


GOOD = {"prompt": "p", "response": "r"}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"prompt": "p", ', r"line 2: not JSON \(.* at column \d+\): expected one JSON value a line"),
        ('{"text": "p', r"line 2: not JSON \(Unterminated string starting at column 10\)"),
        ("[1]", "line 2: expected a JSON object, it is a list"),
        ("[" * 100_000, "line 2: not read as JSON"),
        ('{"text": ' + "1" * 5_000 + "}", "line 2: (not read as JSON|expected 'text' to be a text)"),
        ({"prompt": "p"}, r"line 2: 'response' is missing: expected \{\"prompt\", \"response\"\}"),
        ({"response": "r"}, "line 2: 'prompt' is missing beside 'response'"),
        ({"content": "r"}, "line 2: no known field: expected"),
        ({"prompt": "p", "response": " "}, "line 2: 'response' is empty"),
        ({"prompt": "", "response": "r"}, "line 2: 'prompt' is empty"),
        ({"prompt": "p", "response": 3}, "line 2: expected 'response' to be a text, it is a int"),
        ('{"text": "\\ud83d"}', "line 2: 'text' holds half a surrogate pair"),
        ({"text": ["a"]}, "line 2: expected 'text' to be a text, it is a list"),
        ({"messages": "hi"}, "line 2: expected 'messages' to be a list, it is a str"),
        ({"messages": []}, "line 2: no assistant turn"),
        ({"messages": ["hi"]}, r"line 2, message 1: expected \{\"role\", \"content\"\}, it is a str"),
        ({"messages": [{"role": "user"}]}, "line 2, message 1: 'content' is missing"),
        ({"messages": [{"role": "assistant", "content": ""}]}, "line 2, message 1: 'content' is empty"),
        ({"messages": [{"content": "x"}]}, "line 2, message 1: 'role' is missing"),
    ],
)
def test_a_bad_line_is_named(write: Any, line: Any, message: str) -> None:
    file = write(GOOD, line)
    with pytest.raises(DataError, match=message) as caught:
        load_examples(file)
    assert str(caught.value).startswith(f"{file}, line 2")
    assert "\n" not in str(caught.value)


def test_messages_never_quote_the_text(write: Any) -> None:
    for line in ('{"text": "very private', {"prompt": "very private"}, {"messages": ["very private"]}):
        with pytest.raises(DataError) as caught:
            load_examples(write(line))
        assert "private" not in str(caught.value)


def test_missing_and_empty_files(tmp_path: Path, write: Any) -> None:
    with pytest.raises(DataError, match=r"absent\.jsonl: no such file"):
        load_examples(tmp_path / "absent.jsonl")
    with pytest.raises(DataError, match="a folder"):
        load_examples(tmp_path)
    with pytest.raises(DataError, match=r"data\.jsonl: empty"):
        load_examples(write("", "  "))
    with pytest.raises(DataError, match="no examples"):
        load_examples([])


def test_not_utf8(tmp_path: Path) -> None:
    file = tmp_path / "latin.jsonl"
    file.write_bytes(b'{"text": "ok"}\n{"text": "\xe4"}\n')
    with pytest.raises(DataError, match=r"line 2: not UTF-8 \(byte 11\)"):
        load_examples(file)


@pytest.mark.parametrize(
    ("item", "message"),
    [
        (3, "item 2: expected a text, an Example or a record, it is a int"),
        ("", "item 2: 'text' is empty"),
        (Example(response=""), "item 2: 'response' is empty"),
    ],
)
def test_a_bad_item_is_named(item: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        load_examples(["fine", item])


def test_answers(write: Any) -> None:
    file = write({"prompt": "a", "response": "1", "response2": "2"}, {"prompt": "b", "response": "3"})
    assert load_answers(file) == [
        Example(prompt="a", response="1", response2="2"),
        Example(prompt="b", response="3"),
    ]


def test_a_model_may_have_said_nothing(write: Any) -> None:
    file = write({"prompt": "a", "response": "", "response2": ""}, {"prompt": "b", "response": "3"})
    assert load_answers(file)[0] == Example(prompt="a", response="", response2="")
    assert load_base_answers(write({"response": ""}, {"response": "yes"}), 2) == ["", "yes"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ({"prompt": "a", "response": "other"}, "line 3: the same prompt as in .*, line 1: keep one answer"),
        ({"response": "r"}, "line 3: 'prompt' is missing"),
        ({"prompt": "c"}, "line 3: 'response' is missing"),
        ({"prompt": "c", "response": "r", "response2": 3}, "line 3: expected 'response2' to be a text"),
    ],
)
def test_bad_answers(write: Any, line: Any, message: str) -> None:
    file = write({"prompt": "a", "response": "r"}, {"prompt": "b", "response": "r"}, line)
    with pytest.raises(DataError, match=message):
        load_answers(file)


def test_prompts(write: Any) -> None:
    assert load_prompts(write({"prompt": "a", "more": 1}, {"prompt": "b"})) == ["a", "b"]
    assert load_prompts(write("  Why? ", "", "How?", name="prompts.txt")) == ["Why?", "How?"]
    with pytest.raises(DataError, match=r"prompts\.txt, line 2: the same prompt as in .*, line 1"):
        load_prompts(write("Why?", "Why?", name="prompts.txt"))


def test_base_answers(write: Any) -> None:
    file = write({"prompt": "whatever", "response": "a"}, '"b"')
    assert load_base_answers(file, 2) == ["a", "b"]
    with pytest.raises(DataError, match=r"data\.jsonl: expected 3 base answers, .* it has 2"):
        load_base_answers(file, 3)
    with pytest.raises(DataError, match="line 1: 'response' is missing"):
        load_base_answers(write({"text": "a"}), 1)
