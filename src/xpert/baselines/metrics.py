"""torchmetrics fed with features instead of pixels, so that each image is encoded once, whatever is computed from it."""

from __future__ import annotations

import importlib
import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

import torch

from xpert.errors import MissingDependencyError, WeightsError
from xpert.types import Array

__all__ = ["FID", "KID", "check_torchmetrics", "distance_of"]

FID = "torchmetrics.image.fid:FrechetInceptionDistance"
KID = "torchmetrics.image.kid:KernelInceptionDistance"


class _AsTheyCome(torch.nn.Module):
    """A feature module for features."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.num_features = width

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return rows


def check_torchmetrics() -> None:
    """Check that distances can be computed, before images are encoded.

    Raises:
        xpert.errors.MissingDependencyError: torchmetrics is not installed.
    """
    if find_spec("torchmetrics") is None:
        raise MissingDependencyError.of("torchmetrics", "eval", "FID and KID")


def distance_of(metric: str, theirs: Array, mine: Array, *, seed: int = 0, **options: Any) -> float:
    """A torchmetrics distance between two sets of features, ``(N, D)`` and ``(M, D)``; what it draws, it draws from the seed.

    Args:
        metric: `FID` or `KID`.
        theirs: One set.
        mine: The other.
        seed: Of what is drawn.
        options: The metric's own.

    Raises:
        xpert.errors.MissingDependencyError: torchmetrics is not installed.
        xpert.errors.WeightsError: The distance is not finite.
    """
    check_torchmetrics()
    module, name = metric.split(":")
    made = getattr(importlib.import_module(module), name)
    with _seeded(seed), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that KID keeps all features in memory
        computing = made(feature=_AsTheyCome(theirs.shape[1]), **options)
        computing.update(torch.from_numpy(theirs).double(), real=True)
        computing.update(torch.from_numpy(mine).double(), real=False)
        found = computing.compute()
    value = float(found[0] if isinstance(found, Sequence) else found)
    if not math.isfinite(value):
        raise WeightsError(f"{name}: expected a finite distance, got {value}: look at the features")
    return value


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Torch draws from the seed within, and goes on afterwards as if nothing had been drawn."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield
