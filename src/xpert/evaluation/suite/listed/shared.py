"""What several experiments tell alike."""

from __future__ import annotations

from typing import Any

from xpert.evaluation.presets import Preset

__all__ = ["ELSEWHERE", "POOLED", "models"]

POOLED = "The zoo: a base of 3 million parameters, its adapters, the zoo's summarizer. Directions can be compared with the paper's, absolute numbers cannot."

ELSEWHERE = "Other models than the zoo's: base, models and users as they were named. What of a user's texts is not in the model's style are the base's own answers."


def models(preset: Preset) -> dict[str, Any]:
    """Of a spec: how many models there are, and who explains them."""
    return {"models": len(preset.styles), "summarizer": "zoo:summarizer"}
