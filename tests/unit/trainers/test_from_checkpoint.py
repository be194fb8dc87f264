from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from xpert.errors import IncompatibleModelError, SettingsError, WeightsError
from xpert.trainers.from_checkpoint import adapter_from_checkpoint

pytest.importorskip("onnxruntime.training", reason="needs the training build of ONNX Runtime (extra onnx)")

KEYS = {"a": "base_model.model.q.lora_A.weight", "b": "base_model.model.q.lora_B.weight"}
CONFIG = {"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": ["q"]}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, np.ndarray], np.ndarray]:
    """Artifacts of a tiny model, trained for three steps by the Python runtime; its parameters then, and the frozen one."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper
    from onnxruntime.training import api, artifacts

    folder, rng = tmp_path_factory.mktemp("artifacts"), np.random.default_rng(0)
    values = {"a": rng.normal(size=(4, 2)), "b": rng.normal(size=(2, 3)), "w": rng.normal(size=(4, 3))}
    weights = [numpy_helper.from_array(value.astype(np.float32), name) for name, value in values.items()]
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["base"], name="1"),
        helper.make_node("MatMul", ["x", "a"], ["inner"], name="2"),
        helper.make_node("MatMul", ["inner", "b"], ["outer"], name="3"),
        helper.make_node("Add", ["base", "outer"], ["y"], name="4"),
    ]
    floats = TensorProto.FLOAT
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("x", floats, ["n", 4])],
        [helper.make_tensor_value_info("y", floats, ["n", 3])],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    before = onnx.IR_VERSION
    onnx.IR_VERSION = 9  # of the optimizer's graph: the runtime reads no newer one
    try:
        artifacts.generate_artifacts(
            model,
            requires_grad=["a", "b"],
            frozen_params=["w"],
            loss=artifacts.LossType.MSELoss,
            optimizer=artifacts.OptimType.AdamW,
            artifact_directory=str(folder),
        )
    finally:
        onnx.IR_VERSION = before
    state = api.CheckpointState.load_checkpoint(str(folder / "checkpoint"))
    module = api.Module(str(folder / "training_model.onnx"), state, str(folder / "eval_model.onnx"))
    optimizer = api.Optimizer(str(folder / "optimizer_model.onnx"), module)
    module.train()
    for _ in range(3):
        module(rng.normal(size=(5, 4)).astype(np.float32), np.zeros((5, 3), np.float32))
        optimizer.step()
        module.lazy_reset_grad()
    api.CheckpointState.save_checkpoint(state, str(folder / "state"), include_optimizer_state=True)
    named = [{"parameter": name, "key": KEYS[name], "shape": list(values[name].shape)} for name in KEYS]
    header = {"kind": "training", "format_version": 1, "adapter": CONFIG, "trained": named}
    (folder / "xpert.json").write_text(json.dumps(header))
    return folder, {name: np.array(state.parameters[name].data) for name in "ab"}, values["a"]


def test_a_checkpoint_of_the_runtime_becomes_a_peft_adapter(trained: Any, tmp_path: Path) -> None:
    folder, parameters, at_first = trained
    out = adapter_from_checkpoint(folder, folder / "state", tmp_path / "mine")
    tensors = load_file(out / "adapter_model.safetensors")
    assert tensors.keys() == set(KEYS.values())
    assert all(np.array_equal(tensors[KEYS[name]], parameters[name]) for name in KEYS)
    assert not np.allclose(tensors[KEYS["a"]], at_first)
    assert json.loads((out / "adapter_config.json").read_text()) == CONFIG
    with pytest.raises(SettingsError, match="holds something"):
        adapter_from_checkpoint(folder, folder / "state", out)


def test_what_does_not_belong_together(trained: Any, tmp_path: Path) -> None:
    folder, _, _ = trained
    with pytest.raises(WeightsError, match="no such checkpoint"):
        adapter_from_checkpoint(folder, tmp_path / "state", tmp_path / "o")
    with pytest.raises(IncompatibleModelError, match="expected the header of what `xpert export` wrote"):
        adapter_from_checkpoint(tmp_path, folder / "state", tmp_path / "o")
    header = json.loads((folder / "xpert.json").read_text())
    for change, message in (
        ({"format_version": 2}, "format version 1"),
        ({"trained": [{"parameter": "c", "key": "k", "shape": [4, 2]}]}, "expected a parameter c .*, found none"),
        ({"trained": [{"parameter": "a", "key": "k", "shape": [4, 3]}]}, r"found one of shape \(4, 2\)"),
    ):
        (tmp_path / "xpert.json").write_text(json.dumps({**header, **change}))
        with pytest.raises(IncompatibleModelError, match=message):
            adapter_from_checkpoint(tmp_path, folder / "state", tmp_path / "o")
    assert not (tmp_path / "o").exists()


def test_a_file_that_is_no_checkpoint(trained: Any, tmp_path: Path) -> None:
    folder, _, _ = trained
    data = (folder / "state").read_bytes()
    (tmp_path / "state").write_bytes(data[: len(data) // 2])
    with pytest.raises(WeightsError, match="no checkpoint that ONNX Runtime reads"):
        adapter_from_checkpoint(folder, tmp_path / "state", tmp_path / "o")
