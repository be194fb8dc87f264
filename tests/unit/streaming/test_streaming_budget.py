from __future__ import annotations

import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xpert.errors import SettingsError
from xpert.streaming import report as report_module
from xpert.streaming.budget import Needs, memory_bytes, plan
from xpert.streaming.report import WATCH_EVERY_S, Report

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


def test_the_peak_is_seen_between_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100]
    monkeypatch.setattr(report_module, "resident_bytes", lambda: now[0])
    report = Report(before=100)
    with report.watching():
        now[0] = 900
        until = time.monotonic() + 30
        while report.peak_bytes != 800 and time.monotonic() < until:
            time.sleep(WATCH_EVERY_S)
        now[0] = 150
    assert report.peak_bytes == 800
    assert not [t for t in threading.enumerate() if t.name == "xpert-watcher"]


def test_a_system_that_tells_no_memory_has_no_peak(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report_module, "resident_bytes", lambda: None)
    report = Report(before=None)
    with report.watching():
        pass
    assert report.peak_bytes is None
