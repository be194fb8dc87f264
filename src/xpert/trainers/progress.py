"""Where a training run stands, and what makes it the run it is. Needs no torch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["CHECKPOINT", "LAST_GOOD", "Progress", "fingerprint"]

CHECKPOINT = ".checkpoint"
"""Name of the checkpoint's folder within the result's."""

LAST_GOOD = "last-good"
"""Name of the folder, within the result's, of the model as it was when the loss was last finite."""


@dataclass(slots=True, kw_only=True)
class Progress:
    """Where a run stands.

    Attributes:
        step: Optimizer steps done.
        samples: Examples seen.
        seconds: Time spent so far.
        energy: Joules measured so far, by counter; none where none can be read.
        losses: ``[step, loss]`` of training.
        eval_losses: ``[step, loss]`` of validation.
        eval_seconds: Seconds since the beginning at each evaluation.
        best: Validation loss that improvement is measured against.
        stale: Evaluations since it improved.
    """

    step: int
    samples: int
    seconds: float
    energy: dict[str, float]
    losses: list[tuple[int, float]]
    eval_losses: list[tuple[int, float]]
    eval_seconds: list[float]
    best: float | None
    stale: int

    @classmethod
    def start(cls) -> Progress:
        """Before the first step."""
        return cls(
            step=0,
            samples=0,
            seconds=0.0,
            energy={},
            losses=[],
            eval_losses=[],
            eval_seconds=[],
            best=None,
            stale=0,
        )


def fingerprint(parts: Mapping[str, object]) -> str:
    """SHA-256 of what makes a run the run it is."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()
