"""Checkpoints of a training run: what trains, the optimizer's state, and where it stood. No pickle.

A checkpoint belongs to one run: same start, same data, same settings (their fingerprint is stored). Resuming continues it bit
for bit. It is written beside the one before, which goes only when the new one is whole: after a kill at any moment one of them is there.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from xpert.artifacts.room import require_room
from xpert.errors import TrainingError
from xpert.tensors.files import atomic_folder, sha256_file, write_text
from xpert.trainers.progress import Progress
from xpert.trainers.saving import save_tensors

__all__ = ["load_checkpoint", "remove_leftovers", "restore_optimizer", "save_checkpoint"]

_STATE, _PROGRESS = "state.safetensors", "progress.json"
_ADVICE = "delete it, or train without resume"


def save_checkpoint(
    folder: Path, identity: str, progress: Progress, parameters: Mapping[str, torch.Tensor], optimizer: Any
) -> None:
    """Write a checkpoint to ``folder``, whole or not at all.

    Raises:
        xpert.errors.TrainingError: It does not fit on the disk; the checkpoint before is intact.
    """
    tensors = {f"parameter.{name}": p.detach().cpu().contiguous() for name, p in parameters.items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{key}": value.cpu().contiguous() for key, value in state.items()}
    require_room(folder.parent, sum(t.numel() * t.element_size() for t in tensors.values()), "a checkpoint")
    values = {name: getattr(progress, name) for name in Progress.__dataclass_fields__}
    with atomic_folder(folder) as work:
        save_tensors(tensors, work / _STATE)
        head = {"fingerprint": identity, "sha256": sha256_file(work / _STATE)}
        write_text(work / _PROGRESS, json.dumps({**head, **values}))


def load_checkpoint(
    folder: Path, identity: str, parameters: Mapping[str, torch.Tensor], optimizer: Any
) -> Progress | None:
    """Put a checkpoint's tensors in place and tell where the run stood; None if there is no checkpoint.

    Raises:
        xpert.errors.TrainingError: The checkpoint is another run's, or is damaged.
    """
    if not folder.is_dir():
        return None
    values = _read_progress(folder)
    if values.pop("fingerprint") != identity:
        raise TrainingError(
            f"{folder}: the checkpoint is of another run (other start, data or settings): "
            "train without resume, or give what it was begun with"
        )
    tensors = _read_tensors(folder / _STATE, values.pop("sha256"))
    wanted = {f"parameter.{name}" for name in parameters}
    if wanted != (found := {name for name in tensors if name.startswith("parameter.")}):
        odd = min(wanted ^ found)
        raise TrainingError(f"{folder}: expected the {len(wanted)} tensors that train, {odd} is odd: {_ADVICE}")
    try:
        progress = Progress(**values)
    except TypeError as error:
        raise TrainingError(f"{folder}: written by another version of xpert ({error}): {_ADVICE}") from error
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(tensors[f"parameter.{name}"])
    restore_optimizer(optimizer, tensors)
    progress.losses = [(int(step), float(loss)) for step, loss in progress.losses]
    progress.eval_losses = [(int(step), float(loss)) for step, loss in progress.eval_losses]
    return progress


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, torch.Tensor]) -> None:
    """Give an optimizer the state that tensors ``optimizer.INDEX.FIELD`` hold; other tensors are passed over."""
    state: dict[int, dict[str, torch.Tensor]] = {}
    for key, value in tensors.items():
        if key.startswith("optimizer."):
            _, index, field = key.split(".")
            state.setdefault(int(index), {})[field] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def remove_leftovers(folder: Path) -> None:
    """Clear away what a killed run left of writing the checkpoint ``folder``.

    Killed between the two renamings that put a new checkpoint in the old one's place, it left neither there: the new one, which
    is whole, then takes the place.
    """
    left = sorted(folder.parent.glob(f".{folder.name}.*.tmp")) if folder.parent.is_dir() else []
    whole = {path: step for path in left if (step := _whole_step(path)) is not None}
    if whole and not folder.exists():
        max(whole, key=lambda path: whole[path]).rename(folder)
    for path in left:
        shutil.rmtree(path, ignore_errors=True)


def _whole_step(folder: Path) -> int | None:
    """The step of a checkpoint; None: it was not wholly written."""
    try:
        values = json.loads((folder / _PROGRESS).read_text(encoding="utf-8"))
        return int(values["step"]) if sha256_file(folder / _STATE) == values["sha256"] else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _read_progress(folder: Path) -> dict[str, Any]:
    try:
        values: dict[str, Any] = json.loads((folder / _PROGRESS).read_text(encoding="utf-8"))
        missing = [name for name in ("fingerprint", "sha256") if name not in values]
    except (OSError, ValueError, TypeError) as error:
        raise TrainingError(f"{folder}: no readable checkpoint ({error}): {_ADVICE}") from error
    if missing:
        raise TrainingError(f"{folder}: no readable checkpoint ({_PROGRESS} has no {missing[0]}): {_ADVICE}")
    return values


def _read_tensors(file: Path, sha256: str) -> dict[str, torch.Tensor]:
    try:
        if sha256_file(file) == sha256:
            return load_file(file)
    except (OSError, SafetensorError) as error:
        raise TrainingError(f"{file}: cannot be read ({error}): {_ADVICE}") from error
    raise TrainingError(f"{file}: damaged, its SHA-256 is not the recorded one: {_ADVICE}")
