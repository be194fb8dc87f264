from __future__ import annotations

from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from xpert.evaluation.experiments import merging_starts
from xpert.evaluation.experiments.merged_places import MergedPlace, _compared, draw_merges, merged_places_table
from xpert.evaluation.experiments.merging_starts import MixedStarts, mixed_starts, mixed_starts_table, mixed_trainee
from xpert.trainers.torch import TorchTrainer
from xpert.types import Axis, MergePlan


def row(n_styles: int, scratch: int, single: int | None, merged: int, compressed: int) -> MixedStarts:
    return MixedStarts(
        styles=tuple("abc"[:n_styles]),
        single="a",
        weights={"a": 0.5, "b": 0.5},
        distance_before=0.5,
        distance_after=0.1,
        steps={"scratch": scratch, "single": single, "merged": merged, "compressed": compressed},
        first_losses={"scratch": 2.0, "single": 1.0, "merged": 0.5, "compressed": 0.6},
        target_loss=0.4,
        stopped_by="no_improvement",
    )


def test_the_table_counts_users_who_got_there_and_what_was_saved_of_the_single_models_steps() -> None:
    rows = [row(2, 100, 40, 20, 30), row(2, 60, 20, 10, 30), row(2, 60, None, 10, 30), row(3, 80, 10, 20, 10)]
    lines = mixed_starts_table(rows).splitlines()
    assert lines[2] == "| 2 | 2 of 3 | 80.0 | 30.0 | 15.0 | 30.0 | 50% | 0% | 0 | 1 |"
    assert lines[3] == "| 3 | 1 of 1 | 80.0 | 10.0 | 20.0 | 10.0 | -100% | 0% | 1 | 0 |"
    assert MixedStarts.from_dict(rows[0].to_dict()) == rows[0]


def test_users_of_several_styles_are_drawn_by_seed_in_equal_parts() -> None:
    user = mixed_trainee(3, 7)
    assert user == mixed_trainee(3, 7)
    assert user.styles != mixed_trainee(3, 8).styles
    assert (len(set(user.styles)), len(user.training), len(user.validation)) == (3, 40, 20)
    prompts = Counter(example.prompt for example in (*user.training, *user.validation))
    assert set(prompts.values()) == {1}


def test_every_start_trains_to_the_target_that_scratch_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Planted trainings: what each start is given, and what becomes of its curve."""
    asked: list[tuple[str, float | None, Any]] = []
    curves = {
        "base": [(0, 5.0), (1, 3.0), (2, 2.0)],
        "ref-a": [(0, 3.0), (1, 2.5), (2, 2.01)],
        "merged": [(0, 2.5), (1, 2.0)],
        "compressed": [(0, 2.0)],
    }

    def fit(self: TorchTrainer, start: Any, examples: Any, *, validation: Any, out: Path) -> Any:
        asked.append((str(start), self.target_loss, self.patience))
        return SimpleNamespace(
            eval_losses=curves[str(start)],
            details={"eval_seconds": [0.0] * len(curves[str(start)])},
            seconds=0.0,
            stopped_by="no_improvement",
        )

    class Merger:
        def __init__(self, catalog: Any, method: Any = None, **_: Any) -> None:
            self.method = method

        def plan(self, selection: Any) -> MergePlan:
            return MergePlan(weights={"a": 0.5, "b": 0.5}, distance_before=0.5, distance_after=0.1)

        def merge(self, plan: MergePlan, out: Path) -> str:
            return "compressed" if self.method.rank == 8 else "merged"

    class Selector:
        def __init__(self, catalog: Any, summarizer: Any) -> None: ...

        def select(self, examples: Any, answers: Any) -> Any:
            return SimpleNamespace(best="a")

    monkeypatch.setattr(TorchTrainer, "fit", fit)
    monkeypatch.setattr(merging_starts, "Merger", Merger)
    monkeypatch.setattr(merging_starts, "Selector", Selector)
    catalog: Any = SimpleNamespace(card=lambda name: SimpleNamespace(reference=f"ref-{name}"))
    found = mixed_starts(
        mixed_trainee(2, 1),
        catalog=catalog,
        summarizer="fake",
        base="base",
        base_answers=None,
        out=tmp_path / "out",
        trainer=TorchTrainer(max_steps=9, eval_every=1),
        rank=8,
    )
    assert found.steps == {"scratch": 2, "single": 2, "merged": 1, "compressed": 1}
    assert found.target_loss == pytest.approx(2.02)
    assert asked == [
        ("base", None, (5, 0.005)),
        *[(start, pytest.approx(2.02), None) for start in ("ref-a", "merged", "compressed")],
    ]


def test_merges_are_drawn_by_seed() -> None:
    drawn = draw_merges(["a", "b", "c", "d"], 6, 1)
    assert drawn == draw_merges(["a", "b", "c", "d"], 6, 1)
    assert [len(weights) for weights in drawn] == [2, 3, 2, 3, 2, 3]
    assert sum(drawn[0].values()) == pytest.approx(1)


def test_a_place_is_compared_with_the_weighted_sum() -> None:
    vectors = np.array([[2, 0, 0], [0, 1, 0]], np.float32)
    catalog: Any = SimpleNamespace(
        names=("a", "b"),
        basis=SimpleNamespace(axes=(Axis(word="kind"), Axis(word="length", kind="measured")), vectors=vectors),
        coordinates=np.array([[1, 0], [0, 2]], np.float32),
        stderr=np.full((2, 2), 0.1, np.float32),
    )
    weights = {"a": 0.5, "b": 0.5}
    same = _compared(catalog, weights, np.array([0.5, 1.0], np.float32), np.full(2, 0.1, np.float32))
    assert (same.within, same.distance, same.length) == (1.0, 0.0, 1.0)
    variance = 0.01 + 2 * 0.25 * 0.01
    assert same.noise == pytest.approx(np.sqrt(variance * 5) / np.sqrt(2))
    off = _compared(catalog, weights, np.array([0.5, 2.0], np.float32), np.full(2, 0.1, np.float32))
    assert (off.within, off.within_named) == (0.5, 1.0)
    assert off.distance == pytest.approx(1 / np.sqrt(2))
    assert off.nearest_member == pytest.approx(1 / np.sqrt(2))
    table = merged_places_table([same, off])
    assert "| 2 | 2 | 75% | 100% | 0.35 |" in table
    assert off.apart == pytest.approx(np.sqrt(8) / np.sqrt(2))
    by = merged_places_table([same, off], ["near", "far"], "members that are")
    assert by.splitlines()[0].startswith("| members that are | merges |")
    assert [line.split(" | ")[:3] for line in by.splitlines()[2:]] == [["| near", "1", "100%"], ["| far", "1", "50%"]]
    assert isinstance(off, MergedPlace)
