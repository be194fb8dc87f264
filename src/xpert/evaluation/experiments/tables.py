"""Rows as Markdown tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

__all__ = ["markdown", "percent", "spread"]


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
