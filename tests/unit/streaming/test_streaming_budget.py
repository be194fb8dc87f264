from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xpert.errors import SettingsError
from xpert.streaming.budget import Needs, memory_bytes, plan
from xpert.streaming.report import WATCH_EVERY_S, Report, resident_bytes

NEEDS = Needs(fixed=10, workspace=20, states=(5, 5, 5), layers=(100, 100, 100, 100), unit=30)


def test_without_a_budget_each_weight_is_read_once() -> None:
    chosen = plan(NEEDS, None)
    assert chosen.groups == ((0, 1, 2),)
    assert (chosen.capacity, chosen.promised_bytes, chosen.resident) == (100, 145, frozenset())


def test_more_memory_keeps_layers_and_all_of_it_keeps_all() -> None:
    assert [len(plan(NEEDS, budget).resident) for budget in (145, 245, 346, 445, 10_000)] == [0, 1, 2, 4, 4]


def test_less_memory_takes_fewer_micro_batches_together() -> None:
    assert plan(NEEDS, 140).groups == ((0, 1), (2,))
    alone = plan(NEEDS, 70)
    assert alone.groups == ((0,), (1,), (2,))
    assert alone.capacity == 35


@given(st.integers(1, 1000), st.lists(st.integers(0, 50), min_size=1, max_size=6), st.integers(1, 40), st.booleans())
def test_a_plan_keeps_its_budget_and_goes_through_all(
    budget: int, states: list[int], unit: int, prefixed: bool
) -> None:
    needs = Needs(fixed=7, workspace=9, states=states, layers=(40, 50, 45), unit=unit, prefixed=prefixed)
    try:
        chosen = plan(needs, budget)
    except SettingsError:
        return
    assert chosen.promised_bytes <= budget
    assert [i for group in chosen.groups for i in group] == list(range(len(states)))
    if len(chosen.resident) < 3:
        largest = 50 if prefixed or max(map(len, chosen.groups)) > 1 else unit
        assert chosen.capacity >= largest


@pytest.mark.parametrize("text", ["", "GB", "-1GB", "1.5.2GB", "1 parsec", "0"])
def test_sizes_that_are_none(text: str) -> None:
    with pytest.raises(SettingsError, match="memory_budget"):
        memory_bytes(text)


@pytest.mark.skipif(resident_bytes() is None, reason="this system does not tell a process's memory")
def test_the_peak_is_seen_between_weights() -> None:
    report = Report(before=resident_bytes())
    with report.watching():
        held = bytearray(64 << 20)
        time.sleep(10 * WATCH_EVERY_S)
        del held
    assert report.peak_bytes is not None
    assert report.peak_bytes > 48 << 20
