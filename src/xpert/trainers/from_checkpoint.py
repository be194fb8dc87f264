"""A phone's checkpoint as a PEFT adapter: Java can write what it trained, and cannot read it. Needs no torch.

The phone trains a folder of ``xpert export`` and leaves ONNX Runtime's own checkpoint, which holds every parameter by its name in the
graph; which of them are the adapter's, and what PEFT calls them, stands in the folder's ``xpert.json``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from xpert.artifacts.runtime import training_build
from xpert.errors import IncompatibleModelError, WeightsError
from xpert.tensors.files import atomic_folder
from xpert.trainers.onnx.artifacts import Artifacts
from xpert.trainers.onnx.result import write_adapter
from xpert.trainers.output import check_target

__all__ = ["adapter_from_checkpoint", "is_checkpoint"]

_MARK = b"ODTC"
"""Bytes 4 to 8 of every checkpoint of ONNX Runtime."""


def is_checkpoint(file: str | Path) -> bool:
    """Whether a file begins as a checkpoint of ONNX Runtime does."""
    with open(file, "rb") as stream:
        return stream.read(8)[4:] == _MARK


def adapter_from_checkpoint(artifacts: str | Path, checkpoint: str | Path, out: str | Path) -> Path:
    """Write what a phone trained as an adapter that PEFT loads, with its tokenizer.

    Args:
        artifacts: The folder of ``xpert export`` that the phone trained from.
        checkpoint: The file that ``OrtTrainingSession.saveCheckpoint`` wrote (``state`` in the Android example).
        out: The folder of the adapter: new, empty, or an earlier result.

    Returns:
        The folder.

    Raises:
        xpert.errors.IncompatibleModelError: The checkpoint is not one of these artifacts, or they are none.
        xpert.errors.WeightsError: The checkpoint cannot be read, or holds a number that is not finite.
        xpert.errors.SettingsError: ``out`` is a folder of something else.
        xpert.errors.MissingDependencyError: The training build of ONNX Runtime is not installed.
    """
    opened, target = Artifacts.open(artifacts), check_target(out)
    found = _parameters(Path(checkpoint))
    values: dict[str, np.ndarray] = {}
    for one in opened.trained:
        value = found.get(one.parameter)
        if value is None or value.shape != one.shape:
            came = "none" if value is None else f"one of shape {value.shape}"
            raise IncompatibleModelError(
                f"{checkpoint}: expected a parameter {one.parameter} of shape {one.shape}, as {artifacts} has it, found {came}: "
                "give the artifacts that were trained"
            )
        if not bool(np.isfinite(value).all()):
            raise WeightsError(
                f"{checkpoint}: {one.parameter} is not finite: the training went wrong; lower its learning rate"
            )
        values[one.parameter] = value
    with atomic_folder(target) as work:
        write_adapter(opened, values, work)
    return target


def _parameters(file: Path) -> dict[str, np.ndarray]:
    """Every parameter of a checkpoint by name."""
    if not file.is_file():
        raise WeightsError(f"{file}: no such checkpoint: expected the file `state` that the phone wrote")
    api = training_build()
    try:
        state: Any = api.CheckpointState.load_checkpoint(str(file))
        return {name: np.array(parameter.data) for name, parameter in state.parameters}
    except Exception as error:  # the runtime's errors have no common class
        told = " ".join(str(error).split())[:200]
        raise WeightsError(f"{file}: no checkpoint that ONNX Runtime reads ({told}): copy it again") from error
