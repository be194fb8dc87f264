from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from xpert.cli import main
from xpert.errors import IncompatibleModelError, SettingsError, WeightsError
from xpert.trainers.data import batch_of, encode
from xpert.trainers.from_checkpoint import adapter_from_checkpoint, is_checkpoint
from xpert.trainers.onnx.artifacts import Artifacts
from xpert.trainers.onnx.session import TrainingSession
from xpert.types import Example

pytest.importorskip("onnxruntime.training", reason="needs the training build of ONNX Runtime (extra onnx)")

EXAMPLES = [Example(prompt="Tell me about rain.", response="Oh, rain! A lovely thing to ask, dear friend.")]


@pytest.fixture(scope="module")
def trained(exported: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, np.ndarray]]:
    """What the Python runtime leaves after three steps from a real export, as Java's ``saveCheckpoint`` leaves it; the adapter then."""
    artifacts = Artifacts.open(exported)
    session = TrainingSession(artifacts, exported / "checkpoint", threads=1)
    rows = encode(artifacts.tokenizer, EXAMPLES, 64, end_id=artifacts.end_id)
    for _ in range(3):
        session.learn(batch_of(rows, artifacts.pad_id), 10)
        session.step(1e-2)
    state = tmp_path_factory.mktemp("phone") / "state"
    session.save(state)
    return state, {one.key: session.parameter(one.parameter).copy() for one in artifacts.trained}


def test_a_checkpoint_of_the_runtime_becomes_a_peft_adapter(
    trained: Any, exported: Path, tiny_base: Path, tmp_path: Path
) -> None:
    state, expected = trained
    out = adapter_from_checkpoint(exported, state, tmp_path / "mine")
    tensors = load_file(out / "adapter_model.safetensors")
    assert tensors.keys() == expected.keys()
    assert all(np.array_equal(tensors[key], expected[key]) for key in expected)
    at_first = load_file(
        adapter_from_checkpoint(exported, exported / "checkpoint", tmp_path / "first") / "adapter_model.safetensors"
    )
    assert all(not np.array_equal(tensors[key], at_first[key]) for key in tensors)
    assert_answers_as_the_session(out, tiny_base, exported, state)
    with pytest.raises(SettingsError, match="something else"):
        adapter_from_checkpoint(exported, state, tiny_base)


def assert_answers_as_the_session(out: Path, base: Path, exported: Path, state: Path) -> None:
    """PEFT loads it on its base, and the loss is that of the runtime that trained."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    artifacts = Artifacts.open(exported)
    (row,) = encode(artifacts.tokenizer, EXAMPLES, 64, end_id=artifacts.end_id)
    n = len(row.ids) - max(row.skip, 1)
    expected = TrainingSession(artifacts, state, threads=1).loss(batch_of([row], artifacts.pad_id), n)
    model: Any = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), str(out)).eval()
    ids = torch.tensor([row.ids])
    labels = ids.clone()
    labels[0, : row.skip] = -100
    with torch.no_grad():
        found = float(model(input_ids=ids, labels=labels).loss)
    assert found == pytest.approx(expected, abs=1e-5)


def test_the_command_takes_checkpoints_and_buffers(
    trained: Any, exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state, expected = trained
    keys = [one.key for one in Artifacts.open(exported).trained]
    buffer = tmp_path / "adapter.bin"
    buffer.write_bytes(b"".join(expected[key].astype("<f4").tobytes() for key in keys))
    assert (is_checkpoint(state), is_checkpoint(buffer)) == (True, False)
    for name, file in (("phone", state), ("browser", buffer)):
        out = str(tmp_path / name)
        asked = ["adapter", "--artifacts", str(exported), "--trained", str(file), "--out", out, "--json"]
        assert main(asked) == 0
        assert json.loads(capsys.readouterr().out) == {"out": out}
        found = load_file(Path(out) / "adapter_model.safetensors")
        assert all(np.array_equal(found[key], expected[key]) for key in expected)
    missing = ["adapter", "--artifacts", str(exported), "--trained", str(tmp_path / "no"), "--out", str(tmp_path / "o")]
    assert main(missing) == 2
    assert "no such file" in capsys.readouterr().err


def test_what_does_not_belong_together(trained: Any, exported: Path, tiny_base: Path, tmp_path: Path) -> None:
    from xpert.trainers.export import OnnxExporter

    state, _ = trained
    with pytest.raises(WeightsError, match="no such checkpoint"):
        adapter_from_checkpoint(exported, tmp_path / "state", tmp_path / "o")
    with pytest.raises(IncompatibleModelError, match="expected a folder that `xpert export` wrote"):
        adapter_from_checkpoint(tmp_path, state, tmp_path / "o")
    other = OnnxExporter(rank=2, max_length=64).export(tiny_base, tmp_path / "other")
    with pytest.raises(
        IncompatibleModelError, match=r"expected a parameter .* of shape .*give the artifacts that were trained"
    ):
        adapter_from_checkpoint(other, state, tmp_path / "o")
    assert not (tmp_path / "o").exists()


def test_numbers_that_are_not_finite_are_told(exported: Path, tmp_path: Path) -> None:
    artifacts = Artifacts.open(exported)
    session = TrainingSession(artifacts, exported / "checkpoint", threads=1)
    parameter = session._state.parameters[artifacts.trained[0].parameter]
    parameter.data = np.full_like(parameter.data, np.nan)
    session.save(tmp_path / "state")
    with pytest.raises(WeightsError, match="is not finite: the training went wrong"):
        adapter_from_checkpoint(exported, tmp_path / "state", tmp_path / "o")


def test_a_file_that_is_no_checkpoint(trained: Any, exported: Path, tmp_path: Path) -> None:
    data = trained[0].read_bytes()
    (tmp_path / "state").write_bytes(data[: len(data) // 2])
    with pytest.raises(WeightsError, match="no checkpoint that ONNX Runtime reads"):
        adapter_from_checkpoint(exported, tmp_path / "state", tmp_path / "o")
