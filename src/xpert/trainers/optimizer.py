"""AdamW as every trainer here uses it."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch

__all__ = ["apply_gradients", "make_optimizer"]


def make_optimizer(
    parameters: Mapping[str, torch.nn.Parameter], *, lr: float, weight_decay: float
) -> torch.optim.AdamW:
    """AdamW; weight decay on matrices only, as is usual."""
    matrices = [p for p in parameters.values() if p.ndim >= 2]
    vectors = [p for p in parameters.values() if p.ndim < 2]
    groups = [{"params": matrices, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    device = next(iter(parameters.values())).device.type
    return torch.optim.AdamW([g for g in groups if g["params"]], lr=lr, fused=device in ("cpu", "cuda"))


def apply_gradients(
    optimizer: torch.optim.Optimizer, parameters: Mapping[str, torch.nn.Parameter], *, rate: float, clip: float
) -> None:
    """Clip the gradients' common norm, step at this learning rate, and drop the gradients.

    Raises:
        FloatingPointError: A gradient is not finite: no step is done.
    """
    for group in optimizer.param_groups:
        group["lr"] = rate
    norm = torch.nn.utils.clip_grad_norm_(list(parameters.values()), clip)
    if not math.isfinite(float(norm)):
        optimizer.zero_grad(set_to_none=True)
        raise FloatingPointError(f"the gradient's norm is {float(norm)}")
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
