"""A folder of images as data: what `datasets` calls an imagefolder, or images with a text file of the same name beside each."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from xpert.errors import DataError
from xpert.images import SUFFIXES

__all__ = ["CAPTIONS", "METADATA", "CaptionedImage", "read_image_folder"]

METADATA = ("metadata.jsonl", "metadata.csv")
"""Files that list a folder's images: a column ``file_name``, and captions."""
CAPTIONS = ("text", "caption", "prompt")
"""Columns that hold captions; the first that is there counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptionedImage:
    """One image of a folder.

    Attributes:
        where: Where it was listed, for messages.
        path: The image file, absolute.
        caption: What it shows, or None.
    """

    where: str
    path: Path
    caption: str | None


def read_image_folder(folder: str | Path, *, captions: str | None = None) -> list[CaptionedImage]:
    """The images of a folder, with their captions; none is opened.

    With ``metadata.jsonl`` or ``metadata.csv`` in it, the images that it lists (``file_name``, relative to the folder), in its
    order; else all images in the folder and its sub-folders by name, each with the caption in the ``.txt`` of its name.

    Args:
        folder: Where they lie.
        captions: The column that holds captions. None: the first of ``text``, ``caption``, ``prompt`` that is there.

    Raises:
        xpert.errors.DataError: No images, a listed image that is not there, a broken list, or an empty caption.
    """
    folder = Path(folder).absolute()
    for name in METADATA:
        if (folder / name).is_file():
            found = [_listed(folder, where, row, captions) for where, row in _rows(folder / name)]
            break
    else:
        found = [_beside(path) for path in sorted(folder.rglob("*")) if path.suffix.lower() in SUFFIXES]
    if not found:
        raise DataError(
            f"{folder}: a folder without images: expected image files (.png, .jpg, ...), with metadata.jsonl or .txt files for captions"
        )
    return found


def _listed(folder: Path, where: str, row: Mapping[str, Any], captions: str | None) -> CaptionedImage:
    name = row.get("file_name")
    if not isinstance(name, str) or not name:
        raise DataError(f"{where}: 'file_name' is missing: expected the name of an image in {folder}")
    if not (folder / name).is_file():
        raise DataError(f"{where}: no such image: {folder / name}")
    if captions is not None and captions not in row:
        raise DataError(f"{where}: no column {captions!r}: it has {', '.join(map(str, row))}")
    columns = (captions,) if captions is not None else CAPTIONS
    caption = next((row[column] for column in columns if row.get(column) is not None), None)
    if caption is not None and not (isinstance(caption, str) and caption.strip()):
        raise DataError(f"{where}: the caption is empty or no text: write one, or leave the field out")
    return CaptionedImage(where=where, path=folder / name, caption=caption)


def _beside(path: Path) -> CaptionedImage:
    file = path.with_suffix(".txt")
    if not file.is_file():
        return CaptionedImage(where=str(path), path=path, caption=None)
    try:
        caption = file.read_text(encoding="utf-8-sig").strip()
    except UnicodeDecodeError as error:
        raise DataError(f"{file}: not UTF-8 (byte {error.start + 1}): save the file as UTF-8") from None
    if not caption:
        raise DataError(f"{file}: empty: expected the caption of {path.name}")
    return CaptionedImage(where=str(path), path=path, caption=caption)


def _rows(file: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(f"{file}: not UTF-8 (byte {error.start + 1}): save the file as UTF-8") from None
    if file.suffix == ".csv":
        for number, row in enumerate(csv.DictReader(lines), start=2):
            yield f"{file}, line {number}", {name: value or None for name, value in row.items() if name}
        return
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        where = f"{file}, line {number}"
        try:
            value: Any = json.loads(line)
        except ValueError as error:
            raise DataError(f"{where}: not JSON ({error}): expected one object a line") from None
        if not isinstance(value, dict):
            raise DataError(f"{where}: expected a JSON object, it is a {type(value).__name__}")
        yield where, cast("dict[str, Any]", value)
