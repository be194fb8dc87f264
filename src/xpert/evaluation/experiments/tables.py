"""Rows as Markdown tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from xpert.space import AxesName

__all__ = ["AXES_TOLD", "interval", "markdown", "percent", "points", "spread"]

AXES_TOLD: Mapping[AxesName, str] = {
    "all": "all axes",
    "named": "words alone",
    "named+measured": "words and measured quantities",
}
"""Choices of axes (`xpert.space.AXES`) as tables tell them."""


def markdown(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table; every row has as many cells as the header.

    >>> print(markdown(["a", "b"], [[1, "x"]]))
    | a | b |
    |---|---|
    | 1 | x |
    """
    lines = [list(map(str, header)), ["---"] * len(header), *([str(cell) for cell in row] for row in rows)]
    if wrong := [line for line in lines if len(line) != len(header)]:
        raise ValueError(f"expected {len(header)} cells a row, got {wrong[0]}")
    return "\n".join(f"|{'|'.join(line)}|" if line[0] == "---" else f"| {' | '.join(line)} |" for line in lines)


def percent(share: float) -> str:
    """A share as whole percent.

    >>> percent(0.964)
    '96%'
    """
    return f"{100 * share:.0f}%"


def spread(values: Sequence[float], digits: int = 0) -> str:
    """The mean, and the range where there is one.

    >>> spread([3, 3]), spread([2, 4])
    ('3', '3 (2 to 4)')
    """
    mean, low, high = (f"{v:.{digits}f}" for v in (sum(values) / len(values), min(values), max(values)))
    return mean if low == high else f"{mean} ({low} to {high})"


def interval(one: Mapping[str, float], digits: int = 1, unit: str = "") -> str:
    """An estimate (`xpert.evaluation.bootstrap.Estimate` as a dictionary) with its interval.

    >>> interval({"mean": 7.25, "low": 5.0, "high": 9.5})
    '7.2 (5.0 to 9.5)'
    """
    mean, low, high = (f"{one[name]:.{digits}f}" for name in ("mean", "low", "high"))
    return f"{mean}{unit} ({low} to {high})"


def points(one: Mapping[str, float]) -> str:
    """A difference of two shares, in points of 100.

    >>> points({"mean": -0.05, "low": -0.1, "high": 0.0})
    '-5.0 (-10.0 to 0.0)'
    """
    return interval({name: 100 * one[name] for name in ("mean", "low", "high")})
