"""Reading personal data, recorded answers and prompts.

JSON Lines in UTF-8, one object a line; empty lines are passed over, keys that are not asked for are ignored. Messages name file
and line, and never quote the text: it may be private.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from xpert.errors import DataError
from xpert.types import Example

__all__ = ["load_answers", "load_base_answers", "load_examples", "load_prompts", "read_jsonl"]

_FORMS = 'expected {"prompt", "response"}, {"text"} or {"messages"}'
Row = tuple[str, Mapping[str, Any]]
"""Where a record stands (``FILE, line N``), and the record."""


def load_examples(source: str | Path | Iterable[str | Example | Mapping[str, Any]]) -> list[Example]:
    """Personal data as examples, in order.

    Args:
        source: The path of a JSON Lines file; or texts (no prompts), `Example`s, or records as in such a file, which is what
            a ``datasets.Dataset`` yields. A record is ``{"prompt", "response"}``, ``{"text"}`` where there was no prompt,
            or a chat, ``{"messages": [{"role", "content"}, ...]}``: each assistant turn is a response to the user turn
            before it. With several of these keys, ``response`` counts before ``messages`` before ``text``.

    Raises:
        xpert.errors.DataError: No such file, nothing in it, a line that is not JSON, a field missing, empty or no text.

    >>> load_examples(["Rain again."])
    [Example(prompt=None, response='Rain again.', response2=None)]
    """
    if isinstance(source, (str, Path)):
        return [example for where, row in read_jsonl(source) for example in _examples_of(row, where)]
    examples: list[Example] = []
    for number, item in enumerate(source, start=1):
        where = f"item {number}"
        if isinstance(item, Example):
            _text(item.response, "response", where)
            examples.append(item)
        elif isinstance(item, str):
            examples.append(Example(response=_text(item, "text", where)))
        elif isinstance(item, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
            examples.extend(_examples_of(item, where))
        else:
            raise DataError(f"{where}: expected a text, an Example or a record, it is a {type(item).__name__}")
    if not examples:
        raise DataError("no examples: expected at least one text")
    return examples


def load_answers(path: str | Path) -> list[Example]:
    """The answers of a recorded model: ``{"prompt", "response"}`` a line, optional ``"response2"``.

    Raises:
        xpert.errors.DataError: As `load_examples`; or two lines answer one prompt, for then it is not known which counts.
    """
    answers: list[Example] = []
    first: dict[str, str] = {}
    for where, row in read_jsonl(path):
        prompt = _text(row.get("prompt"), "prompt", where)
        if prompt in first:
            raise DataError(
                f"{where}: the same prompt as in {first[prompt]}: keep one answer (a second is 'response2')"
            )
        first[prompt] = where
        second = row.get("response2")
        answers.append(
            Example(
                prompt=prompt,
                response=_text(row.get("response"), "response", where),
                response2=None if second is None else _text(second, "response2", where),
            )
        )
    return answers


def load_prompts(path: str | Path) -> list[str]:
    """Prompts: ``{"prompt"}`` a line in a ``.jsonl`` file, else one a line as plain text.

    Raises:
        xpert.errors.DataError: No such file, nothing in it, a broken line, or a prompt that stands there twice.
    """
    if Path(path).suffix == ".jsonl":
        rows = [(where, _text(row.get("prompt"), "prompt", where)) for where, row in read_jsonl(path)]
    else:
        rows = [(where, line.strip()) for where, line in _lines(path)]
    first: dict[str, str] = {}
    for where, prompt in rows:
        if prompt in first:
            raise DataError(f"{where}: the same prompt as in {first[prompt]}: give each prompt once")
        first[prompt] = where
    return list(first)


def load_base_answers(path: str | Path, n: int) -> list[str]:
    """The base model's answers to ``n`` examples of personal data, in their order: ``{"response"}`` or a string a line.

    Raises:
        xpert.errors.DataError: As `load_examples`; or there are not ``n`` of them.
    """
    answers: list[str] = []
    for where, line in _lines(path):
        value = _parse(line, where)
        if isinstance(value, Mapping):
            value = cast(Mapping[str, Any], value).get("response")
        answers.append(_text(value, "response", where))
    if len(answers) != n:
        raise DataError(
            f"{path}: expected {n} base answers, one for each example and in their order, it has {len(answers)}"
        )
    return answers


def read_jsonl(path: str | Path) -> Iterator[Row]:
    """Each line's object, with where it stands (``FILE, line N``) for messages.

    Raises:
        xpert.errors.DataError: No such file, nothing in it, or a line that is no JSON object.
    """
    for where, line in _lines(path):
        value = _parse(line, where)
        if not isinstance(value, Mapping):
            raise DataError(f"{where}: expected a JSON object, it is a {type(value).__name__}")
        yield where, cast(Mapping[str, Any], value)


def _lines(path: str | Path) -> Iterator[tuple[str, str]]:
    path = Path(path)
    if not path.is_file():
        raise DataError(
            f"{path}: {'a folder' if path.is_dir() else 'no such file'}: expected a file with one record a line"
        )
    found = False
    with open(path, "rb") as file:
        for number, raw in enumerate(file, start=1):
            where = f"{path}, line {number}"
            try:
                line = raw.decode("utf-8-sig" if number == 1 else "utf-8").strip()
            except UnicodeDecodeError as error:
                raise DataError(f"{where}: not UTF-8 (byte {error.start + 1}): save the file as UTF-8") from None
            if line:
                found = True
                yield where, line
    if not found:
        raise DataError(f"{path}: empty: expected at least one record")


def _parse(line: str, where: str) -> Any:
    try:
        return json.loads(line)
    except json.JSONDecodeError as error:
        raise DataError(
            f"{where}: not JSON ({error.msg} at column {error.colno}): expected one JSON value a line"
        ) from None
    except (ValueError, RecursionError):
        raise DataError(
            f"{where}: not read as JSON (a number too long, or brackets nested too deep): expected one JSON value a line"
        ) from None


def _examples_of(row: Mapping[str, Any], where: str) -> list[Example]:
    if row.get("response") is not None:
        if row.get("prompt") is None:
            raise DataError(
                f"{where}: 'prompt' is missing beside 'response': a text without a prompt is {{\"text\": ...}}"
            )
        return [
            Example(prompt=_text(row["prompt"], "prompt", where), response=_text(row["response"], "response", where))
        ]
    if row.get("messages") is not None:
        return _chat(row["messages"], where)
    if row.get("text") is not None:
        return [Example(response=_text(row["text"], "text", where))]
    missing = "'response' is missing" if row.get("prompt") is not None else "no known field"
    raise DataError(f"{where}: {missing}: {_FORMS}")


def _chat(messages: Any, where: str) -> list[Example]:
    if not isinstance(messages, Sequence) or isinstance(messages, str):
        raise DataError(f"{where}: expected 'messages' to be a list, it is a {type(messages).__name__}")
    examples: list[Example] = []
    prompt: str | None = None
    for number, message in enumerate(cast(Sequence[Any], messages), start=1):
        place = f"{where}, message {number}"
        if not isinstance(message, Mapping):
            raise DataError(f'{place}: expected {{"role", "content"}}, it is a {type(message).__name__}')
        turn = cast(Mapping[str, Any], message)
        role = _text(turn.get("role"), "role", place)
        if role == "user":
            prompt = _text(turn.get("content"), "content", place)
        elif role == "assistant":
            examples.append(Example(prompt=prompt, response=_text(turn.get("content"), "content", place)))
            prompt = None
    if not examples:
        raise DataError(f"{where}: no assistant turn in 'messages': expected at least one response")
    return examples


def _text(value: Any, field: str, where: str) -> str:
    if value is None:
        raise DataError(f"{where}: {field!r} is missing: expected a text")
    if not isinstance(value, str):
        raise DataError(f"{where}: expected {field!r} to be a text, it is a {type(value).__name__}")
    if not value.strip():
        raise DataError(f"{where}: {field!r} is empty: expected a text")
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise DataError(f"{where}: {field!r} holds half a surrogate pair, which is no character: repair the escape")
    return value
