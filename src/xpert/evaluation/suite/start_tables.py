"""The tables of Table 5 and its chart: who is right, what fine-tuning costs, user by user."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from xpert.energy import estimated
from xpert.evaluation.experiments.tables import markdown, percent, points
from xpert.evaluation.results import Chart, Series
from xpert.evaluation.suite.chosen import ALL

__all__ = [
    "OTHER",
    "PHONE",
    "SELECTED",
    "accuracy_table",
    "cost_table",
    "differences_table",
    "figures_told",
    "saved",
    "saved_chart",
    "share_told",
    "steps_told",
    "users_table",
]

PHONE = "pixel-7"
SELECTED, OTHER = "selected", "another style's"
"""Kinds of starts."""


def saved(row: Mapping[str, Any], what: str) -> float:
    """Negative where the selected start took longer.

    >>> saved({"steps_selected": 15, "steps_base": 60}, "steps")
    0.75
    """
    return 1 - row[f"{what}_selected"] / row[f"{what}_base"]


def accuracy_table(rights: Sequence[Mapping[str, Any]]) -> str:
    """Who got the right model, a pool a row, beside exhaustive search on the same users."""
    names = list(rights[0]["right"])
    cells = [
        [
            _phrases(row),
            f"s = {row['similarity']}",
            *(share_told(row["right"][name]) for name in names),
            row["right"][ALL]["n"],
            points(row["less_exhaustive"]),
            row["less_exhaustive"]["n"],
        ]
        for row in rights
    ]
    header = ["known phrases", "pool", *names, "users", "all axes less exhaustive, same users, in points", "searched"]
    return markdown(header, cells)


def differences_table(against: Sequence[Mapping[str, Any]]) -> str:
    """Steps saved by the selected model and by another style's, and the difference in points."""
    cells = [
        [
            _phrases(row),
            f"s = {row['similarity']}",
            *(share_told(row["saved"][kind]) for kind in (SELECTED, OTHER)),
            points(row["difference"]),
        ]
        for row in against
    ]
    return markdown(["known phrases", "pool", SELECTED, OTHER, "difference, in points"], cells)


def _phrases(row: Mapping[str, Any]) -> str:
    return f"{row['known_phrases']}%"


def cost_table(rows: Sequence[Mapping[str, Any]], summaries: Sequence[Mapping[str, Any]]) -> str:
    """Steps, seconds, energy and data of the base and of every start, by known phrases."""
    header = [
        "known phrases",
        "start",
        "right model",
        "got there",
        "at its start",
        "steps",
        "FT-time",
        "steps saved",
        "FT-time saved",
        "energy, Pixel 7 (estimated)",
        "data saved",
    ]
    cells: list[list[object]] = []
    for known in dict.fromkeys(row["known_phrases"] for row in rows):
        scratch = list({row["style"]: row for row in rows if row["known_phrases"] == known}.values())
        seconds, whole = fmean(row["seconds_base"] for row in scratch), f"{len(scratch)} of {len(scratch)}"
        figures = [f"{fmean(row['steps_base'] for row in scratch):.0f}", f"{seconds:.1f} s", "-", "-"]
        energy = f"{estimated(seconds, PHONE).joules:.0f} J"
        cells.append([f"{known}%", "the base", "-", whole, "-", *figures, energy, "-"])
        for row in summaries:
            if row["known_phrases"] != known:
                continue
            of = f"of {row['trainees']}"
            cells.append(
                [
                    f"{known}%",
                    f"{row['kind']}, s = {row['similarity']}",
                    f"{row['trainees_right']} {of}",
                    f"{row['got_there']} {of}",
                    f"{row['met_at_start']} {of}",
                    *(figures_told(row) if row["got_there"] else ["-"] * 6),
                ]
            )
    return markdown(header, cells)


def figures_told(row: Mapping[str, Any]) -> list[str]:
    """Of a summary of those who got there: steps, seconds, what is saved of both, energy, and data saved."""
    saved = [share_told(row[name]) for name in ("steps_saved", "seconds_saved")]
    data = "-" if row["data_saved"] is None else share_told(row["data_saved"])
    return [f"{row['steps']:.0f}", f"{row['seconds']:.1f} s", *saved, f"{row['phone_j']:.0f} J", data]


def users_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """A user and start a row."""
    cells = [
        [
            row["style"],
            _phrases(row),
            row["similarity"],
            row["start"],
            row["steps_base"],
            steps_told(row),
            "-" if row["steps_selected"] is None else percent(saved(row, "steps")),
            _or_dash(row["texts_selected"]),
        ]
        for row in rows
    ]
    texts = rows[0]["texts"]
    header = [
        "user",
        "known phrases",
        "s",
        "start",
        "steps: scratch",
        "steps: start",
        "saved",
        f"texts needed of {texts}",
    ]
    return markdown(header, cells)


def steps_told(row: Mapping[str, Any]) -> object:
    """Of a start: up to the target, and whether it met it before its first step; a dash if it never did.

    >>> [steps_told({"steps_selected": n, "met_at_start": met}) for n, met in ((8, True), (8, False), (None, False))]
    ['8 (at its start)', 8, '-']
    """
    return f"{row['steps_selected']} (at its start)" if row["met_at_start"] else _or_dash(row["steps_selected"])


def _or_dash(value: object) -> object:
    return "-" if value is None else value


def share_told(one: Mapping[str, float]) -> str:
    """A share and its interval in percent."""
    return f"{100 * one['mean']:.0f}% ({100 * one['low']:.0f} to {100 * one['high']:.0f})"


def saved_chart(
    rights: Sequence[Mapping[str, Any]], summaries: Sequence[Mapping[str, Any]], known_phrases: int
) -> Chart:
    """Right models, steps and data saved against the similarity, of users of so many percent known phrases."""
    own = [row for row in rights if row["known_phrases"] == known_phrases]
    there = [
        row
        for row in summaries
        if row["known_phrases"] == known_phrases and row["kind"] == SELECTED and row["got_there"]
    ]

    xs, there_xs = [row["similarity"] for row in own], [row["similarity"] for row in there]
    return Chart(
        title=f"What the selected model saves, {known_phrases}% known phrases",
        x_label="similarity s, percent",
        y_label="percent",
        series=[
            Series.of_estimates("right model", xs, [row["right"][ALL] for row in own], factor=100),
            Series.of_estimates("steps saved", there_xs, [row["steps_saved"] for row in there], factor=100),
            Series.of_estimates("data saved", there_xs, [row["data_saved"] for row in there], factor=100),
        ],
    )
