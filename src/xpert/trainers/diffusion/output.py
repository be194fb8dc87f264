"""A pipeline's run on disk: a LoRA file that ``load_lora_weights`` reads, or a whole pipeline; nothing else of the start changes."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import torch

from xpert.tensors.lora_pipeline import write_pipeline_lora
from xpert.trainers.diffusion.loading import LoadedPipeline, trained_adapters

__all__ = ["write_pipeline"]

_WEIGHTS = ("*.safetensors", "*.safetensors.index.json", "*.bin", "*.bin.index.json", "*.msgpack", "*.onnx")


def write_pipeline(loaded: LoadedPipeline, final: Mapping[str, torch.Tensor], folder: Path) -> None:
    """Write the trained adapter, or the start's pipeline with the trained denoiser.

    Args:
        loaded: The start, trained.
        final: Name of a parameter to its value in the end: the parameters themselves, or their moving averages.
        folder: An existing folder.
    """
    if loaded.method == "lora":
        write_pipeline_lora(trained_adapters(loaded, final), folder)
        return
    parameters = dict(loaded.model.named_parameters())
    with torch.no_grad():
        for name, value in final.items():
            parameters[name].copy_(value)
    for part in sorted(loaded.folder.iterdir()):
        if part.is_dir() and part.name != loaded.denoiser and not part.name.startswith("."):
            shutil.copytree(part, folder / part.name)
        elif part.name in ("model_index.json", "xpert_prompts.jsonl"):
            shutil.copyfile(part, folder / part.name)
    shutil.copytree(loaded.folder / loaded.denoiser, folder / loaded.denoiser, ignore=shutil.ignore_patterns(*_WEIGHTS))
    loaded.model.save_pretrained(folder / loaded.denoiser, safe_serialization=True)
