"""What a selected model is worth as a start."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from xpert.evaluation.presets import Preset
from xpert.evaluation.suite.experiment import Experiment

__all__ = ["STARTING"]

_TRAINED = (
    "An adapter a style, trained on a mixture of so many percent of its style (the paper trains all parameters); models are probed with the shipped prompts, the base answers the users' own where they "
    "have any. Fine-tuning time, energy and data saved are not measured."
)


def _trained(preset: Preset) -> dict[str, Any]:
    pools = preset.pools
    if pools is None:
        return {}
    sizes = {
        "bases": [Path(base).name for base in pools.bases],
        "examples": pools.training,
        "steps": pools.steps,
        "batch_size": pools.batch_size,
        "prompts": pools.prompts,
    }
    counts = {"draws": preset.draws, "users_a_style_and_draw": preset.users_a_style}
    return sizes | counts | {"similarities": list(preset.similarities)}


STARTING: tuple[Experiment, ...] = (
    Experiment(
        name="table-5",
        title="Table 5, first column: pools trained at a similarity",
        paper="Right model at s = 90: Llama-3.2-1B 96.4%, Qwen2-0.5B 100%, SmolLM-360M 89.3% (synthetic styles); Llama 96.7%, Qwen2 92.4% (real-world styles). Llama at s = 30 / 50 / 70 / 80: "
        "25.0 / 53.6 / 85.7 / 96.4%.",
        here=_TRAINED,
        elsewhere=_TRAINED,
        on=("texts", "hub"),
        function="trained:table_5",
        spec=_trained,
        needs={"datasets": "eval"},
        trains=True,
    ),
)
