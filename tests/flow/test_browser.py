"""The page of ``examples/web`` in a headless Chromium: its losses, tokens and adapter are Python's."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xpert.errors import WeightsError
from xpert.trainers.data import Row, batch_of, encode
from xpert.trainers.onnx.artifacts import Artifacts
from xpert.trainers.onnx.buffer import adapter_from_buffer
from xpert.trainers.onnx.session import TrainingSession
from xpert.trainers.settings import learning_rate
from xpert.trainers.torch import TorchTrainer
from xpert.types import Example

pytest.importorskip("onnxruntime", reason="needs the extra 'onnx'")
pytest.importorskip("onnx", reason="needs the extra 'onnx'")

WEB = Path(__file__).parents[2] / "examples" / "web"
EXAMPLES = [
    Example(
        prompt=f"Tell me about {thing}.",
        response=f"Oh, {thing}! It's a lovely thing to ask about, dear friend — 1 of {n}.",
    )
    for n, thing in enumerate(("rain", "snow", "the sun", "foxes"))
]


def export(out: Path) -> Path:
    from xpert.trainers.export import OnnxExporter

    return OnnxExporter(rank=4, alpha=8, max_length=64, self_contained=True).export("zoo:base", out)


@pytest.mark.slow
def test_it_trains_as_python_does(tmp_path: Path) -> None:
    if not (shutil.which("chromedriver") and shutil.which("chromium")):
        pytest.skip("needs chromium and chromedriver (apt-get install chromium chromium-driver)")
    if not (WEB / "node_modules" / "onnxruntime-web").is_dir():
        pytest.skip("needs onnxruntime-web: npm install in examples/web")
    folder = tmp_path / "web"
    shutil.copytree(WEB, folder, ignore=shutil.ignore_patterns("artifacts"))
    artifacts = Artifacts.open(export(folder / "artifacts"))
    data = tmp_path / "me.jsonl"
    data.write_text("\n".join(json.dumps({"prompt": e.prompt, "response": e.response}) for e in EXAMPLES))
    command = [sys.executable, str(Path(__file__).parent / "drive_browser.py"), folder, tmp_path / "page.png", data]
    told = json.loads(subprocess.run([*map(str, command)], capture_output=True, text=True, check=True).stdout)
    assert "error" not in told, told["error"]
    rows = encode(artifacts.tokenizer, EXAMPLES, 64, end_id=artifacts.end_id)
    assert told["rows"] == [list(row.ids) for row in rows]
    session = TrainingSession(artifacts, artifacts.folder / "checkpoint", threads=1)
    np.testing.assert_allclose(told["losses"], train(session, artifacts, rows), atol=1e-4)
    assert "an adapter of 20 steps. A further run" in told["after_reload"]
    assert (told["again"]["first"], told["again"]["step"]) == (0, 40)
    assert max(told["again"]["losses"]) < told["losses"][0], "it goes on from the adapter that was kept"
    assert_goes_on_within_its_schedule(told, artifacts, rows, tmp_path / "state")
    (tmp_path / "adapter.bin").write_bytes(np.asarray(told["adapter"], "<f4").tobytes())
    adapter = adapter_from_buffer(artifacts.folder, tmp_path / "adapter.bin", out=tmp_path / "mine")
    assert_same_logits(session, artifacts, adapter, rows[0].ids)


def train(session: TrainingSession, artifacts: Artifacts, rows: Sequence[Row], steps: range = range(20)) -> list[float]:
    """The losses of these steps of the page's run, as Python has them."""
    settings = TorchTrainer(max_steps=20, lr=1e-3, schedule="cosine", warmup=2).settings
    found: list[float] = []
    for step in steps:
        chosen = [rows[(2 * step + k) % len(rows)] for k in range(2)]
        n = sum(len(row.ids) - max(row.skip, 1) for row in chosen)
        found.append(session.learn(batch_of(chosen, artifacts.pad_id), n))
        session.step(learning_rate(step, settings))
    return found


def assert_goes_on_within_its_schedule(told: Any, artifacts: Artifacts, rows: Sequence[Row], state: Path) -> None:
    """A reload in the middle: the adapter that was kept, Adam anew, and the schedule where it was."""
    from onnxruntime.training import api

    first = told["goes_on"]["first"]
    assert 10 <= first < 20
    assert f"Its run of 20 was cut off after {first} and goes on" in told["cut_off"]
    session = TrainingSession(artifacts, artifacts.folder / "checkpoint", threads=1)
    train(session, artifacts, rows, range(first))
    api.CheckpointState.save_checkpoint(session._state, str(state), include_optimizer_state=False)
    anew = TrainingSession(artifacts, state, threads=1)
    np.testing.assert_allclose(told["goes_on"]["losses"], train(anew, artifacts, rows, range(first, 20)), atol=1e-4)
    assert told["goes_on"]["step"] == 20


def assert_same_logits(session: TrainingSession, artifacts: Artifacts, adapter: Path, ids: tuple[int, ...]) -> None:
    """Of the adapter in PEFT, and of Python's own session as an inference model."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    from xpert import zoo
    from xpert.artifacts.runtime import runtime
    from xpert.trainers.onnx.result import write_inference_model

    write_inference_model(artifacts, session, adapter)
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(zoo.path("base")), str(adapter)).eval()
    with torch.no_grad():
        found = model(torch.tensor([ids])).logits.numpy()
    rows = {"input_ids": np.array([ids]), "attention_mask": np.ones((1, len(ids)), np.int64)}
    (expected,) = runtime().InferenceSession(str(adapter / "onnx" / "model.onnx")).run(None, rows)
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_a_buffer_of_another_size_is_told(tiny_base: Path, exported: Path, tmp_path: Path) -> None:
    (tmp_path / "adapter.bin").write_bytes(b"\0" * 8)
    with pytest.raises(WeightsError, match="it has 8"):
        adapter_from_buffer(exported, tmp_path / "adapter.bin", out=tmp_path / "mine")
