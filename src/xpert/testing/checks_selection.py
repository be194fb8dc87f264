"""The contract of a selection method: call `check_selection_method`, or `check_costed_method`, in the tests of your own."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from xpert.errors import DataError
from xpert.protocols import CostedMethod, SelectionMethod
from xpert.types import CostedSelection, Example, Selection

__all__ = ["check_costed_method", "check_selection_method"]


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


def check_costed_method(
    make: Callable[[], CostedMethod],
    examples: Sequence[Example],
    names: Sequence[str],
    *,
    base_answers: Sequence[str] | None = None,
    expected: str | None = None,
) -> CostedSelection:
    """Assert that a selection method that tells its cost keeps the contract of `xpert.protocols.CostedMethod`.

    Args:
        make: Makes a fresh method over the same pool.
        examples: A user's data, two examples or more.
        names: Names of the pool's models.
        base_answers: The base's answers to the examples' prompts, if the method takes them.
        expected: The model that must be chosen, if it is known.

    Returns:
        The choice with its cost, for further assertions.

    Raises:
        AssertionError: A rule is broken; the message says which.
    """
    selection = check_selection_method(make, examples, names, base_answers=base_answers, expected=expected)
    found, again = (make().run(examples, base_answers) for _ in range(2))
    assert found.selection.ranking == selection.ranking, "run and select give different rankings"
    cost = found.cost
    assert 1 <= cost.models <= len(names), (
        f"expected 1 to {len(names)} models downloaded, the chosen one at least, got {cost.models}"
    )
    assert cost.downloaded_bytes > 0, "the chosen model must be downloaded, whatever the method"
    assert 0 <= cost.inferences <= cost.models * len(examples), (
        f"expected at most {cost.models} models x {len(examples)} samples, got {cost.inferences} inferences"
    )
    assert cost.readings >= 0, "readings must not be negative"
    assert np.isfinite(cost.seconds), "seconds must be finite"
    assert cost.seconds >= 0, "seconds must not be negative"
    assert all(one.joules >= 0 for one in cost.energy), "energy must not be negative"
    counted = [(c.downloaded_bytes, c.models, c.inferences, c.readings) for c in (cost, again.cost)]
    assert counted[0] == counted[1], "two runs count differently: draw from a seed"
    assert not found.why or any(selection.best in sentence for sentence in found.why), (
        "why must be about the chosen model"
    )
    return found


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
