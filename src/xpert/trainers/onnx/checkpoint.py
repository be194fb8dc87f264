"""Checkpoints of a training in ONNX Runtime: the runtime's own state, and where the run stood."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from xpert.artifacts.room import require_room
from xpert.errors import TrainingError
from xpert.tensors.files import atomic_folder, sha256_file
from xpert.trainers.onnx.session import TrainingSession
from xpert.trainers.progress import Progress

__all__ = ["STATE", "find_checkpoint", "save_checkpoint"]

STATE = "state"


def save_checkpoint(folder: Path, identity: str, progress: Progress, session: TrainingSession, n_bytes: int) -> None:
    """Write a checkpoint, whole or not at all.

    Args:
        folder: Its folder.
        identity: The run's fingerprint.
        progress: Where the run stands.
        session: Whose state it is.
        n_bytes: What the state will take about.

    Raises:
        xpert.errors.TrainingError: The disk is full; the checkpoint before is intact.
    """
    require_room(folder.parent, n_bytes, "a checkpoint")
    with atomic_folder(folder) as work:
        session.save(work / STATE)
        values = {"fingerprint": identity, "sha256": sha256_file(work / STATE), **asdict(progress)}
        (work / "progress.json").write_text(json.dumps(values), encoding="utf-8")


def find_checkpoint(folder: Path, identity: str) -> Progress | None:
    """Where the run of a checkpoint stood, its state being ``folder / STATE``; None: there is no checkpoint.

    Raises:
        xpert.errors.TrainingError: It is another run's, or damaged.
    """
    if not folder.is_dir():
        return None
    advice = "delete it or train without resume"
    try:
        values: dict[str, Any] = json.loads((folder / "progress.json").read_text(encoding="utf-8"))
        found, digest = values.pop("fingerprint"), values.pop("sha256")
        state = sha256_file(folder / STATE)
    except (OSError, ValueError, KeyError) as error:
        raise TrainingError(f"{folder}: no readable checkpoint ({error}): {advice}") from error
    if found != identity:
        raise TrainingError(
            f"{folder}: the checkpoint is of another run (other start, data or settings): "
            "train without resume, or give what it was begun with"
        )
    if state != digest:
        raise TrainingError(
            f"{folder / STATE}: the checkpoint is damaged (its SHA-256 is not the recorded one): {advice}"
        )
    for name in ("losses", "eval_losses"):
        values[name] = [(int(step), float(loss)) for step, loss in values[name]]
    try:
        return Progress(**values)
    except TypeError as error:
        raise TrainingError(f"{folder}: written by another version of xpert ({error}): {advice}") from error
