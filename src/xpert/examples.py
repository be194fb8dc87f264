"""Reading personal data, recorded answers and prompts.

JSON Lines in UTF-8, one object a line; empty lines are passed over, keys that are not asked for are ignored. Images are named by
paths relative to the file. Messages name file and line, and never quote the text: it may be private.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from xpert.errors import DataError
from xpert.image_folders import CAPTIONS, read_image_folder
from xpert.images import image_uri, open_image
from xpert.types import Example

__all__ = ["holds_images", "load_answers", "load_base_answers", "load_examples", "load_prompts", "read_jsonl"]

_FORMS = 'expected {"prompt", "response"}, {"text"}, {"messages"} or {"prompt", "image"}'
_URI = "data:image/"
Row = tuple[str, Mapping[str, Any]]
"""Where a record stands (``FILE, line N``), and the record."""


def load_examples(source: str | Path | Iterable[str | Example | Mapping[str, Any]]) -> list[Example]:
    """Personal data as examples, in order.

    Args:
        source: The path of a JSON Lines file, or of a folder of images (`xpert.image_folders.read_image_folder`); or texts (no
            prompts), `Example`s, or records as in such a file, which is what a ``datasets.Dataset`` yields. A record is
            ``{"prompt", "response"}``, ``{"text"}`` where there was no prompt, a chat, ``{"messages": [{"role", "content"},
            ...]}``: each assistant turn is a response to the user turn before it; or an image, ``{"prompt", "image"}`` (a path,
            a data URI, or an image of Pillow; its caption may be called ``text`` or ``caption`` too, or be left out). With
            several of these keys, ``image`` counts before ``response`` before ``messages`` before ``text``.

    Raises:
        xpert.errors.DataError: No such file, nothing in it, a line that is not JSON, a field missing, empty or no text, an image
            that cannot be read or has sides of fewer than 8 pixels.
        xpert.errors.MissingDependencyError: Images, and Pillow is not installed.

    >>> load_examples(["Rain again."])
    [Example(prompt=None, response='Rain again.', response2=None)]
    """
    if isinstance(source, (str, Path)):
        if Path(source).is_dir():
            return [
                Example(prompt=found.caption, response=_image(str(found.path), "image", found.where))
                for found in read_image_folder(source)
            ]
        folder = Path(source).parent
        return [example for where, row in read_jsonl(source) for example in _examples_of(row, where, folder)]
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
    """The answers of a recorded model: ``{"prompt", "response"}`` a line, optional ``"response2"``; or ``"image"``, ``"image2"``.

    That images are there is checked; they are opened when they are needed. An empty answer is one: a model may say nothing.

    Raises:
        xpert.errors.DataError: As `load_examples`; two lines answer one prompt, for then it is not known which counts; or texts
            stand among images.
    """
    answers: list[Example] = []
    first: dict[str, str] = {}
    images = holds_images(path)
    for where, row in read_jsonl(path):
        prompt = _text(row.get("prompt"), "prompt", where)
        if prompt in first:
            raise DataError(
                f"{where}: the same prompt as in {first[prompt]}: keep one answer (a second is 'response2')"
            )
        first[prompt] = where
        if images != _is_image_row(row):
            raise DataError(f"{where}: images and texts in one file: expected all lines with 'image', or none")
        response = _answer(row, "", where, Path(path).parent)
        again = any(row.get(key) is not None for key in ("response2", "image2"))
        response2 = _answer(row, "2", where, Path(path).parent) if again else None
        answers.append(Example(prompt=prompt, response=response, response2=response2))
    return answers


def holds_images(path: str | Path) -> bool:
    """Whether a recorded model's answers are images: told from its first line.

    Raises:
        xpert.errors.DataError: No such file, nothing in it, or a line that is no JSON object.
    """
    return _is_image_row(next(iter(read_jsonl(path)))[1])


def _is_image_row(row: Mapping[str, Any]) -> bool:
    return row.get("image") is not None or str(row.get("response", "")).startswith(_URI)


def _answer(row: Mapping[str, Any], number: str, where: str, folder: Path) -> str:
    """A recorded answer: the first, or the second (number ``2``)."""
    image, text = f"image{number}", f"response{number}"
    if row.get(image) is not None:
        return _image(row[image], image, where, folder, opened=False)
    return _text(row.get(text), text, where, may_be_empty=True)


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
    """The base model's answers to ``n`` examples of personal data, in their order: ``{"response"}``, ``{"image"}`` or a string a line; an empty one is an answer.

    Raises:
        xpert.errors.DataError: As `load_examples`; or there are not ``n`` of them.
    """
    answers: list[str] = []
    for where, line in _lines(path):
        value = _parse(line, where)
        if isinstance(value, Mapping):
            row = cast(Mapping[str, Any], value)
            if row.get("image") is not None:
                answers.append(_image(row["image"], "image", where, Path(path).parent))
                continue
            value = row.get("response")
        answers.append(_text(value, "response", where, may_be_empty=True))
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
            f"{where}: not JSON ({error.msg.removesuffix(' at')} at column {error.colno}): expected one JSON value a line"
        ) from None
    except (ValueError, RecursionError):
        raise DataError(
            f"{where}: not read as JSON (a number too long, or brackets nested too deep): expected one JSON value a line"
        ) from None


def _examples_of(row: Mapping[str, Any], where: str, folder: Path = Path()) -> list[Example]:
    if row.get("image") is not None:
        caption = next((row[name] for name in ("prompt", *CAPTIONS) if row.get(name) is not None), None)
        prompt = None if caption is None else _text(caption, "prompt", where)
        return [Example(prompt=prompt, response=_image(row["image"], "image", where, folder))]
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


def _text(value: Any, field: str, where: str, *, may_be_empty: bool = False) -> str:
    if value is None:
        raise DataError(f"{where}: {field!r} is missing: expected a text")
    if not isinstance(value, str):
        raise DataError(f"{where}: expected {field!r} to be a text, it is a {type(value).__name__}")
    if not value.strip() and not may_be_empty:
        raise DataError(f"{where}: {field!r} is empty: expected a text")
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise DataError(f"{where}: {field!r} holds half a surrogate pair, which is no character: repair the escape")
    return value


def _image(value: Any, field: str, where: str, folder: Path = Path(), *, opened: bool = True) -> str:
    """An image as an answer: its absolute path, or its data URI; opened once, to see that it can be."""
    if hasattr(value, "convert") and hasattr(value, "mode"):  # Pillow's
        value = image_uri(value)
    answer = _text(value, field, where)
    if not answer.startswith(_URI):
        answer = os.path.abspath(folder / answer)
        if not os.path.isfile(answer):
            raise DataError(f"{where}: no such image: {answer}")
    if opened:
        try:
            open_image(answer)
        except DataError as error:
            raise DataError(f"{where}: {error}") from None
    return answer
