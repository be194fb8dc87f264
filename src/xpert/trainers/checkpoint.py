"""Checkpoints of a training run: what trains, the optimizer's state, and where it stood. No pickle.

A checkpoint belongs to one run: same start, same data, same settings (their fingerprint is stored). Resuming continues it bit
for bit.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from xpert.errors import TrainingError
from xpert.tensors.files import atomic_folder
from xpert.trainers.progress import Progress

__all__ = ["load_checkpoint", "save_checkpoint"]


def save_checkpoint(
    folder: Path, identity: str, progress: Progress, parameters: Mapping[str, torch.Tensor], optimizer: Any
) -> None:
    """Write a checkpoint to ``folder``, whole or not at all."""
    tensors = {f"parameter.{name}": p.detach().cpu().contiguous() for name, p in parameters.items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{key}": value.cpu().contiguous() for key, value in state.items()}
    values = {name: getattr(progress, name) for name in Progress.__dataclass_fields__}
    with atomic_folder(folder) as work:
        save_file(tensors, work / "state.safetensors")
        (work / "progress.json").write_text(json.dumps({"fingerprint": identity, **values}), encoding="utf-8")


def load_checkpoint(
    folder: Path, identity: str, parameters: Mapping[str, torch.Tensor], optimizer: Any
) -> Progress | None:
    """Put a checkpoint's tensors in place and tell where the run stood; None if there is no checkpoint.

    Raises:
        xpert.errors.TrainingError: The checkpoint is another run's, or cannot be read.
    """
    if not folder.is_dir():
        return None
    try:
        values: dict[str, Any] = json.loads((folder / "progress.json").read_text(encoding="utf-8"))
        found = values.pop("fingerprint")
    except (OSError, ValueError, KeyError) as error:
        raise TrainingError(f"{folder}: no readable checkpoint ({error}): delete it or train without resume") from error
    if found != identity:
        raise TrainingError(
            f"{folder}: the checkpoint is of another run (other start, data or settings): "
            "train without resume, or give what it was begun with"
        )
    tensors = load_file(folder / "state.safetensors")
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(tensors[f"parameter.{name}"])
    state: dict[int, dict[str, torch.Tensor]] = {}
    for key, value in tensors.items():
        if key.startswith("optimizer."):
            _, index, field = key.split(".")
            state.setdefault(int(index), {})[field] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    for name in ("losses", "eval_losses"):
        values[name] = [(int(step), float(loss)) for step, loss in values[name]]
    return Progress(**values)
