"""One process or several: `accelerate` places the denoiser, lowers precision and adds gradients up over processes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from xpert.errors import MissingDependencyError, SettingsError
from xpert.loading import choose_device

__all__ = ["accelerated"]


@contextmanager
def accelerated(device: str | None, precision: str) -> Iterator[tuple[Any, torch.device]]:
    """An `accelerate.Accelerator` and the device of this process; its global state is gone afterwards if it was not there before.

    Args:
        device: ``cpu``, ``cuda:1`` ...; None: what accelerate chooses, which is told by ``accelerate launch``.
        precision: ``float32`` or ``bf16``; counts whatever ``accelerate``'s own configuration says.

    Raises:
        xpert.errors.MissingDependencyError: accelerate is not installed.
        xpert.errors.SettingsError: The device is not there, or several processes are to share one; an accelerator of another
            precision is in use in this process.
    """
    try:
        from accelerate import Accelerator
        from accelerate.state import AcceleratorState
        from accelerate.utils import GradientAccumulationPlugin
    except ModuleNotFoundError:
        raise MissingDependencyError.of("accelerate", "diffusion", "DiffusionTrainer") from None
    chosen = None if device is None else choose_device(device)
    several = int(os.environ.get("WORLD_SIZE", "1")) > 1
    if several and chosen is not None and chosen.type != "cpu":
        raise SettingsError(f"device={device!r}: accelerate launch gives each process its own: leave it out")
    ours = not AcceleratorState._shared_state
    try:
        accelerator: Any = Accelerator(
            mixed_precision="bf16" if precision == "bf16" else "no",
            cpu=chosen is not None and chosen.type == "cpu",
            device_placement=False,
            gradient_accumulation_plugin=GradientAccumulationPlugin(num_steps=1),
        )
    except ValueError as error:
        raise SettingsError(f"precision={precision!r}: {' '.join(str(error).split())}") from error
    if several and accelerator.num_processes == 1:
        raise SettingsError(
            f"device: {os.environ['WORLD_SIZE']} processes were launched, and there is no accelerator: give device='cpu'"
        )
    try:
        yield accelerator, chosen if chosen is not None else accelerator.device
    finally:
        if ours:
            AcceleratorState._reset_state(reset_partial_state=not several)
