"""The paper's data sets by their Hub names, read through ``datasets``, row by row: columns to prompt and response.

Nothing is downloaded but what is read: rows are streamed, and reading stops when there are enough.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from xpert.errors import DataError, MissingDependencyError, ReferenceNotFoundError, did_you_mean
from xpert.types import Example

__all__ = ["HUB_DATA", "STYLES", "HubData", "hub_data", "hub_examples", "hub_parts"]

_BEGINNING, _CONTINUATION = 16, 90
"""Words of a passage that are the prompt, and that are the response."""

Loader = Callable[..., Iterable[Mapping[str, Any]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class HubData:
    """One data set, or the part of one that has a label.

    Attributes:
        name: As the command line has it after ``hub:``, and its style's.
        repository: Hub id.
        prompt: Columns whose texts, a blank line between them, are the prompt; empty where a passage is cut in two: its first 16
            words, and the next 90.
        response: Column of the answer or of the passage. A column of turns (texts, or ``{"role", "content"}``) begins with the user's.
        label: Column and value of the rows that count; None: all.
        files: Of the repository, where it holds several sets; None: as it says itself.
        split: Which one is read.
        rows: About how many there are.
        row_bytes: About how many a row has, as it is downloaded: for planning, not looked up.
        note: What differs from the paper's.
    """

    name: str
    repository: str
    prompt: tuple[str, ...] = ()
    response: str = "output"
    label: tuple[str, str] | None = None
    files: str | None = None
    split: str = "train"
    rows: int
    row_bytes: int
    note: str = ""

    @property
    def place(self) -> tuple[str, str | None, str]:
        """What is read; data sets of one place are parts of the same rows."""
        return self.repository, self.files, self.split

    @property
    def reading(self) -> tuple[Any, ...]:
        """All that its examples depend on, but for how many they are."""
        return *self.place, self.prompt, self.response, self.label, _BEGINNING, _CONTINUATION

    def planned_bytes(self, n: int) -> int:
        """About what reading ``n`` examples downloads; where a label is looked for, all rows, since they may be sorted by it."""
        return self.row_bytes * (self.rows if self.label else min(n, self.rows))


_ALPACA = {"prompt": ("instruction", "input"), "response": "output"}
_CDS = {"repository": "billray110/corpus-of-diverse-styles", "response": "text", "rows": 15_000_000, "row_bytes": 130}

_ALL = (
    HubData(name="alpaca", repository="tatsu-lab/alpaca", **_ALPACA, rows=52_002, row_bytes=470),
    *(
        HubData(name=name, label=("label", name), **_CDS, note="CDS")
        for name in ("poetry", "lyrics", "tweets", "shakespeare")
    ),
    HubData(
        name="fiction",
        repository="sam-paech/gutenberg3-generalfiction-scifi-fantasy-romance-adventure-dpo",
        response="chosen",
        rows=5_000,
        row_bytes=6_000,
        note="Gutenberg3 as one style: the paper has three (fantasy, romance, science fiction)",
    ),
    HubData(
        name="arxiv",
        repository="ccdv/arxiv-summarization",
        response="article",
        rows=203_037,
        row_bytes=18_000,
        note="ScientificPapers",
    ),
    HubData(
        name="pubmed",
        repository="ccdv/pubmed-summarization",
        response="article",
        rows=119_924,
        row_bytes=9_000,
        note="ScientificPapers",
    ),
    HubData(
        name="medical",
        repository="lavita/ChatDoctor-HealthCareMagic-100k",
        prompt=("input",),
        response="output",
        rows=112_165,
        row_bytes=650,
        note="in MedDialog's place: one of the two sites that it is from",
    ),
    HubData(
        name="law",
        repository="ShengbinYue/DISC-Law-SFT",
        files="DISC-Law-SFT-Pair-QA-released.jsonl",
        prompt=("input",),
        response="output",
        rows=79_692,
        row_bytes=1_200,
    ),
    HubData(
        name="education",
        repository="ecnu-icalk/educhat-sft-002-data-osm",
        prompt=("data",),
        response="data",
        rows=4_000_000,
        row_bytes=800,
    ),
    HubData(name="finance", repository="gbharti/finance-alpaca", **_ALPACA, rows=68_912, row_bytes=640),
)

HUB_DATA: Mapping[str, HubData] = {one.name: one for one in _ALL}
"""By name. Rows and bytes are for planning; columns are those that public code reads, and are checked when a row is."""

STYLES: tuple[str, ...] = ("poetry", "lyrics", "tweets", "shakespeare", "fiction", "arxiv", "pubmed")
"""The real-world styles."""


def hub_data(name: str) -> HubData:
    """A data set by name.

    Raises:
        xpert.errors.ReferenceNotFoundError: There is none of that name.
    """
    if name not in HUB_DATA:
        raise ReferenceNotFoundError(
            f"no data set {name!r}: expected one of {', '.join(HUB_DATA)}{did_you_mean(name, HUB_DATA)}"
        )
    return HUB_DATA[name]


def hub_examples(data: HubData, n: int, *, load: Loader | None = None) -> list[Example]:
    """The first ``n`` different examples of a data set; rows without a text, or whose passage is too short to be cut, are passed over.

    Args:
        data: Which one.
        n: How many.
        load: Reads it, as ``datasets.load_dataset`` does; None: that.

    Raises:
        xpert.errors.MissingDependencyError: ``datasets`` is not installed.
        xpert.errors.ReferenceNotFoundError: It cannot be reached.
        xpert.errors.DataError: A column is missing, or there are fewer examples.
    """
    return hub_parts([data], n, load=load)[data.name]


def hub_parts(parts: Sequence[HubData], n: int, *, load: Loader | None = None) -> dict[str, list[Example]]:
    """`hub_examples` of several data sets that are parts of one place, whose rows are read once for all of them.

    Args:
        parts: Which, all of one place.
        n: How many of each.
        load: As `hub_examples` has it.

    Returns:
        Name to examples.

    Raises:
        xpert.errors.MissingDependencyError: ``datasets`` is not installed.
        xpert.errors.ReferenceNotFoundError: They cannot be reached.
        xpert.errors.DataError: A column is missing, or there are fewer examples of one.
    """
    found = {one.name: dict[tuple[str | None, str], Example]() for one in parts}
    for row in _opened(parts[0], load or _loader()):
        for one in parts:
            own = found[one.name]
            if len(own) < n and _counts(row, one) and (example := _example(row, one)) is not None:
                own.setdefault((example.prompt, example.response), example)
        if all(len(own) == n for own in found.values()):
            return {name: list(own.values()) for name, own in found.items()}
    short = next(one for one in parts if len(found[one.name]) < n)
    raise DataError(
        f"{short.repository}: expected {n} different examples of {short.name}, got {len(found[short.name])}: ask for fewer"
    )


def _loader() -> Loader:
    try:
        return import_module("datasets").load_dataset
    except ImportError as error:
        raise MissingDependencyError.of("datasets", "eval", "reading data sets of the Hub") from error


def _opened(data: HubData, load: Loader) -> Iterable[Mapping[str, Any]]:
    options = {} if data.files is None else {"data_files": data.files}
    try:
        return load(data.repository, split=data.split, streaming=True, **options)
    except (OSError, ValueError) as error:
        raise ReferenceNotFoundError(
            f"data set {data.name} ({data.repository}): cannot be read: {error}: check the connection, or give a folder of your own"
        ) from error


def _counts(row: Mapping[str, Any], data: HubData) -> bool:
    return data.label is None or str(_column(row, data.label[0], data)) == data.label[1]


def _example(row: Mapping[str, Any], data: HubData) -> Example | None:
    value = _column(row, data.response, data)
    if not isinstance(value, str):
        turns = [_turn(turn) for turn in value]
        if data.prompt:
            return _pair(turns[0], turns[1]) if len(turns) > 1 else None
        value = turns[-1] if turns else ""
    if data.prompt:
        parts = [str(_column(row, name, data) or "").strip() for name in data.prompt]
        return _pair("\n\n".join(part for part in parts if part), value)
    words = value.split()
    if len(words) <= _BEGINNING:
        return _pair("", value, least=3)
    return _pair(" ".join(words[:_BEGINNING]), " ".join(words[_BEGINNING : _BEGINNING + _CONTINUATION]))


def _pair(prompt: str, response: str, *, least: int = 1) -> Example | None:
    return Example(prompt=prompt or None, response=response.strip()) if len(response.split()) >= least else None


def _turn(turn: object) -> str:
    return str(turn["content"]) if isinstance(turn, Mapping) else str(turn)


def _column(row: Mapping[str, Any], name: str, data: HubData) -> Any:
    if name not in row:
        columns: Sequence[str] = list(row)
        raise DataError(f"{data.repository}: expected a column {name!r}, got {', '.join(columns)}: it was changed")
    return row[name]
