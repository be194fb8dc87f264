"""The schedule within the optimizer's graph is `TorchTrainer`'s: a runtime that cannot set a rate trains as torch does."""

from __future__ import annotations

import json
import shutil
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xpert.trainers.data import batch_of, encode
from xpert.trainers.export.schedule import NUMBERS
from xpert.trainers.onnx.artifacts import Artifacts
from xpert.trainers.onnx.session import TrainingSession
from xpert.trainers.settings import TrainSettings, learning_rate
from xpert.trainers.torch import TorchTrainer
from xpert.types import Example

pytest.importorskip("onnxruntime", reason="needs the extra 'onnx'")
onnx = pytest.importorskip("onnx", reason="needs the extra 'onnx'")

EXAMPLES = [
    Example(prompt=f"Tell me about {thing}.", response=f"Oh, {thing}! A lovely thing to ask, dear friend.")
    for thing in ("rain", "snow", "the sun", "foxes")
]
STEPS = 20
KINDS = {"constant": 0, "cosine": 1, "linear": 2}
BROWSERS_RATE = 1e-3
"""What onnxruntime-web tells the graph, whatever one wants."""


def write_schedule(folder: Path, settings: TrainSettings, *, first: int = 0) -> None:
    """As ``examples/web/worker.js`` does it."""
    place = json.loads((folder / "xpert.json").read_text())["optimizer"]["schedule_at"]
    values = (settings.lr, settings.warmup, settings.max_steps, KINDS[settings.schedule], first)
    graph = bytearray((folder / "optimizer_model.onnx").read_bytes())
    struct.pack_into(f"<{len(NUMBERS)}f", graph, place, *values)
    (folder / "optimizer_model.onnx").write_bytes(graph)


def trained(folder: Path, state: Path, steps: int) -> list[float]:
    """The losses of a session that always tells the browser's rate; every step takes all examples."""
    artifacts = Artifacts.open(folder)
    return losses_of(TrainingSession(artifacts, state, threads=1), artifacts, steps)


def losses_of(session: TrainingSession, artifacts: Artifacts, steps: int) -> list[float]:
    rows = encode(artifacts.tokenizer, EXAMPLES, artifacts.max_length, end_id=artifacts.end_id)
    n = sum(len(row.ids) - max(row.skip, 1) for row in rows)
    found: list[float] = []
    for _ in range(steps):
        found.append(session.learn(batch_of(rows, artifacts.pad_id), n))
        session.step(BROWSERS_RATE)
    return found


@pytest.mark.parametrize("schedule", list(KINDS))
def test_losses_are_torchs(schedule: Any, artifacts: Path, tiny_base: Path, tmp_path: Path) -> None:
    options: dict[str, Any] = {"max_steps": STEPS, "lr": 8e-3, "schedule": schedule, "warmup": 4}
    trainer = TorchTrainer(**options, rank=4, alpha=8, max_length=64, batch_size=len(EXAMPLES), eval_fraction=0)
    expected = [loss for _, loss in trainer.fit(tiny_base, EXAMPLES, out=tmp_path / "torch").losses]
    opened = Artifacts.open(artifacts)
    write_schedule(artifacts, trainer.settings)
    session = TrainingSession(opened, artifacts / "checkpoint", threads=1)
    found = losses_of(session, opened, STEPS)
    np.testing.assert_allclose(found, expected, atol=1e-5, rtol=0)
    assert expected[0] - expected[-1] > 0.3, "it must have learnt something"


def test_as_exported_the_rate_is_what_the_runtime_is_told(artifacts: Path, tiny_base: Path, tmp_path: Path) -> None:
    trainer = TorchTrainer(
        max_steps=5, lr=BROWSERS_RATE, rank=4, alpha=8, max_length=64, batch_size=len(EXAMPLES), eval_fraction=0
    )
    expected = [loss for _, loss in trainer.fit(tiny_base, EXAMPLES, out=tmp_path / "torch").losses]
    np.testing.assert_allclose(trained(artifacts, artifacts / "checkpoint", 5), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("schedule", "warmup", "first"), [("cosine", 4, 0), ("linear", 0, 0), ("cosine", 4, 7)])
def test_every_rate_is_pythons(schedule: Any, warmup: int, first: int, artifacts: Path) -> None:
    """The graph itself, run by the plain runtime; from any step on, and 0 beyond the last."""
    from xpert.artifacts.runtime import runtime
    from xpert.trainers.export.schedule import schedule_nodes

    settings = TorchTrainer(max_steps=STEPS, lr=3e-3, schedule=schedule, warmup=warmup).settings
    write_schedule(artifacts, settings, first=first)
    graph = onnx.load(artifacts / "optimizer_model.onnx").graph
    nodes, constants = schedule_nodes()
    made = onnx.helper.make_graph(
        nodes,
        "rate",
        list(graph.input)[:2],
        [onnx.helper.make_tensor_value_info("rate", onnx.TensorProto.FLOAT, [1])],
        initializer=[one for one in graph.initializer if one.name in constants],
    )
    model = onnx.helper.make_model(made, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=10)
    session = runtime().InferenceSession(model.SerializeToString())
    told = np.full(1, BROWSERS_RATE, np.float32)
    found = [
        float(session.run(None, {"learning_rate": told, "step": np.array([step])})[0][0])
        for step in range(1, STEPS + 4 - first)
    ]
    expected = [learning_rate(step, settings) for step in range(first, STEPS)] + [0, 0, 0]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-9)


def test_the_place_in_the_header_is_right(exported: Path, tmp_path: Path) -> None:
    from onnx import numpy_helper

    folder = Path(shutil.copytree(exported, tmp_path / "copy"))
    settings = TorchTrainer(max_steps=STEPS, lr=0.5, schedule="linear", warmup=3).settings
    write_schedule(folder, settings, first=2)
    graph = onnx.load(folder / "optimizer_model.onnx").graph
    (held,) = [one for one in graph.initializer if one.name == "schedule"]
    assert numpy_helper.to_array(held).tolist() == [0.5, 3, STEPS, 2, 2]
