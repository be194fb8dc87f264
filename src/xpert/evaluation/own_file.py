"""The JSON file that names one's own models and users (`xpert.evaluation.cast.OwnCast`): what it may hold, and where what it names lies."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from xpert.errors import DataError, SettingsError, did_you_mean
from xpert.probing import check_names
from xpert.references import describe

__all__ = ["RECORDED", "identity_of", "read_pool", "reference_beside"]

RECORDED = "answers:"
"""What references of recorded answers begin with."""

_KEYS = ("base", "models", "users", "prompts", "generation", "training")
_ANSWERED: Mapping[str, tuple[str, Callable[[float], bool]]] = {
    "max_new_tokens": ("a whole number from 1", lambda n: isinstance(n, int) and n >= 1),
    "temperature": ("a number from 0", lambda x: 0 <= x < math.inf),
    "top_p": ("a number above 0 and at most 1", lambda x: 0 < x <= 1),
}
"""What ``generation`` may hold, and what of it is right."""
_TRAINED = (
    "recipe",
    "method",
    "lr",
    "schedule",
    "warmup",
    "weight_decay",
    "batch_size",
    "accumulation",
    "rank",
    "alpha",
    "target_modules",
    "max_length",
    "long",
    "precision",
    "max_steps",
    "eval_every",
)
"""What ``training`` may hold: fields of `TorchTrainer`."""


def read_pool(file: Path) -> dict[str, Any]:
    """The file's contents, of the right shape.

    Raises:
        xpert.errors.DataError: It is not there, no JSON, or has what is not expected.
    """
    if not file.is_file():
        raise DataError(f"data: no file {file}: expected JSON with {', '.join(_KEYS[:3])}")
    try:
        told: Any = json.loads(file.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise DataError(f"{file}: expected JSON with {', '.join(_KEYS[:3])}, got what is no JSON: {error}") from error
    if not isinstance(told, dict):
        raise DataError(f"{file}: expected an object with {', '.join(_KEYS[:3])}, got {type(told).__name__}")
    for key in told:
        if key not in _KEYS:
            raise DataError(f"{file}: expected only {', '.join(_KEYS)}, got {key!r}{did_you_mean(key, _KEYS)}")
    for key, kind in (("base", str), ("models", dict), ("users", dict)):
        if not isinstance(told.get(key), kind):
            came = "none" if key not in told else type(told[key]).__name__
            raise DataError(f"{file}: expected {key!r} as a JSON {'string' if kind is str else 'object'}, got {came}")
    if len(told["models"]) < 2 or set(told["models"]) != set(told["users"]):
        raise DataError(
            f"{file}: expected two models or more and users of the same names, got models {', '.join(told['models']) or 'none'} "
            f"and users {', '.join(told['users']) or 'none'}"
        )
    _check_names(told["models"], file)
    for key in ("models", "users"):
        for name, value in told[key].items():
            if not isinstance(value, str):
                raise DataError(f"{file}: {key}: expected a string for {name!r}, got {type(value).__name__}")
    if not isinstance(told.get("prompts", ""), str):
        raise DataError(f"{file}: expected 'prompts' as the name of a file")
    _check_recorded(told, file)
    _check_generation(told.get("generation", {}), file)
    _check_training(told.get("training", {}), file)
    return told


def _check_names(models: Mapping[str, Any], file: Path) -> None:
    """A model's name is its files' name in the work folder and in the catalog."""
    for name in models:
        try:
            check_names([name])
        except SettingsError:
            raise DataError(
                f"{file}: models: expected names that a file can have, got {name!r}: rename it in models and users"
            ) from None


def _check_recorded(told: Mapping[str, Any], file: Path) -> None:
    recorded = [name for name, value in told["models"].items() if value.startswith(RECORDED)]
    if told["base"].startswith(RECORDED) != bool(recorded) or len(recorded) not in (0, len(told["models"])):
        live = [name for name in told["models"] if name not in recorded]
        raise DataError(
            f"{file}: expected base and models all recorded (answers:FILE) or none, got base {told['base']!r}, "
            f"recorded {', '.join(recorded) or 'none'}, others {', '.join(live) or 'none'}"
        )


def _check_generation(told: Any, file: Path) -> None:
    if not isinstance(told, dict) or set(told) - set(_ANSWERED):
        raise DataError(f"{file}: expected 'generation' as an object of {', '.join(_ANSWERED)}, got {told!r}")
    for name, value in told.items():
        expected, fits = _ANSWERED[name]
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not fits(value):
            raise DataError(f"{file}: generation: expected {name!r} as {expected}, got {value!r}")


def _check_training(told: Any, file: Path) -> None:
    if not isinstance(told, dict) or set(told) - set(_TRAINED):
        raise DataError(f"{file}: expected 'training' as an object of {', '.join(_TRAINED)}, got {told!r}")
    from xpert.trainers.torch import TorchTrainer

    try:
        _ = TorchTrainer(**told).settings
    except (SettingsError, TypeError, ValueError) as error:
        raise DataError(f"{file}: training: {error}") from error


def identity_of(reference: str) -> str:
    """The weights' digest where they are at hand, else the reference: nothing is downloaded to plan a run."""
    at_hand = Path(reference).exists() or reference.startswith(("zoo:", RECORDED))
    return describe(reference).sha256 if at_hand else reference


def reference_beside(file: Path, told: str) -> str:
    """A folder or recorded answers beside the file, else what it is; recorded answers must be there."""
    scheme = RECORDED if told.startswith(RECORDED) else ""
    name = told.removeprefix(scheme)
    beside = file.parent / name
    if beside.exists():
        return f"{scheme}{beside}"
    if scheme and not Path(name).exists():
        tried = dict.fromkeys((beside.absolute(), Path(name).absolute()))
        raise DataError(f"{file}: expected recorded answers at {told!r}, found no {' and no '.join(map(str, tried))}")
    return told
