"""A run's result on disk: what was trained, a report and a card. Needs no torch."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from xpert.energy import estimated
from xpert.errors import SettingsError, TrainingError
from xpert.tensors.files import atomic_folder
from xpert.trainers.loop import StopReason
from xpert.trainers.progress import CHECKPOINT, LAST_GOOD, Progress
from xpert.types import Energy, TrainingReport

__all__ = ["REPORT", "check_target", "finished", "model_card", "report_of", "write_result"]

REPORT = "report.json"


def check_target(out: str | Path) -> Path:
    """The folder to write to; it may be new, empty, or hold an earlier run of ours.

    Raises:
        xpert.errors.SettingsError: It holds something else, or is a file.
    """
    folder = Path(out)
    if folder.exists() and not folder.is_dir():
        raise SettingsError(f"out: {folder} is a file: give a folder")
    ours = {CHECKPOINT, LAST_GOOD}
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    others = {name for name in names - ours if not _is_leftover(name)}
    if others and REPORT not in others:
        raise SettingsError(f"out: {folder} holds something else ({min(others)}): give a new or empty folder")
    return folder


def _is_leftover(name: str) -> bool:
    """Whether a killed run left a folder of this name while it wrote (see `xpert.tensors.files.atomic_folder`)."""
    return name.endswith(".tmp") and name.startswith((f".{CHECKPOINT}.", f".{LAST_GOOD}."))


def report_of(
    progress: Progress,
    stopped: StopReason,
    trainable: int,
    out: Path,
    details: Mapping[str, object],
    *,
    phone: str | None = None,
) -> TrainingReport:
    """The report of a run that is done; ``phone``: for which phone its energy is estimated as well.

    Raises:
        xpert.errors.SettingsError: There is no such phone.
    """
    measured = [Energy(joules=joules, kind="measured", source=source) for source, joules in progress.energy.items()]
    guessed = [] if phone is None else [estimated(progress.seconds, phone)]
    return TrainingReport(
        steps=progress.step,
        seconds=progress.seconds,
        samples=progress.samples,
        losses=tuple(progress.losses),
        eval_losses=tuple(progress.eval_losses),
        first_loss=progress.losses[0][1],
        last_loss=progress.losses[-1][1],
        trainable_parameters=trainable,
        stopped_by=stopped,
        out=out,
        energy_j=sum(one.joules for one in measured) if measured else None,
        energy=(*measured, *guessed),
        details={**details, "eval_seconds": list(progress.eval_seconds)},
    )


def write_result(
    write_model: Callable[[Path], None], report: TrainingReport, identity: str, out: Path, card: str
) -> None:
    """Write everything beside ``out`` and put it in its place; an earlier result and the checkpoint are gone then.

    Args:
        write_model: Writes the model or adapter to the folder that it is given.
        report: The run's report.
        identity: The run's fingerprint.
        out: The folder of the result.
        card: The text of its ``README.md``.
    """
    with atomic_folder(out) as folder:
        write_model(folder)
        values = {**asdict(report), "fingerprint": identity}
        del values["out"]
        (folder / REPORT).write_text(json.dumps(values, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        (folder / "README.md").write_text(card, encoding="utf-8")


def finished(out: Path, identity: str) -> TrainingReport | None:
    """The report of a run that is done in ``out``, if it is the one with this fingerprint.

    Raises:
        xpert.errors.TrainingError: The report there cannot be read.
    """
    file = out / REPORT
    if not file.is_file():
        return None
    try:
        values: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        if values.pop("fingerprint") != identity:
            return None
        for name in ("losses", "eval_losses"):
            values[name] = tuple((int(step), float(loss)) for step, loss in values[name])
        values["energy"] = tuple(Energy(**one) for one in values["energy"])
        return TrainingReport(**values, out=out)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TrainingError(f"{file}: no readable report ({error}): delete it or train without resume") from error


def model_card(report: TrainingReport, *, method: str, base: str, library: str, unit: str) -> str:
    """A model card without any of the data's content; ``unit`` is what losses are given in."""
    rows = [f"Fine-tuned with xpert ({method}) from `{base}`.", ""]
    rows += [f"- {report.steps} steps, {report.samples} examples, stopped by {report.stopped_by}"]
    rows += [f"- training loss {report.first_loss:.4f} -> {report.last_loss:.4f} {unit}"]
    if report.eval_losses:
        rows += [f"- validation loss {report.eval_losses[0][1]:.4f} -> {report.eval_losses[-1][1]:.4f}"]
    front = ["---", f"base_model: {json.dumps(base)}", f"library_name: {library}", "tags:", "- xpert", "---"]
    return "\n".join([*front, "", "# Personal model", "", *rows, ""])
