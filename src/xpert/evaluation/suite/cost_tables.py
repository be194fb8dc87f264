"""The tables of Table 7 and its chart, from the rows of a result and from nothing else."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from statistics import fmean, median
from typing import Any, TypeAlias

from xpert.evaluation.bootstrap import estimate, paired_difference
from xpert.evaluation.experiments.tables import markdown, points
from xpert.evaluation.results import Chart, Series, Table
from xpert.evaluation.suite.reckoned import EXHAUSTIVE, XPERT, least

__all__ = [
    "ENCODER",
    "FULL",
    "PAIRED",
    "break_even_table",
    "catalog_table",
    "costs_table",
    "growth_chart",
    "growth_table",
    "summaries_of",
    "tables",
    "why_table",
]

PAIRED = "xpert, base answers the user's prompts"
ENCODER = "encoder similarity (MiniLM)"
FULL = "full models"
"""A kind of pool."""
Rows: TypeAlias = Sequence[Mapping[str, Any]]

_FREE = ("random", "oracle")
_OF_ONE_MODEL = (XPERT, PAIRED, ENCODER, *_FREE)
"""Methods that download the chosen model alone."""
_DRAWN = ("models", "downloaded_bytes", "inferences", "readings")


def tables(found: Mapping[str, Any]) -> list[Table]:
    """All that are measured.

    Args:
        found: Of a result's rows: ``users``, ``summaries``, ``catalogs`` (models of a pool to
            `xpert.evaluation.suite.reckoned.catalog_size`) and ``bytes`` (``pools``, kind to bytes of a model, and ``summarizer``).
    """
    rows, summaries, weighed = found["users"], found["summaries"], found["bytes"]
    catalogs = {int(size): told for size, told in found["catalogs"].items()}
    sizes = sorted(catalogs)
    return [
        *(
            Table(title=f"{size} models, {_n_users(rows, size)} users", markdown=costs_table(summaries, size))
            for size in sizes
        ),
        Table(
            title=f"What each says about its choice for a first user, of {sizes[-1]} models", markdown=why_table(rows)
        ),
        Table(title="Processor seconds by the size of the pool (median over users)", markdown=growth_table(summaries)),
        Table(
            title="The catalog, as a device downloads it",
            markdown=catalog_table(summaries, catalogs, weighed["pools"]),
        ),
        Table(
            title="Pool sizes from which xpert downloads less than a method that looks into several models, by the catalog of the largest pool",
            markdown=break_even_table(summaries, catalogs[sizes[-1]]["bytes"], weighed["pools"], weighed["summarizer"]),
        ),
    ]


def summaries_of(rows: Rows) -> list[dict[str, Any]]:
    """Of every method in every pool.

    Args:
        rows: One a user, method and pool.
    """
    sizes = sorted({row["models"] for row in rows})
    return [_summary(rows, method, size) for size in sizes for method in _methods_of(rows)]


def _methods_of(rows: Rows) -> list[str]:
    return list(dict.fromkeys(row["method"] for row in rows))


def _n_users(rows: Rows, size: int) -> int:
    return len({row["user"] for row in rows if row["models"] == size})


def _of(rows: Rows, method: str, size: int) -> list[Mapping[str, Any]]:
    return [row for row in rows if row["method"] == method and row["models"] == size]


def _right(rows: Rows) -> list[float]:
    return [float(row["best_style"] == row["style"]) for row in rows]


def _summary(rows: Rows, method: str, size: int) -> dict[str, Any]:
    """Over the users of a pool: means of what is counted, the median of what is timed; shares are of processor seconds."""
    own, whole = _of(rows, method, size), _of(rows, EXHAUSTIVE, size)
    seconds, processor = (
        [row["cost"]["seconds"] for row in own],
        [p for row in own if (p := row["processor_s"]) is not None],
    )
    measured = [[e["joules"] for e in row["cost"]["energy"] if e["kind"] == "measured"] for row in own]
    phone = [e["joules"] for row in own for e in row["cost"]["energy"] if e["kind"] == "estimated"]
    return {
        "method": method,
        "models": size,
        "right": asdict(estimate(_right(own))),
        "against_exhaustive": asdict(paired_difference(_right(own), _right(whole))),
        **{f"mean_{name}": fmean(row["cost"][name] for row in own) for name in _DRAWN},
        "seconds": median(seconds),
        "seconds_range": [min(seconds), max(seconds)],
        "processor_s": median(processor) if processor else None,
        "processor_range": [min(processor), max(processor)] if processor else None,
        "of_exhaustive": median(processor) / median(row["processor_s"] for row in whole) if processor else None,
        "measured_j": median(sum(one) for one in measured) if all(measured) else None,
        "phone_j": median(phone) if phone else 0.0,
    }


def costs_table(summaries: Rows, size: int) -> str:
    """What each method comes to in the pool of a size."""
    header = [
        "method",
        "right (95%)",
        "less exhaustive's, in points",
        "downloaded",
        "models",
        "inferences",
        "texts read",
        "compute",
        "processor",
        "of exhaustive",
        "energy, Pixel 7 (estimated)",
        *(["energy, measured"] if any(row["measured_j"] is not None for row in summaries) else []),
    ]
    cells = [
        [
            row["method"],
            f"{_percent(row['right']['mean'])} ({_percent(row['right']['low'])} to {_percent(row['right']['high'])})",
            points(row["against_exhaustive"]),
            f"{row['mean_downloaded_bytes'] / 1e6:.2f} MB",
            f"{row['mean_models']:.1f}",
            f"{row['mean_inferences']:.0f}",
            f"{row['mean_readings']:.0f}",
            f"{row['seconds']:.3f} s",
            "-" if row["processor_s"] is None else f"{row['processor_s']:.3f} s",
            "-" if row["of_exhaustive"] is None else _percent(row["of_exhaustive"]),
            f"{row['phone_j']:.2f} J",
            "-" if row["measured_j"] is None else f"{row['measured_j']:.2f} J",
        ][: len(header)]
        for row in summaries
        if row["models"] == size
    ]
    return markdown(header, cells)


def why_table(rows: Rows) -> str:
    """What the methods say of the choice that they made for the first user in the largest pool."""
    largest = [row for row in rows if row["models"] == max(one["models"] for one in rows)]
    own = [row for row in largest if row["user"] == largest[0]["user"]]
    cells = [[row["method"], row["best"], " ".join(row["why"]) or "nothing"] for row in own]
    return markdown(["method", f"chose, for {own[0]['style']}", "why, in its words"], cells)


def growth_table(summaries: Rows) -> str:
    """A row a method, a column a size of the pool, and how much the last is of the first."""
    sizes = sorted({row["models"] for row in summaries})
    by = {(row["method"], row["models"]): row["processor_s"] for row in summaries}
    header = ["method", *(f"{size} models" for size in sizes), f"{sizes[-1]} models / {sizes[0]} models"]
    cells = [
        [
            method,
            *(f"{by[method, size]:.3f}" for size in sizes),
            f"{by[method, sizes[-1]] / by[method, sizes[0]]:.2f}",
        ]
        for method in _methods_of(summaries)
        if method not in (*_FREE, ENCODER)
    ]
    return markdown(header, cells)


def catalog_table(summaries: Rows, catalogs: Mapping[int, Mapping[str, int]], pools: Mapping[str, float]) -> str:
    """What is downloaded beside the chosen model, as a share of the pool, and of pools of other kinds.

    Args:
        summaries: Of the pools: exhaustive search downloads all of their models.
        catalogs: Models of a pool to `xpert.evaluation.suite.reckoned.catalog_size`.
        pools: Kind of pool to bytes of a model, that of the pools themselves first.
    """
    own, *others = pools
    whole = {row["models"]: row["mean_downloaded_bytes"] for row in summaries if row["method"] == EXHAUSTIVE}

    def share(part: float, kind: str) -> str:
        return f"{100 * part:.{2 if kind == FULL else 1}f}%"

    cells = [
        [
            str(size),
            str(told["subvectors"]),
            f"{told['bytes'] / 1e6:.3f} MB",
            share(told["bytes"] / whole[size], own),
            *(share(told["bytes"] / (size * pools[kind]), kind) for kind in others),
        ]
        for size, told in sorted(catalogs.items())
    ]
    return markdown(["models", "sub-vectors", "catalog", *(f"of a pool of {kind}" for kind in pools)], cells)


def _percent(share: float) -> str:
    return f"{100 * share:.1f}%"


def break_even_table(
    summaries: Rows, catalog_bytes: int, pools: Mapping[str, float], summarizer_bytes: int | None
) -> str:
    """The smallest pool of each kind from which xpert downloads less than a method, with the summarizer and without.

    Args:
        summaries: Of the measured pools: which part of the models a method downloads.
        catalog_bytes: Of the largest pool's catalog.
        pools: Kind of pool to bytes of a model.
        summarizer_bytes: None where it is a part of a package.
    """
    header = ["pool of", "a model", "catalog", "summarizer", "less than", "from", "with the summarizer, from"]
    parts = {method: _part(summaries, method) for method in _methods_of(summaries) if method not in _OF_ONE_MODEL}

    def told(size: float, besides: int | None, part: int | None) -> str:
        return "-" if besides is None or part is None else f"{least(size, besides, part)} models"

    cells = [
        [
            kind,
            f"{size / 1e6:.2f} MB",
            f"{catalog_bytes / 1e6:.3f} MB",
            "-" if summarizer_bytes is None else f"{summarizer_bytes / 1e6:.2f} MB",
            method,
            told(size, catalog_bytes, part),
            told(size, None if summarizer_bytes is None else catalog_bytes + summarizer_bytes, part),
        ]
        for kind, size in pools.items()
        for method, part in parts.items()
    ]
    return markdown(header, cells)


def _part(summaries: Rows, method: str) -> int | None:
    """1 where a method downloads all models of every pool, 2 where half of them, rounded up; None where neither."""
    own = [(row["models"], row["mean_models"]) for row in summaries if row["method"] == method]
    return next((part for part in (1, 2) if all(n == math.ceil(size / part) for size, n in own)), None)


def growth_chart(summaries: Rows, sizes: Sequence[int]) -> Chart:
    """Processor seconds against the size of the pool, a method a line."""
    shown = [method for method in _methods_of(summaries) if method not in (*_FREE, ENCODER)]
    by = {(row["method"], row["models"]): row for row in summaries}
    series = [
        Series(
            name=method,
            x=list(sizes),
            y=[by[method, size]["processor_s"] for size in sizes],
            low=[by[method, size]["processor_range"][0] for size in sizes],
            high=[by[method, size]["processor_range"][1] for size in sizes],
        )
        for method in shown
    ]
    return Chart(
        title="Compute of selecting (median and range over users)",
        x_label="models",
        y_label="processor seconds",
        series=series,
    )
