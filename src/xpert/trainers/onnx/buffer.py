"""An adapter that a browser trained, as PEFT loads it: the runtime gives its numbers in one row."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from xpert.errors import WeightsError
from xpert.tensors.files import atomic_folder
from xpert.trainers.onnx.artifacts import Artifacts
from xpert.trainers.onnx.result import write_adapter
from xpert.trainers.output import check_target

__all__ = ["adapter_from_buffer"]


def adapter_from_buffer(artifacts: str | Path, file: str | Path, *, out: str | Path) -> Path:
    """Write the PEFT adapter that ``file`` holds.

    Args:
        artifacts: The folder that was trained from.
        file: The trained parameters as float32 numbers in the order of the artifacts, little end first.
        out: The adapter's folder: new or empty.

    Raises:
        xpert.errors.WeightsError: The file has another number of parameters, or one is not finite.
        xpert.errors.SettingsError: ``out`` is a folder of something else.
    """
    opened, folder = Artifacts.open(artifacts), check_target(out)
    size = Path(file).stat().st_size
    if size != 4 * opened.n_trained:
        raise WeightsError(
            f"{file}: expected {4 * opened.n_trained} bytes, as {artifacts} has parameters, it has {size}"
        )
    numbers = np.fromfile(file, "<f4")
    if not np.isfinite(numbers).all():
        raise WeightsError(f"{file}: holds NaN or infinite values: train again")
    values: dict[str, np.ndarray] = {}
    begin = 0
    for tensor in opened.trained:
        length = int(np.prod(tensor.shape))
        values[tensor.parameter] = numbers[begin : begin + length].reshape(tensor.shape)
        begin += length
    with atomic_folder(folder) as work:
        write_adapter(opened, values, work)
    return folder
