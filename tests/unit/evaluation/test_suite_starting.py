"""Figure 16 and Table 10 on planted rows."""

from __future__ import annotations

import pytest

from xpert.evaluation.experiments.merging_starts import MixedStarts, mixed_starts_table, mixed_starts_users
from xpert.evaluation.suite import merging


def row(n_styles: int, scratch: int, single: int | None, merged: int, compressed: int) -> MixedStarts:
    return MixedStarts(
        styles=tuple("abc"[:n_styles]),
        single="a",
        weights={"a": 0.5, "b": 0.5},
        distance_before=0.5,
        distance_after=0.1,
        steps={"scratch": scratch, "single": single, "merged": merged, "compressed": compressed},
        first_losses={},
        target_loss=0.4,
        stopped_by="no_improvement",
    )


ROWS = [row(1, 100, 40, 20, 30), row(1, 100, 60, 20, 30), row(2, 80, None, 10, 30), row(3, 50, 40, 20, 30)]


def test_the_chart_of_figure_16_has_ours_and_the_papers_as_shares_of_scratch() -> None:
    lines = {one.name: one for one in merging._chart(ROWS).series}
    assert (lines["selected model"].x, lines["selected model"].y) == ([1, 3], pytest.approx([50, 80]))
    assert lines["merge at rank 8"].y == pytest.approx([30, 60])
    assert lines["scratch"].y == [100, 100]
    assert lines["merge, paper"].y == pytest.approx([25, 45, 57])


def test_users_who_never_got_there_are_told_and_not_counted() -> None:
    assert "| 2 | 0 of 1 | - | - | - | - | - | - | 0 | 0 |" in mixed_starts_table(ROWS)
    assert "| a, b | a | 0.50 | 0.10 | 2 | 80 | - | 10 | 30 |" in mixed_starts_users(ROWS)
    assert [one.name for one in merging._chart([ROWS[2]]).series] == [
        "scratch, paper",
        "selected model, paper",
        "merge, paper",
    ]
