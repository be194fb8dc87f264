from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("diffusers")

from xpert.testing.tiny_pipelines import FAMILIES, PipelineFamily, tiny_pipeline, tiny_pipeline_adapter


def painted(pipeline: Any, prompt: str) -> np.ndarray:
    import torch

    pipeline.set_progress_bar_config(disable=True)
    generator = torch.Generator().manual_seed(0)
    image = pipeline(prompt, num_inference_steps=2, height=32, width=32, generator=generator).images[0]
    return np.asarray(image, np.float64)


@pytest.mark.parametrize("family", FAMILIES)
def test_prompt_and_adapter_change_the_picture(tmp_path: Path, family: PipelineFamily) -> None:
    from diffusers import DiffusionPipeline

    base = tiny_pipeline(tmp_path / "base", family=family)
    pipeline: Any = DiffusionPipeline.from_pretrained(base, local_files_only=True)
    before = painted(pipeline, "a fox")
    assert before.std() > 20
    assert np.abs(painted(pipeline, "the warm sun") - before).mean() > 1
    adapter = tiny_pipeline_adapter(base, tmp_path / "adapter")
    pipeline.load_lora_weights(adapter, weight_name="pytorch_lora_weights.safetensors")
    assert np.abs(painted(pipeline, "a fox") - before).mean() > 1
    pipeline.unload_lora_weights()
    assert np.array_equal(painted(pipeline, "a fox"), before)


def test_two_of_one_seed_are_the_same(tmp_path: Path) -> None:
    one, two = (
        tiny_pipeline(tmp_path / name, seed=3) / "unet" / "diffusion_pytorch_model.safetensors" for name in "ab"
    )
    assert one.read_bytes() == two.read_bytes()
