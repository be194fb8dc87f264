"""The contract of a selection method: call `check_selection_method` in the tests of your own."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from xpert.errors import DataError
from xpert.protocols import SelectionMethod
from xpert.types import Example, Selection

__all__ = ["check_selection_method"]


def check_selection_method(
    make: Callable[[], SelectionMethod],
    examples: Sequence[Example],
    names: Sequence[str],
    *,
    base_answers: Sequence[str] | None = None,
    expected: str | None = None,
) -> Selection:
    """Assert that a selection method keeps the contract of `xpert.protocols.SelectionMethod`.

    Args:
        make: Makes a fresh method over the same pool.
        examples: A user's data, two examples or more.
        names: Names of the pool's models.
        base_answers: The base's answers to the examples' prompts, if the method takes them.
        expected: The model that must be chosen, if it is known.

    Returns:
        The selection, for further assertions.

    Raises:
        AssertionError: A rule is broken; the message says which.
    """
    before = list(examples)
    selection = make().select(examples, base_answers)
    _check_selection(selection, names)
    assert list(examples) == before, "select changed the examples"
    assert expected is None or selection.best == expected, f"expected {expected!r}, selected {selection.best!r}"
    again = make().select(examples, base_answers)
    assert again.ranking == selection.ranking, "two runs give different rankings: draw from a seed"
    assert np.array_equal(again.coordinates.values, selection.coordinates.values), "two runs give different places"
    _check_errors(make(), examples)
    return selection


def _check_selection(selection: Selection, names: Sequence[str]) -> None:
    ranked = [name for name, _ in selection.ranking]
    far = [distance for _, distance in selection.ranking]
    assert sorted(ranked) == sorted(names), (
        f"the ranking must hold every model once: {sorted(names)}, got {sorted(ranked)}"
    )
    assert far == sorted(far), "the ranking must be sorted, the nearest first"
    assert np.isfinite(far).all(), "distances must be finite"
    assert all(distance >= 0 for distance in far), "distances must not be negative"
    assert selection.best == ranked[0], "best must be the first of the ranking"
    assert selection.matched == (far[0] <= selection.threshold), (
        "matched means: the best distance is within the threshold"
    )
    place = selection.coordinates
    assert place.values.shape == place.stderr.shape, "a standard error for each coordinate"
    assert np.isfinite(place.values).all(), "coordinates must be finite"
    assert np.isfinite(place.stderr).all(), "standard errors must be finite"


def _check_errors(method: SelectionMethod, examples: Sequence[Example]) -> None:
    for what, data, answers in [
        ("no examples", [], None),
        ("fewer base answers than examples", list(examples), ["one answer"] * (len(examples) - 1)),
    ]:
        try:
            method.select(data, answers)
        except DataError:
            continue
        raise AssertionError(f"{what}: expected DataError")
