"""Numbers as people read them: a value with its standard error, a share as a percentage."""

from __future__ import annotations

import math
from collections.abc import Iterable

__all__ = ["N_ERRORS", "common_decimals", "percent", "told_from_zero", "with_error"]

N_ERRORS = 2.0
"""A value within so many standard errors of 0 is not told from it."""

_MOST_DECIMALS = 6
NOTHING = 1e-6
"""Values below this are rounding: coefficients are of the order of 1."""


def common_decimals(values: Iterable[float]) -> int:
    """How many decimals values that stand together are shown with: two, or as many as show two digits of the largest one.

    >>> common_decimals([1.3142, 0.004]), common_decimals([0.0123, -0.051]), common_decimals([])
    (2, 3, 2)
    """
    largest = max((abs(value) for value in values if math.isfinite(value)), default=0.0)
    return 2 if largest < NOTHING else min(max(2, 1 - math.floor(math.log10(largest))), _MOST_DECIMALS)


def with_error(value: float, stderr: float | None, *, sign: str = "±", decimals: int | None = None) -> str:
    """A value and its standard error, both to the place of the error's first digit (of the second where the first is a 1).

    An error of None or 0 (a single pair has none) leaves the value alone, with two decimals; a value and error that are mere
    rounding are 0.

    Args:
        value: The value.
        stderr: Its standard error.
        sign: What stands between them.
        decimals: With so many whatever the error is, so that values can stand together (`common_decimals`); a smaller error is
            shown as one unit of the last place, never as 0. None: as said.

    >>> with_error(1.3142, 0.0831), with_error(-0.2, 0.0149), with_error(431.0, 27.0), with_error(1.3142, None)
    ('+1.31 ± 0.08', '-0.200 ± 0.015', '+430 ± 30', '+1.31')
    """
    fixed = 2 if decimals is None else decimals
    if not stderr or (abs(value) < NOTHING and stderr < NOTHING):
        return f"{_no_minus_zero(value, fixed):+.{fixed}f}"
    if not (math.isfinite(value) and math.isfinite(stderr)):
        return f"{value:+.{fixed}f} {sign} {stderr:.{fixed}f}"
    if decimals is not None:
        return f"{_no_minus_zero(value, fixed):+.{fixed}f} {sign} {max(stderr, 10.0**-fixed):.{fixed}f}"
    place = math.floor(math.log10(stderr))
    leading = round(stderr / 10**place, 6)
    decimals = 1 - place if leading < 1.95 else -place
    if decimals > _MOST_DECIMALS:
        return f"{value:+.1e} {sign} {stderr:.0e}"
    shown, error = round(value, decimals), round(stderr, decimals)
    if shown == 0:
        shown = 0.0  # no minus before a zero
    return f"{shown:+.{max(decimals, 0)}f} {sign} {error:.{max(decimals, 0)}f}"


def _no_minus_zero(value: float, decimals: int) -> float:
    """The value rounded; 0 without a sign where nothing is left of it."""
    return round(value, decimals) + 0.0


def told_from_zero(value: float, stderr: float | None) -> bool:
    """Whether a value is at least two standard errors away from 0 and no mere rounding; without an error it counts as told.

    >>> told_from_zero(1.3, 0.1), told_from_zero(0.1, 0.1), told_from_zero(0.1, None), told_from_zero(4e-17, 1e-18)
    (True, False, True, False)
    """
    return not stderr or abs(value) >= max(N_ERRORS * stderr, NOTHING)


def percent(share: float) -> str:
    """A share in whole percent; nothing short of all or nothing is called so.

    >>> percent(0.972), percent(0.9991), percent(1.0), percent(0.002)
    ('97%', '>99%', '100%', '<1%')
    """
    if 0.99 < share < 1:
        return ">99%" if share > 0.995 else "99%"
    return "<1%" if 0 < share < 0.005 else f"{share:.0%}"
