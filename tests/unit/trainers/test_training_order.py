from __future__ import annotations

from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xpert.trainers.order import WINDOW, bucketed_order, training_order


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 60), min_size=1, max_size=40), st.integers(1, 9), st.integers(0, 40), st.integers(0, 9))
def test_buckets_go_on_from_any_step_and_leave_nobody_out(
    lengths: list[int], batch_size: int, start: int, seed: int
) -> None:
    n = start + 2 * WINDOW
    whole = list(islice(bucketed_order(lengths, batch_size, seed), n))
    assert list(islice(bucketed_order(lengths, batch_size, seed, start=start), n - start)) == whole[start:]
    plain = list(islice(training_order(len(lengths), batch_size, seed), n))
    for k in range(0, n - WINDOW + 1, WINDOW):  # the same examples, in other batches
        seen, expected = (sorted(i for batch in order[k : k + WINDOW] for i in batch) for order in (whole, plain))
        assert seen == expected


def test_buckets_hold_examples_of_like_length_in_an_order_that_is_not_sorted() -> None:
    lengths = [i % 64 for i in range(256)]
    batches = list(islice(bucketed_order(lengths, 4, seed=1), 64))
    spread = [max(lengths[i] for i in batch) - min(lengths[i] for i in batch) for batch in batches]
    plain = list(islice(training_order(256, 4, seed=1), 64))
    usual = [max(lengths[i] for i in batch) - min(lengths[i] for i in batch) for batch in plain]
    assert sum(spread) < 0.2 * sum(usual)
    firsts = [lengths[batch[0]] for batch in batches[:WINDOW]]
    assert firsts not in (sorted(firsts), sorted(firsts, reverse=True))


@pytest.mark.parametrize("batch_size", [3, 100])
def test_every_epoch_has_every_example(batch_size: int) -> None:
    n = 12
    size = min(batch_size, n)
    seen = [i for batch in islice(bucketed_order(range(n), batch_size, seed=0), n * WINDOW // size) for i in batch]
    assert sorted(seen) == sorted(list(range(n)) * (len(seen) // n))
