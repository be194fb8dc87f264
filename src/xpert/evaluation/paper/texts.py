"""Examples of the Hub's data sets in files of the work folder: what is there is not read again, and needs no network."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from xpert.evaluation.keeping import mark_of, read_kept
from xpert.evaluation.paper.hub import hub_data, hub_parts
from xpert.progress import say
from xpert.tensors.files import write_text
from xpert.types import Example

__all__ = ["hub_texts"]


def hub_texts(names: Sequence[str], n: int, folder: Path) -> dict[str, list[Example]]:
    """The first ``n`` different examples of each data set; those that no file has are read, in one pass over each place.

    Args:
        names: Of the data sets.
        n: How many of each.
        folder: Of the files, one a data set; another number, or another way to read one, is another file.

    Returns:
        Name to examples, in the order of the names.

    Raises:
        xpert.errors.ReferenceNotFoundError: There is no data set of a name, or it cannot be reached.
        xpert.errors.MissingDependencyError: ``datasets`` is not installed.
        xpert.errors.DataError: A column is missing, there are fewer examples of one, or a file that is there is damaged.
    """
    sets = [hub_data(name) for name in names]
    files = {one.name: folder / f"{one.name}-{mark_of(one.reading, n)}.json" for one in sets}
    missing = [one for one in sets if not files[one.name].is_file()]
    for place in dict.fromkeys(one.place for one in missing):
        parts = [one for one in missing if one.place == place]
        say(f"{place[0]}: reading {', '.join(one.name for one in parts)}")
        for name, examples in hub_parts(parts, n).items():
            folder.mkdir(parents=True, exist_ok=True)
            write_text(files[name], json.dumps([[one.prompt, one.response] for one in examples]) + "\n")
    return {
        name: [Example(prompt=prompt, response=response) for prompt, response in read_kept(file)]
        for name, file in files.items()
    }
