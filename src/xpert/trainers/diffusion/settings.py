"""What a pipeline's training run is told: defaults, the authors' recipe, and what contradicts what."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from xpert.errors import MissingDependencyError
from xpert.trainers.settings import RunSettings, above_zero, at_least, one_of

__all__ = ["DEFAULTS", "RECIPES", "SCHEDULES", "DiffusionSettings", "learning_rates"]

SCHEDULES = ("constant", "constant_with_warmup", "linear", "cosine", "cosine_with_restarts", "polynomial")
"""The learning-rate schedules, by diffusers' names."""

DEFAULTS: Mapping[str, Any] = {
    "method": "lora",
    "max_steps": 200,
    "lr": 1e-4,
    "schedule": "constant",
    "warmup": 0,
    "weight_decay": 1e-2,
    "batch_size": 4,
    "accumulation": 1,
    "rank": 16,
    "alpha": 16,
    "center_crop": False,
    "random_flip": False,
    "gradient_checkpointing": False,
    "precision": "float32",
}
"""What is used where neither the caller nor a recipe says otherwise; where diffusers' example scripts agree, their values."""

RECIPES: Mapping[str, Mapping[str, Any]] = {
    "paper-server": {
        "method": "full",
        "max_steps": 1500,
        "lr": 1e-5,
        "schedule": "constant",
        "warmup": 0,
        "batch_size": 1,
        "accumulation": 4,
        "resolution": 512,
        "center_crop": True,
        "random_flip": True,
        "gradient_checkpointing": True,
        "precision": "bf16",
    },
    "paper-device": {"method": "lora"},
}
"""The authors' command line of ``personalized_ft.py`` (README of their repository), and LoRA, of which they give no figures."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DiffusionSettings(RunSettings):
    """Every choice of a pipeline's run. The names are those of `xpert.DiffusionTrainer`."""

    accumulation: int
    resolution: int | None
    center_crop: bool
    random_flip: bool
    gradient_checkpointing: bool
    ema_decay: float | None
    snr_gamma: float | None
    noise_offset: float
    eval_levels: int

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            xpert.errors.SettingsError: A value is out of range.
        """
        RunSettings.__post_init__(self)
        one_of("schedule", self.schedule, SCHEDULES)
        at_least("accumulation", self.accumulation, 1)
        at_least("eval_levels", self.eval_levels, 1)
        at_least("noise_offset", self.noise_offset, 0)
        if self.resolution is not None:
            at_least("resolution", self.resolution, 8)
        if self.snr_gamma is not None:
            above_zero("snr_gamma", self.snr_gamma)
        if self.ema_decay is not None:
            above_zero("ema_decay", self.ema_decay)
            at_least("1 - ema_decay", 1 - self.ema_decay, 0)


def learning_rates(settings: DiffusionSettings) -> Callable[[int], float]:
    """The learning rate of each 0-based step, as `diffusers.optimization.get_scheduler` sets it.

    ``constant`` with a warm-up is diffusers' ``constant_with_warmup``: asked for, a warm-up is never passed over.

    Raises:
        xpert.errors.MissingDependencyError: diffusers is not installed.
    """
    import torch

    try:
        from diffusers.optimization import get_scheduler
    except ModuleNotFoundError:
        raise MissingDependencyError.of("diffusers", "diffusion", "DiffusionTrainer") from None
    name = "constant_with_warmup" if settings.schedule == "constant" and settings.warmup else settings.schedule
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=settings.lr)
    scheduler = get_scheduler(name, optimizer, num_warmup_steps=settings.warmup, num_training_steps=settings.max_steps)
    share = cast("Callable[[int], float]", scheduler.lr_lambdas[0])
    return lambda step: settings.lr * float(share(step))
