"""A phone's checkpoint as a PEFT adapter: Java can write what it trained, and cannot read it. Needs no torch.

The phone trains a folder of ``xpert export`` and leaves ONNX Runtime's own checkpoint, which holds every parameter by its name in the
graph; which of them are the adapter's, and what PEFT calls them, stands in the folder's ``xpert.json``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from xpert.errors import IncompatibleModelError, MissingDependencyError, SettingsError, WeightsError
from xpert.tensors.files import atomic_folder

__all__ = ["adapter_from_checkpoint"]


def adapter_from_checkpoint(artifacts: str | Path, checkpoint: str | Path, out: str | Path) -> Path:
    """Write ``adapter_model.safetensors`` and ``adapter_config.json`` of what a phone trained.

    Args:
        artifacts: The folder of ``xpert export`` that the phone trained from.
        checkpoint: The file that ``OrtTrainingSession.saveCheckpoint`` wrote (``state`` in the Android example).
        out: The folder of the adapter: new or empty.

    Returns:
        The folder.

    Raises:
        xpert.errors.IncompatibleModelError: The checkpoint is not one of these artifacts, or they are none.
        xpert.errors.WeightsError: The checkpoint cannot be read, or holds a number that is not finite.
        xpert.errors.SettingsError: ``out`` holds something.
        xpert.errors.MissingDependencyError: The training build of ONNX Runtime is not installed.
    """
    header, target = _header(Path(artifacts)), Path(out)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise SettingsError(f"out: {target} holds something: give a new or empty folder")
    found = _parameters(Path(checkpoint))
    tensors: dict[str, np.ndarray] = {}
    for one in header["trained"]:
        name, shape = one["parameter"], tuple(one["shape"])
        if name not in found or found[name].shape != shape:
            came = "none" if name not in found else f"one of shape {found[name].shape}"
            raise IncompatibleModelError(
                f"{checkpoint}: expected a parameter {name} of shape {shape}, as {artifacts} has it, found {came}: "
                "give the artifacts that were trained"
            )
        if not bool(np.isfinite(found[name]).all()):
            raise WeightsError(f"{checkpoint}: {name} is not finite: the training went wrong; lower its learning rate")
        tensors[one["key"]] = np.ascontiguousarray(found[name], np.float32)
    with atomic_folder(target) as work:
        save_file(dict(sorted(tensors.items())), work / "adapter_model.safetensors", metadata={"format": "pt"})
        text = json.dumps(header["adapter"], indent=2, sort_keys=True)
        (work / "adapter_config.json").write_text(text + "\n", encoding="utf-8")
    return target


def _header(folder: Path) -> Mapping[str, Any]:
    file = folder / "xpert.json"
    try:
        values: Any = json.loads(file.read_text(encoding="utf-8"))
        known = values["kind"] == "training" and values["format_version"] == 1
        named = bool(values["trained"]) and all(
            {"parameter", "key", "shape"} <= one.keys() for one in values["trained"]
        )
        if known and named and isinstance(values["adapter"], dict):
            return values
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise IncompatibleModelError(
            f"{file}: expected the header of what `xpert export` wrote ({error}): give that folder"
        ) from None
    raise IncompatibleModelError(f"{file}: expected training artifacts of format version 1: export them again")


def _parameters(file: Path) -> dict[str, np.ndarray]:
    """Every parameter of a checkpoint by name."""
    if not file.is_file():
        raise WeightsError(f"{file}: no such checkpoint: expected the file `state` that the phone wrote")
    try:
        from onnxruntime.training import api
    except ImportError:
        raise MissingDependencyError.of("onnxruntime-training-cpu", "onnx", "reading a phone's checkpoint") from None
    try:
        state: Any = api.CheckpointState.load_checkpoint(str(file))
        return {name: np.array(parameter.data) for name, parameter in state.parameters}
    except Exception as error:  # the runtime's errors have no common class
        told = " ".join(str(error).split())[:200]
        raise WeightsError(f"{file}: no checkpoint that ONNX Runtime reads ({told}): copy it again") from error
