"""Token rows in batches of like length, results in the order of the rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

__all__ = ["batches"]


def batches(lengths: Sequence[int], *, token_budget: int, batch_size: int | None = None) -> Iterator[list[int]]:
    """Indices of rows, the longest first, so that rows times the longest stays within a budget (one row always goes).

    Args:
        lengths: Tokens of each row.
        token_budget: Tokens in a batch at most, padding included.
        batch_size: Rows in a batch at most; None: the budget alone decides.

    >>> list(batches([3, 9, 4, 2], token_budget=10))
    [[1], [2, 0], [3]]
    """
    order = sorted(range(len(lengths)), key=lambda i: (-lengths[i], i))
    first = 0
    while first < len(order):
        rows = max(1, token_budget // max(lengths[order[first]], 1))
        rows = rows if batch_size is None else min(rows, batch_size)
        yield order[first : first + rows]
        first += rows
