from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from xpert.evaluation.demo_users import Trainee
from xpert.evaluation.experiments.ft_time import FtRow, by_similarity, exported_starts, ft_times, to_table
from xpert.trainers import loop
from xpert.trainers.torch import TorchTrainer
from xpert.types import Example


def row(similarity: int, style: str, steps: int | None, **more: Any) -> FtRow:
    values = {"selected": style, "steps_base": 100, "seconds_base": 50.0, "seconds_selected": 10.0, "max_steps": 400}
    values |= {"met_at_start": False, "scratch_stopped_by": "no_improvement"}
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
    table = to_table({"torch": [scratch, low, high]}).splitlines()
    assert table[2] == "| the base | torch | - | 2 of 2 | 150 | 100% | 60.0 | 100% |"
    assert table[3] == "| selected, s = 30 | torch | 1 of 2 | 1 of 2 | 250 | 225% | 105.0 | 175% |"


def test_each_backend_is_told_beside_its_own_scratch() -> None:
    one = by_similarity([row(90, "poetic", 20)])
    other = by_similarity([row(90, "poetic", 21, seconds_base=20.0, seconds_selected=5.0)])
    table = to_table({"torch": one, "onnx": other}).splitlines()
    assert [line.split(" | ")[1] for line in table[2:]] == ["torch", "onnx", "torch", "onnx"]
    assert table[4] == "| selected, s = 90 | torch | 1 of 1 | 1 of 1 | 20 | 20% | 10.0 | 20% |"
    assert table[5] == "| selected, s = 90 | onnx | 1 of 1 | 1 of 1 | 21 | 21% | 5.0 | 25% |"


DATA = tuple(Example(prompt=f"tell me {i}", response=f"the quick brown fox {i} jumps") for i in range(8))


def test_what_is_done_is_not_repeated_and_scratch_is_trained_once_a_user(
    tiny_base: Path, tiny_adapters: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = Trainee(style="tutor", training=DATA[:5], validation=DATA[5:])
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


def test_both_backends_count_the_same_steps(tiny_base: Path, tiny_adapters: dict[str, Path], tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime", reason="needs the extra 'onnx'")
    pytest.importorskip("onnx", reason="needs the extra 'onnx'")
    from xpert.trainers.export import OnnxExporter
    from xpert.trainers.onnx.trainer import OnnxTrainer

    settings: dict[str, Any] = {"max_steps": 40, "lr": 1e-2, "batch_size": 4, "eval_every": 2, "rank": 4, "alpha": 8}
    adapted = TorchTrainer(**{**settings, "max_steps": 10, "rank": None, "alpha": None})
    adapted.fit(tiny_adapters["tutor"], DATA[:3], validation=DATA[5:], out=tmp_path / "adapted")
    user = Trainee(style="tutor", training=DATA[:5], validation=DATA[5:])
    pools = {
        50: {"tutor": str(tiny_adapters["tutor"]), "poet": "not exported"},
        90: {"tutor": str(tmp_path / "adapted")},
    }
    chosen = {50: {"tutor": "tutor"}, 90: {"tutor": "tutor"}}
    exporter = OnnxExporter(rank=4, alpha=8, max_length=64)

    def export() -> tuple[str, dict[int, dict[str, str]]]:
        return exported_starts(str(tiny_base), pools, chosen, exporter=exporter, out=tmp_path / "artifacts")

    base, starts = export()
    written = {path: path.stat().st_mtime_ns for path in tmp_path.glob("artifacts/**/xpert.json")}
    assert len(written) == 3, "the base, and of each pool what was selected"
    assert export() == (base, starts)
    assert {path: path.stat().st_mtime_ns for path in written} == written, "once"

    def rows(backend: str) -> list[FtRow]:
        if backend == "torch":
            start, models, trainer = str(tiny_base), pools, TorchTrainer(**settings, max_length=64)
        else:
            start, models, trainer = base, starts, OnnxTrainer(**settings, threads=1, inference_model=False)
        return list(ft_times(start, models, [user], chosen, work=tmp_path / backend, trainer=trainer))

    torch, onnx = rows("torch"), rows("onnx")
    assert torch[1].steps_selected is not None
    assert torch[1].steps_selected < torch[1].steps_base, "the one that knows the style is there sooner"
    for one, other in zip(torch, onnx, strict=True):
        assert abs(one.steps_base - other.steps_base) <= 2, "within one evaluation"
        assert (one.steps_selected is None) == (other.steps_selected is None)
        assert abs(one.steps_counted - other.steps_counted) <= 2
        assert other.seconds_base > 0
    assert rows("onnx") == onnx, "what is done is not repeated"
