from __future__ import annotations

import math

import numpy as np
import pytest

from xpert.basis import SubvectorBasis
from xpert.telling import CLEARLY, POLES, SAYS, by_axis, kinds_told, told
from xpert.types import Array, Axis


def basis_of(*words: str) -> SubvectorBasis:
    """Orthogonal axes: the words, then "longer" and "more digits", then an unnamed one."""
    axes = [Axis(word=word) for word in words]
    axes += [Axis(word="longer", kind="measured"), Axis(word="more digits", kind="measured")]
    axes.append(Axis(word="unnamed-1", kind="unnamed"))
    n = len(axes)
    return SubvectorBasis(axes=tuple(axes), vectors=np.eye(n, dtype=np.float32), null=np.zeros(n, np.float32))


def z(*values: float) -> Array:
    return np.array(values, np.float32)


FOUR = ("friendly", "expert", "poetic", "concise")


def words_of(basis: SubvectorBasis, values: Array, said: tuple[str, ...] = ()) -> list[str]:
    return [word for word, _ in by_axis(told(basis, values, said))]


def test_a_clearly_shorter_text_is_told_brief_as_the_third_word() -> None:
    found = told(basis_of(*FOUR), z(4, 3, 2, 0.1, -1, 0.5, 0))
    assert [word for _, word, _ in found] == [
        "friendly",
        "expert",
        "brief",
        "poetic",
        "concise",
        "more digits",
        "unnamed-1",
    ]
    assert (found[2][0], found[2][2]) == (4, pytest.approx(1.0)), "its place in the basis; its value is positive"


def test_a_clearly_longer_text_is_told_lengthy() -> None:
    assert by_axis(told(basis_of(*FOUR), z(4, 3, 2, 0.1, 1.5, 0, 0)))[2] == ("lengthy", 1.5)


def test_where_a_word_says_so_length_stands_behind_the_first_three() -> None:
    basis, values = basis_of(*FOUR), z(4, 3, 0.1, 2, -1, 0, 0)
    assert words_of(basis, values)[:5] == ["friendly", "expert", "concise", "brief", "poetic"]
    assert words_of(basis, values, ("poetic", "friendly", "expert"))[:4] == ["friendly", "expert", "brief", "poetic"]
    longer = z(4, 3, 0.1, 2, 1, 0, 0)
    assert words_of(basis, longer)[:3] == ["friendly", "expert", "lengthy"], "concise does not say lengthy"


def test_a_word_that_is_taken_away_says_nothing() -> None:
    values = z(-1, -2, -3, -0.5, -1, 0, 0)
    assert words_of(basis_of(*FOUR), values)[:4] == ["concise", "friendly", "brief", "expert"]


def test_a_small_difference_of_length_stays_where_measured_axes_stand() -> None:
    found = by_axis(told(basis_of(*FOUR), z(4, 3, 2, 1, -0.2, 0.3, 0)))
    assert found[4:6] == (("more digits", pytest.approx(0.3)), ("longer", pytest.approx(-0.2)))


def test_with_fewer_words_and_with_none() -> None:
    assert words_of(basis_of("friendly"), z(1, -1, 0, 0)) == ["friendly", "brief", "more digits", "unnamed-1"]
    assert words_of(basis_of(), z(-1, 0, 0))[0] == "brief"


def test_an_axis_of_the_same_name_keeps_it() -> None:
    basis = basis_of("brief", "friendly")
    assert words_of(basis, z(2, 1, -1, 0, 0))[:3] == ["brief", "friendly", "longer"]


def test_coordinates_that_are_not_finite_are_told_as_they_come() -> None:
    assert sorted(words_of(basis_of("friendly"), z(1, math.nan, 0, 0)))[:2] == ["friendly", "longer"]


def test_every_pole_is_a_word_that_says_so_and_no_word_says_both() -> None:
    assert {pole for poles in POLES.values() for pole in poles} == set(SAYS)
    assert all(pole in SAYS[pole] for pole in SAYS)
    assert not SAYS["lengthy"] & SAYS["brief"]
    assert math.log(1.2) < CLEARLY < math.log(1.3)


def test_every_word_that_is_told_has_a_kind() -> None:
    basis = basis_of(*FOUR)
    kinds = kinds_told(basis)
    assert kinds["lengthy"] == kinds["brief"] == kinds["longer"] == "measured"
    assert (kinds["poetic"], kinds["unnamed-1"]) == ("word", "unnamed")
    for length in (-1, 0, 1):
        assert {word for _, word, _ in told(basis, z(4, 3, 2, 0.1, length, 0.5, 0))} <= kinds.keys()


def test_an_axis_keeps_the_kind_of_its_name() -> None:
    assert kinds_told(basis_of("brief", "poetic"))["brief"] == "word"
    assert "brief" not in kinds_told(
        SubvectorBasis(axes=(Axis(word="x"),), vectors=np.eye(1, 2, dtype=np.float32), null=np.zeros(2, np.float32))
    )
