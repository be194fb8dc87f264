"""Where images come from: a file, a folder, or a data set by its name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from xpert.errors import DataError, MissingDependencyError
from xpert.examples import load_examples
from xpert.image_folders import CAPTIONS, read_image_folder
from xpert.references import is_hub_id
from xpert.types import Example

__all__ = ["load_pictures"]

_IMAGES = ("image", "img")


def load_pictures(source: str | Path, caption_column: str | None = None) -> list[Example]:
    """Images with their captions, in order.

    Args:
        source: A JSON Lines file or a folder of images, as `xpert.load_examples` takes them; or the name of a data set of
            `datasets`, whose training split is taken.
        caption_column: The column that holds captions; None: the first of ``text``, ``caption``, ``prompt`` that is there.

    Raises:
        xpert.errors.DataError: Nothing there, an image that cannot be read, or no such column.
        xpert.errors.MissingDependencyError: A data set's name, and `datasets` is not installed.
    """
    if Path(source).is_dir():
        if caption_column is None:
            return load_examples(source)
        found = read_image_folder(source, captions=caption_column)
        return [Example(prompt=image.caption, response=str(image.path)) for image in found]
    if Path(source).exists() or not is_hub_id(str(source)):
        return load_examples(source)
    return _data_set(str(source), caption_column)


def _data_set(name: str, caption_column: str | None) -> list[Example]:
    try:
        import datasets
    except ModuleNotFoundError:
        raise MissingDependencyError.of("datasets", "eval", f"the data set {name!r}") from None
    library: Any = datasets
    try:
        rows = library.load_dataset(name, split="train")
    except Exception as error:  # datasets raises what its readers and the network raise
        raise DataError(
            f"data {name!r}: no such file or folder here, and no data set that can be loaded "
            f"({type(error).__name__}: {' '.join(str(error).split())[:200]})"
        ) from error
    columns: list[str] = list(rows.column_names)
    image = _column(name, columns, None, _IMAGES, "images")
    caption = _column(name, columns, caption_column, CAPTIONS, "captions") if caption_column else None
    caption = caption or next((column for column in CAPTIONS if column in columns), None)
    return load_examples([_record(row, image, caption) for row in rows])


def _record(row: Mapping[str, Any], image: str, caption: str | None) -> dict[str, Any]:
    return {"image": row[image]} if caption is None else {"image": row[image], "prompt": row[caption]}


def _column(name: str, columns: list[str], given: str | None, usual: tuple[str, ...], what: str) -> str:
    wanted = usual if given is None else (given,)
    for column in wanted:
        if column in columns:
            return column
    raise DataError(f"data set {name!r}: no column of {what} ({', '.join(wanted)}): it has {', '.join(columns)}")
