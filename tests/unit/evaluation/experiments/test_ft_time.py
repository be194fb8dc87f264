from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from xpert.evaluation.demo_users import Trainee
from xpert.evaluation.experiments.ft_time import FtRow, by_similarity, ft_times, to_table
from xpert.trainers import loop
from xpert.trainers.torch import TorchTrainer
from xpert.types import Example


def row(similarity: int, style: str, steps: int | None, **more: Any) -> FtRow:
    values = {"selected": style, "steps_base": 100, "seconds_base": 50.0, "seconds_selected": 10.0, "max_steps": 400}
    return FtRow(**{**values, "similarity": similarity, "style": style, "steps_selected": steps, **more})


def test_scratch_is_counted_once_a_user_and_who_never_gets_there_with_all_steps() -> None:
    rows = [
        row(90, "poetic", 20),
        row(90, "friendly", 60, steps_base=200, seconds_base=70.0),
        row(30, "poetic", None, selected="friendly", seconds_selected=200.0),
        row(30, "friendly", 100, steps_base=200, seconds_base=70.0),
    ]
    scratch, low, high = by_similarity(rows)
    assert (scratch.similarity, scratch.users, scratch.steps, scratch.seconds) == (None, 2, 150, 60.0)
    assert (low.similarity, low.right, low.reached, low.steps, low.seconds) == (30, 1, 1, 250, 105.0)
    assert low.step_ratio == pytest.approx((400 / 100 + 100 / 200) / 2)
    assert (high.similarity, high.right, high.reached, high.steps) == (90, 2, 2, 40)
    assert high.step_ratio == pytest.approx(0.25)
    table = to_table([scratch, low, high]).splitlines()
    assert table[2] == "| the base | - | 2 of 2 | 150 | 100% | 100% |"
    assert table[3] == "| selected, s = 30 | 1 of 2 | 1 of 2 | 250 | 225% | 175% |"


def test_what_is_done_is_not_repeated_and_scratch_is_trained_once_a_user(
    tiny_base: Path, tiny_adapters: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tuple(Example(prompt=f"tell me {i}", response=f"the quick brown fox {i} jumps") for i in range(8))
    user = Trainee(style="tutor", training=data[:5], validation=data[5:])
    models = {name: str(path) for name, path in tiny_adapters.items()}
    chosen = {50: {"tutor": "tutor"}, 90: {"tutor": "poet"}}
    trainer = TorchTrainer(max_steps=6, lr=1e-2, batch_size=4, eval_every=1)
    begun: list[int] = []
    real = loop.run
    monkeypatch.setattr(loop, "run", lambda *a: (begun.append(1), real(*a))[1])

    def rows() -> list[FtRow]:
        pools = {50: models, 90: models}
        return list(ft_times(str(tiny_base), pools, [user], chosen, work=tmp_path, trainer=trainer))

    first = rows()
    assert len(begun) == 3  # scratch, and a start a similarity
    assert rows() == first
    assert len(begun) == 3
    assert [one.right for one in first] == [True, False]
    assert first[0].steps_base == first[1].steps_base
