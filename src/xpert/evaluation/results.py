"""What an experiment found, as a value, as JSON and back."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from xpert.errors import DataError
from xpert.tensors.files import write_text

__all__ = ["FORMAT_VERSION", "Chart", "Result", "Series", "Table", "read_result", "write_result"]

FORMAT_VERSION = 1

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Attributes: ``title``, and the table as Markdown (`xpert.evaluation.experiments.tables.markdown`)."""

    title: str
    markdown: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One line of a chart.

    Attributes:
        name: In the legend.
        x, y: Its points, equally many.
        low, high: Ends of each point's interval; empty where there are none.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] = ()
    high: Sequence[float] = ()

    @classmethod
    def of_estimates(
        cls, name: str, x: Sequence[float], estimates: Sequence[Mapping[str, float]], *, factor: float = 1.0
    ) -> Series:
        """Means with their intervals (``mean``, ``low``, ``high`` of each, `xpert.evaluation.bootstrap.Estimate`), times a factor.

        >>> Series.of_estimates("right", [90], [{"mean": 0.5, "low": 0.25, "high": 1.0}], factor=100).low
        [25.0]
        """
        mean, low, high = ([factor * one[key] for one in estimates] for key in ("mean", "low", "high"))
        return cls(name=name, x=list(x), y=mean, low=low, high=high)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A plot of lines, or of points over names.

    Attributes:
        title, x_label, y_label: What it shows.
        series: Its lines.
        log: Whether both axes are logarithmic.
        names: What x = 0, 1, ... stand for, where they are no numbers: the points of a series are not joined then.
    """

    title: str
    x_label: str
    y_label: str
    series: Sequence[Series]
    log: bool = False
    names: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One experiment, run.

    Attributes:
        experiment: Its name.
        preset: At which size.
        seed: Of all that is drawn.
        spec: What it was run on: models, prompts, draws, users.
        tables: For people.
        charts: To draw.
        rows: The figures behind the tables, JSON values.
        seconds: Wall-clock time of this run; what lay in the cache was not computed again.
        manifest: Versions, machine, commit (`xpert.evaluation.manifest`).
        on: Data and summarizer, where they are not the usual ones (`xpert.evaluation.setting.Setting.told`).
        stem: Of its files' names.
    """

    experiment: str
    preset: str
    seed: int
    spec: Mapping[str, Any]
    tables: Sequence[Table]
    charts: Sequence[Chart] = ()
    rows: Any = None
    seconds: float = 0.0
    manifest: Mapping[str, Any] = field(default_factory=dict[str, Any])
    on: str = ""
    stem: str = ""


def write_result(result: Result, file: Path) -> Path:
    """Write it as JSON; the file appears whole."""
    file.parent.mkdir(parents=True, exist_ok=True)
    document = {"format_version": FORMAT_VERSION, **asdict(result)}
    return write_text(file, json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def read_result(file: Path) -> Result:
    """Read what `write_result` wrote.

    Raises:
        xpert.errors.DataError: It is no result, of a newer format, or has keys that this version does not know.
    """
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
        newer = document.pop("format_version")
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise DataError(f"{file}: expected a result of xpert evaluate: {error}: remove it and run again") from error
    if newer != FORMAT_VERSION:
        raise DataError(f"{file}: format {newer}, this xpert reads {FORMAT_VERSION}: run it again with this version")
    tables = tuple(_made(Table, one, file) for one in document.pop("tables", ()))
    charts = tuple(
        _made(
            Chart,
            {
                **one,
                "series": tuple(_made(Series, line, file) for line in one["series"]),
                "names": tuple(one.get("names", ())),
            },
            file,
        )
        for one in document.pop("charts", ())
    )
    return _made(Result, {**document, "tables": tables, "charts": charts}, file)


def _made(kind: type[T], values: Mapping[str, Any], file: Path) -> T:
    known: Any = kind
    names = {one.name for one in fields(known)}
    if unknown := sorted(values.keys() - names):
        raise DataError(f"{file}: unknown key {unknown[0]!r}: run it again with this version")
    try:
        return kind(**values)
    except TypeError as error:
        raise DataError(f"{file}: {error}: run it again with this version") from error
