"""What a training leaves: an adapter that PEFT loads, and a model that ONNX Runtime runs."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from xpert.artifacts.header import HEADER
from xpert.artifacts.room import require_room
from xpert.trainers.onnx.artifacts import Artifacts, Tensor
from xpert.trainers.onnx.session import TrainingSession

__all__ = ["INFERENCE", "write_adapter", "write_inference_model"]

INFERENCE = "onnx"
"""Folder of the inference model within the result's."""


def write_adapter(artifacts: Artifacts, values: Mapping[str, np.ndarray], folder: Path) -> None:
    """Write ``adapter_model.safetensors`` and ``adapter_config.json`` as PEFT has them, and the tokenizer's files.

    Args:
        artifacts: What was trained.
        values: Parameter to value.
        folder: Where they go.
    """
    tensors = {one.key: np.ascontiguousarray(values[one.parameter], np.float32) for one in artifacts.trained}
    save_file(dict(sorted(tensors.items())), folder / "adapter_model.safetensors", metadata={"format": "pt"})
    text = json.dumps(dict(artifacts.adapter), indent=2, sort_keys=True)
    (folder / "adapter_config.json").write_text(text + "\n", encoding="utf-8")
    for file in sorted(artifacts.folder.iterdir()):
        if file.suffix in (".json", ".jinja", ".model", ".txt") and file.name != HEADER:
            shutil.copyfile(file, folder / file.name)


def write_inference_model(artifacts: Artifacts, session: TrainingSession, folder: Path) -> None:
    """Write ``onnx/model.onnx``, which plain ONNX Runtime runs: ``(input_ids, attention_mask) -> logits``.

    The frozen weights are the artifacts' own file, linked where the disk can, else copied.

    Raises:
        xpert.errors.TrainingError: The disk is full.
    """
    target = folder / INFERENCE
    target.mkdir()
    shutil.copyfile(artifacts.folder / "inference_model.onnx", target / "model.onnx")
    _write_raw(target / "adapter.data", artifacts.trained, session)
    shared = artifacts.folder / "weights.data"
    if not shared.is_file():
        _write_raw(target / "weights.data", artifacts.frozen, session)
        return
    try:
        os.link(shared, target / "weights.data")
    except OSError:
        require_room(folder, shared.stat().st_size, "the inference model")
        shutil.copyfile(shared, target / "weights.data")


def _write_raw(file: Path, tensors: tuple[Tensor, ...], session: TrainingSession) -> None:
    with open(file, "wb") as stream:
        for one in tensors:
            stream.write(b"\0" * (one.offset - stream.tell()))
            stream.write(np.ascontiguousarray(session.parameter(one.parameter), np.float32).tobytes())
