"""What a trainer's check must know of an adapter: its file, its settings, and how to see that it changes the base."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import torch

__all__ = ["OF_LANGUAGE_MODELS", "OF_PIPELINES", "AdapterKind"]

Answers: TypeAlias = "Callable[[Path, Path | None], torch.Tensor]"


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterKind:
    """Adapters of one kind.

    Attributes:
        weights: Name of the file that holds their tensors.
        answers: What a base answers, alone (None) or with the adapter of a folder, by the library that users load it with.
        settings: What of an adapter must not change when it is trained further.
    """

    weights: str
    answers: Answers
    settings: Callable[[Path], object]


def _logits(base: Path, adapter: Path | None) -> torch.Tensor:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    model: Any = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32).eval()
    if adapter is not None:
        model = PeftModel.from_pretrained(model, str(adapter)).eval()
    with torch.no_grad():
        return model(torch.arange(5)[None]).logits.clone()


def _rank_and_alpha(folder: Path) -> object:
    config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    return {name: config[name] for name in ("r", "lora_alpha")}


def _latents(base: Path, adapter: Path | None) -> torch.Tensor:
    import diffusers
    import torch

    library: Any = diffusers
    pipeline: Any = library.DiffusionPipeline.from_pretrained(base, torch_dtype=torch.float32, local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)
    if adapter is not None:
        pipeline.load_lora_weights(adapter, weight_name=OF_PIPELINES.weights)
    generator = torch.Generator().manual_seed(0)
    return pipeline("a cat", num_inference_steps=1, generator=generator, output_type="latent").images


def _scales(folder: Path) -> object:
    from xpert.tensors.lora_pipeline import read_pipeline_lora

    return {
        (component, module): (factors.rank, factors.scale)
        for component, adapter in read_pipeline_lora(folder, "unet").items()
        for module, factors in adapter.modules.items()
    }


OF_LANGUAGE_MODELS = AdapterKind(weights="adapter_model.safetensors", answers=_logits, settings=_rank_and_alpha)
"""PEFT adapters of causal language models."""

OF_PIPELINES = AdapterKind(weights="pytorch_lora_weights.safetensors", answers=_latents, settings=_scales)
"""LoRA files of diffusers' text-to-image pipelines."""
