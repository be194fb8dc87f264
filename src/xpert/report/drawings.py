"""Drawings of a report, as SVG that takes its colours from the page: a map of models, and a heat map of their coordinates."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from xpert.report.markup import Html, tag

__all__ = ["NAMED", "NUMBERED", "bar", "heat_map", "model_map"]

_WIDTH, _HEIGHT, _EDGE = 640, 420, 46
NAMED = 16
"""So many models have their names on the map; of more, their numbers."""
NUMBERED = 60
"""Of more than so many not even these."""
_LINE = 12
_CELL, _LEFT, _LETTER = 18, 190, 6.2
_LONGEST_LABEL = 28


def model_map(
    models: ArrayLike,
    names: Sequence[str],
    labels: tuple[str, str],
    *,
    user: ArrayLike | None = None,
    best: int | None = None,
) -> Html:
    """Models as points on a plane, both axes to one scale.

    Args:
        models: ``(N, 2)`` places.
        names: Theirs, shown when a point is pointed at; beside it the name of few, the number (from 1) of up to 60.
        labels: What the axes are.
        user: ``(2,)`` the user's place, a diamond.
        best: The model that was chosen for the user.
    """
    places = np.asarray(models, np.float64)
    every = places if user is None else np.vstack([places, np.asarray(user, np.float64)])
    middle = (every.max(axis=0) + every.min(axis=0)) / 2
    span = np.maximum(every.max(axis=0) - every.min(axis=0), 1e-9)
    scale = float(min((_WIDTH - 3 * _EDGE) / span[0], (_HEIGHT - 2 * _EDGE) / span[1]))
    at = (every - middle) * [scale, -scale] + [_WIDTH / 2, _HEIGHT / 2]
    parts = [tag("rect", x=0.5, y=0.5, width=_WIDTH - 1, height=_HEIGHT - 1, class_="frame")]
    shown = names if len(names) <= NAMED else [str(i + 1) for i in range(len(names))]
    heights = _spread(at[: len(names)], [len(_cut(one)) * _LETTER for one in shown])
    for i, name in enumerate(names):
        x, y = at[i]
        radius = 5 if len(names) <= NUMBERED else 3
        parts.append(
            tag("circle", tag("title", name), cx=_n(x), cy=_n(y), r=radius, class_="best" if i == best else "dot")
        )
        if len(names) > NUMBERED:
            continue
        left = x > _WIDTH * 0.72
        anchor, side = ("end", -8) if left else ("start", 8)
        parts.append(tag("text", _cut(shown[i]), x=_n(x + side), y=_n(heights[i] + 4), text_anchor=anchor))
    if user is not None:
        x, y = at[-1]
        corner = f"M{_n(x)} {_n(y - 9)}L{_n(x + 9)} {_n(y)}L{_n(x)} {_n(y + 9)}L{_n(x - 9)} {_n(y)}Z"
        parts.append(tag("path", tag("title", "the user"), d=corner, class_="user"))
    parts += [
        tag("text", labels[0], x=_WIDTH / 2, y=_HEIGHT - 10, text_anchor="middle", class_="soft"),
        tag(
            "text", labels[1], transform=f"translate(16 {_HEIGHT / 2}) rotate(-90)", text_anchor="middle", class_="soft"
        ),
    ]
    return _svg(parts, _WIDTH, _HEIGHT, "Map of the models")


def heat_map(values: ArrayLike, rows: Sequence[str], columns: Sequence[str], titles: Sequence[Sequence[str]]) -> Html:
    """A cell a model and axis: its colour says more or less, its depth how much.

    Args:
        values: ``(N, K)`` from -1 to 1.
        rows: Names of the models.
        columns: Names of the axes.
        titles: ``(N, K)`` what a cell says when it is pointed at.
    """
    grid = np.clip(np.nan_to_num(np.asarray(values, np.float64)), -1, 1)
    top = 14 + _LETTER * max((len(_cut(name)) for name in columns), default=0)
    width, height = _LEFT + _CELL * len(columns) + top * 0.6, top + _CELL * len(rows) + 4
    parts = [
        tag("text", _cut(name), transform=f"translate({_n(_LEFT + _CELL * (k + 0.7))} {_n(top - 6)}) rotate(-60)")
        for k, name in enumerate(columns)
    ]
    for i, name in enumerate(rows):
        y = top + _CELL * i
        parts.append(tag("text", _cut(name), x=_LEFT - 6, y=_n(y + 13), text_anchor="end"))
        parts += [
            tag(
                "rect",
                tag("title", titles[i][k]),
                x=_LEFT + _CELL * k,
                y=_n(y),
                width=_CELL - 1,
                height=_CELL - 1,
                class_="up" if grid[i, k] > 0 else "down",
                fill_opacity=_n(max(abs(float(grid[i, k])), 0.03), 2),
            )
            for k in range(len(columns))
        ]
    return _svg(parts, width, height, "Heat map of coordinates", wide=True)


def bar(share: float) -> Html:
    """A bar of a share, -1 to 1, of a cell's width."""
    width = _n(100 * min(abs(share), 1.0))
    made = tag("rect", x=0, y=2, width=width, height=8, class_="up" if share >= 0 else "down")
    return tag("svg", made, class_="bar", width=100, height=12, viewBox="0 0 100 12", aria_hidden="true")


def _spread(at: np.ndarray, widths: Sequence[float]) -> list[float]:
    """Heights of labels beside points: one that would lie on another is moved down."""
    found = [0.0] * len(widths)
    placed: list[tuple[float, float, float]] = []
    for i in np.argsort(at[:, 1], kind="stable").tolist():
        x, y = at[i]
        left = x - widths[i] - 8 if x > _WIDTH * 0.72 else x + 8
        for other in sorted(height for start, end, height in placed if start < left + widths[i] and left < end):
            if abs(other - y) < _LINE:
                y = other + _LINE
        placed.append((left, left + widths[i], y))
        found[i] = float(y)
    return found


def _svg(parts: Sequence[Html], width: float, height: float, title: str, *, wide: bool = False) -> Html:
    return tag(
        "svg",
        *parts,
        viewBox=f"0 0 {_n(width)} {_n(height)}",
        width=_n(width),
        height=_n(height),
        role="img",
        aria_label=title,
        class_="wide" if wide else None,
    )


def _cut(name: str) -> str:
    return name if len(name) <= _LONGEST_LABEL else f"{name[: _LONGEST_LABEL - 1]}…"


def _n(value: float, decimals: int = 1) -> str:
    return f"{round(float(value), decimals):g}"
