from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xpert.figures import common_decimals, percent, told_from_zero, with_error


@pytest.mark.parametrize(
    ("value", "stderr", "shown"),
    [
        (1.3142, 0.3, "+1.3 ± 0.3"),
        (1.3142, 0.1, "+1.31 ± 0.10"),
        (1.3142, 0.0951, "+1.31 ± 0.10"),
        (-0.004, 0.05, "+0.00 ± 0.05"),
        (1234.0, 52.0, "+1230 ± 50"),
        (2.0, 0.0, "+2.00"),
        (2.0, None, "+2.00"),
        (1.5, float("nan"), "+1.50 ± nan"),
        (float("inf"), 0.1, "+inf ± 0.10"),
        (3e-6, 4e-8, "+3.0e-06 ± 4e-08"),
        (3e-8, 4e-9, "+0.00"),
        (-3e-8, 4e-9, "+0.00"),
    ],
)
def test_value_and_error_end_at_the_same_place(value: float, stderr: float | None, shown: str) -> None:
    assert with_error(value, stderr) == shown


@given(value=st.floats(-1e4, 1e4), stderr=st.floats(1e-5, 1e4))
def test_what_is_shown_is_within_a_quarter_of_the_error(value: float, stderr: float) -> None:
    told, error = with_error(value, stderr, sign="+-").split(" +- ")
    assert abs(float(told) - value) <= 0.3 * stderr
    assert float(error) == pytest.approx(stderr, rel=0.26)
    assert len(re.sub(r"^[0.]+", "", error).rstrip("0").replace(".", "")) <= 2
    assert told.partition(".")[2].__len__() == error.partition(".")[2].__len__()


@pytest.mark.parametrize(
    ("value", "stderr", "decimals", "shown"),
    [
        (1.3142, 0.3, 2, "+1.31 ± 0.30"),
        (-0.2, 0.0049, 2, "-0.20 ± 0.01"),
        (-0.004, 0.05, 2, "+0.00 ± 0.05"),
        (-0.0512, 0.0123, 3, "-0.051 ± 0.012"),
        (-0.0512, None, 3, "-0.051"),
        (-3e-8, 4e-9, 3, "+0.000"),
        (float("inf"), 0.1, 3, "+inf ± 0.100"),
    ],
)
def test_values_that_stand_together_have_one_number_of_decimals(
    value: float, stderr: float | None, decimals: int, shown: str
) -> None:
    assert with_error(value, stderr, decimals=decimals) == shown


def test_decimals_show_two_digits_of_the_largest_value() -> None:
    assert [common_decimals(values) for values in ([12.0, 0.001], [0.1], [-0.0999, 0.01], [0.0, 1e-9], [4e-6])] == [
        2,
        2,
        3,
        2,
        6,
    ]


def test_told_from_zero() -> None:
    assert told_from_zero(-0.2, 0.1)
    assert not told_from_zero(-0.19, 0.1)
    assert told_from_zero(0.0, 0.0)


def test_nothing_short_of_all_is_called_all() -> None:
    assert [percent(x) for x in (0, 0.001, 0.5, 0.994, 0.996, 1)] == ["0%", "<1%", "50%", "99%", ">99%", "100%"]
