"""How much of a user's data a selected start needs for the loss that training from scratch reaches with all of it.

Source: Wang et al. 2025 (arXiv 2504.13938), Table 5, "data saved": samples saved at equal loss. The search is this project's: the
smallest of eight equal parts of the texts, found by halving, as if more texts never hurt.
"""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["PARTS", "smallest_part"]

PARTS = 8
"""Equal parts of the texts."""


def smallest_part(enough: Callable[[int], bool], parts: int = PARTS) -> int:
    """The smallest number of parts that is enough, where all are; each number is asked at most once, ``log2(parts)`` in all.

    Args:
        enough: Whether so many parts are.
        parts: How many there are, which are taken to be enough.

    >>> asked = []
    >>> smallest_part(lambda n: asked.append(n) or n >= 3), asked
    (3, [4, 2, 3])
    >>> smallest_part(lambda n: False), smallest_part(lambda n: True)
    (8, 1)
    """
    low, high = 1, parts
    while low < high:
        middle = (low + high) // 2
        if enough(middle):
            high = middle
        else:
            low = middle + 1
    return low
