"""What a training run is told: recipes, the values they fill in, and what contradicts what."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from xpert.errors import SettingsError

__all__ = [
    "DEFAULTS",
    "RECIPES",
    "Long",
    "Method",
    "Precision",
    "Recipe",
    "RunSettings",
    "Schedule",
    "TrainSettings",
    "above_zero",
    "at_least",
    "learning_rate",
    "one_of",
]

Method: TypeAlias = Literal["lora", "full"]
Schedule: TypeAlias = Literal["constant", "cosine", "linear"]
Precision: TypeAlias = Literal["float32", "bf16"]
Long: TypeAlias = Literal["truncate", "split"]
Recipe: TypeAlias = Literal["paper-server", "paper-device"]

DEFAULTS: Mapping[str, Any] = {
    "method": "lora",
    "lr": 2e-4,
    "schedule": "constant",
    "warmup": 0,
    "weight_decay": 0.0,
    "batch_size": 8,
    "rank": 16,
    "alpha": 32,
}
"""What is used where neither the caller nor a recipe says otherwise."""

RECIPES: Mapping[str, Mapping[str, Any]] = {
    "paper-server": {"method": "full", "lr": 1e-4, "schedule": "cosine", "warmup": 10, "weight_decay": 0.01},
    "paper-device": {"method": "lora"},
}
"""The paper's own settings.

Source: Wang et al., MobiSys 2025, section 6 (arXiv 2504.13938): the server trains all parameters with Adam, weight decay
0.01, learning rate 1e-4, a cosine schedule and 10 warm-up steps (here AdamW); the device trains LoRA, of which the paper gives
no figures, so `DEFAULTS` hold.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSettings:
    """What every trainer's run is told, filled in. The names are those of the trainers' own fields."""

    method: Method
    max_steps: int
    target_loss: float | None
    lr: float
    schedule: str
    warmup: int
    weight_decay: float
    batch_size: int
    clip: float
    rank: int
    alpha: float
    target_modules: str | tuple[str, ...] | None
    eval_fraction: float
    eval_every: int | None
    patience: tuple[int, float] | None
    seed: int
    precision: Precision

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            xpert.errors.SettingsError: A value is out of range.
        """
        one_of("method", self.method, ("lora", "full"))
        one_of("precision", self.precision, ("float32", "bf16"))
        for name in ("max_steps", "batch_size", "rank"):
            at_least(name, getattr(self, name), 1)
        for name in ("warmup", "weight_decay", "seed"):
            at_least(name, getattr(self, name), 0)
        for name in ("lr", "clip", "alpha"):
            above_zero(name, getattr(self, name))
        if not 0 <= self.eval_fraction < 1:
            raise SettingsError(
                f"eval_fraction: expected a number of at least 0 and below 1, got {self.eval_fraction!r}"
            )
        if self.eval_every is not None:
            at_least("eval_every", self.eval_every, 1)
        if self.patience is not None and not (self.patience[0] >= 1 and 0 <= self.patience[1] < 1):
            raise SettingsError(f"patience: expected (evaluations >= 1, share in [0, 1)), got {self.patience!r}")

    @property
    def interval(self) -> int:
        """Steps between evaluations: a twentieth of ``max_steps`` unless ``eval_every`` says otherwise."""
        return self.eval_every or max(1, round(self.max_steps / 20))


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainSettings(RunSettings):
    """Every choice of a language model's run. The names are those of `xpert.TorchTrainer`."""

    max_length: int
    accumulation: int = 1
    gradient_checkpointing: bool = False
    bucketing: bool = False
    long: Long = "truncate"

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            xpert.errors.SettingsError: A value is out of range.
        """
        RunSettings.__post_init__(self)
        one_of("schedule", self.schedule, ("constant", "cosine", "linear"))
        one_of("long", self.long, ("truncate", "split"))
        at_least("max_length", self.max_length, 2)
        at_least("accumulation", self.accumulation, 1)


def learning_rate(step: int, settings: TrainSettings) -> float:
    """Learning rate of the 0-based ``step``: a linear warm-up, then constant, a half cosine to 0, or a line to 0."""
    if step < settings.warmup:
        return settings.lr * (step + 1) / settings.warmup
    if settings.schedule == "constant":
        return settings.lr
    done = (step - settings.warmup) / max(1, settings.max_steps - settings.warmup)
    share = 1 - done if settings.schedule == "linear" else 0.5 * (1 + math.cos(math.pi * done))
    return settings.lr * share


def one_of(name: str, value: object, allowed: tuple[str, ...]) -> None:
    """Raise `SettingsError` unless the value is one of these."""
    if value not in allowed:
        raise SettingsError(f"{name}: expected one of {', '.join(allowed)}, got {value!r}")


def at_least(name: str, value: float, least: float) -> None:
    """Raise `SettingsError` if the value is below ``least``, or no number."""
    if not value >= least:
        raise SettingsError(f"{name}: expected at least {least}, got {value!r}")


def above_zero(name: str, value: float) -> None:
    """Raise `SettingsError` unless the value is finite and above 0."""
    if not (math.isfinite(value) and value > 0):
        raise SettingsError(f"{name}: expected a number above 0, got {value!r}")
