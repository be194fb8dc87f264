from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from xpert.errors import IncompatibleModelError, RecordedModelError, SettingsError, TrainingError
from xpert.testing.tiny import tiny_causal_lm
from xpert.trainers.export import OnnxExporter
from xpert.trainers.onnx.artifacts import Artifacts

pytest.importorskip("onnxruntime", reason="needs the extra 'onnx'")
onnx = pytest.importorskip("onnx", reason="needs the extra 'onnx'")


def test_the_folder_has_what_training_needs(exported: Path, tiny_base: Path) -> None:
    names = {path.name for path in exported.iterdir()}
    assert {"training_model.onnx", "eval_model.onnx", "optimizer_model.onnx", "checkpoint", "xpert.json"} <= names
    assert {"tokenizer.json", "weights.data", "inference_model.onnx"} <= names
    artifacts = Artifacts.open(exported)
    assert artifacts.base == str(tiny_base)
    assert artifacts.adapter["r"] == 4
    assert artifacts.max_length == 64
    assert artifacts.n_trained == sum(np.prod(one.shape) for one in artifacts.trained)
    assert {one.key.rsplit(".", 2)[1] for one in artifacts.trained} == {"lora_A", "lora_B"}


def test_the_weights_beside_the_graph_are_the_models(exported: Path, tiny_base: Path) -> None:
    stored = load_file(tiny_base / "model.safetensors")
    raw = (exported / "weights.data").read_bytes()
    for one in Artifacts.open(exported).frozen:
        name = one.parameter.removeprefix("model.base_model.model.").replace(".base_layer", "")
        found = np.frombuffer(raw, np.float32, count=int(np.prod(one.shape)), offset=one.offset).reshape(one.shape)
        np.testing.assert_array_equal(found, stored[name])


def test_no_graph_is_newer_than_the_runtime_reads_and_none_holds_weights(exported: Path) -> None:
    for file in exported.glob("*.onnx"):
        model = onnx.load(file, load_external_data=False)
        assert model.ir_version <= 10
        held = [one for one in model.graph.initializer if one.data_location != onnx.TensorProto.EXTERNAL]
        assert sum(len(one.raw_data) for one in held) < 100_000
        assert not [node for node in model.graph.node if node.op_type == "Dropout"]


def test_two_exports_are_alike(exported: Path, tiny_base: Path, tmp_path: Path) -> None:
    again = OnnxExporter(rank=4, alpha=8, max_length=64).export(tiny_base, tmp_path / "again")
    assert Artifacts.open(again).digest == Artifacts.open(exported).digest
    for name in ("weights.data", "checkpoint"):
        assert (again / name).read_bytes() == (exported / name).read_bytes()
    other = OnnxExporter(rank=4, alpha=8, max_length=64, seed=1).export(tiny_base, tmp_path / "again")
    assert Artifacts.open(other).digest != Artifacts.open(exported).digest


def test_an_adapter_is_exported_as_it_is(tiny_adapters: dict[str, Path], tmp_path: Path) -> None:
    from xpert.trainers.onnx.session import TrainingSession

    folder = OnnxExporter(max_length=64).export(tiny_adapters["tutor"], tmp_path / "out")
    artifacts = Artifacts.open(folder)
    session = TrainingSession(artifacts, folder / "checkpoint", threads=1)
    stored = load_file(tiny_adapters["tutor"] / "adapter_model.safetensors")
    assert stored.keys() == {one.key for one in artifacts.trained}
    for one in artifacts.trained:
        np.testing.assert_array_equal(session.parameter(one.parameter), stored[one.key])


def test_what_cannot_be_exported_is_told(tiny_base: Path, tmp_path: Path) -> None:
    answers = tmp_path / "a.jsonl"
    answers.write_text('{"prompt": "a", "response": "b"}\n')
    with pytest.raises(RecordedModelError):
        OnnxExporter().export(f"answers:{answers}", tmp_path / "out")
    gpt2 = tiny_causal_lm(tmp_path / "gpt2", architecture="gpt2")
    with pytest.raises(IncompatibleModelError, match="no gradients for a part of this architecture"):
        OnnxExporter(rank=4).export(gpt2, tmp_path / "out")
    with pytest.raises(SettingsError, match="holds something else"):
        OnnxExporter().export(tiny_base, tiny_base)
    assert not (tmp_path / "out").exists()


def test_an_adapter_with_more_than_factors_is_refused(tiny_base: Path, tmp_path: Path) -> None:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(tiny_base)
    get_peft_model(model, LoraConfig(r=2, use_dora=True, task_type="CAUSAL_LM")).save_pretrained(tmp_path / "dora")
    with pytest.raises(IncompatibleModelError, match="plain LoRA adapter, it uses use_dora"):
        OnnxExporter().export(tmp_path / "dora", tmp_path / "out")


def test_a_full_disk_is_told_before_anything_is_written(
    tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil
    from types import SimpleNamespace

    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(TrainingError, match="the disk has 0 MB left"):
        OnnxExporter(rank=4).export(tiny_base, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_the_command_exports(tiny_base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from xpert.cli import main

    out = str(tmp_path / "out")
    asked = ["export", "--start", str(tiny_base), "--out", out, "--max-length", "32", "--rank", "2", "--json"]
    assert main(asked) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["max_length"], document["architecture"], document["out"]) == (32, "llama", out)
    assert Artifacts.open(out).adapter["r"] == 2
