"""The shipped image models: named, small, loaded in float32, and a painted picture has the right size."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xpert.errors import ReferenceNotFoundError
from xpert.tensors.lora_pipeline import named_base
from xpert.zoo import PICTURES, WEIGHTS, adapter_names, names, path, picture_adapter_names, picture_names
from xpert.zoo.pictures import STYLES, draw, scenes, split_of
from xpert.zoo.pictures.words import UNNAMED, vocabulary

WHOLE = ["pictures-base", "pictures-painter", "pictures-encoder"]


@pytest.fixture(scope="module")
def pipeline() -> Any:
    diffusers = pytest.importorskip("diffusers")
    return diffusers.StableDiffusionPipeline.from_pretrained(path("pictures-base"), safety_checker=None)


def painted(pipeline: Any, caption: str, **options: Any) -> np.ndarray:
    import torch

    pipeline.set_progress_bar_config(disable=True)
    generator = torch.Generator().manual_seed(0)
    return np.asarray(pipeline(caption, num_inference_steps=2, generator=generator, **options).images[0])


def test_image_models_are_named_apart_from_the_text_models() -> None:
    assert picture_names() == WHOLE + [f"pictures-{style}" for style in STYLES]
    assert picture_adapter_names() == [f"pictures-{style}" for style in STYLES]
    assert set(picture_names()) < set(names())
    assert not set(adapter_names()) & set(picture_names())
    assert path("pictures-neon") == PICTURES / "neon"
    with pytest.raises(ReferenceNotFoundError, match="pictures-neon"):
        path("pictures-neom")


def test_the_shipped_image_models_stay_small() -> None:
    files = [file for file in PICTURES.rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) < 15e6
    assert sum(file.stat().st_size for file in WEIGHTS.rglob("*") if file.is_file()) < 40e6
    assert {file.suffix for file in files} <= {".safetensors", ".json", ".jsonl", ".txt", ".md"}


def test_the_encoder_is_asked_for_words_that_it_knows() -> None:
    from xpert.summarizers.instructions import load_instruction

    wording = load_instruction(path("pictures-encoder"))
    assert wording is not None
    assert wording.words == vocabulary()
    assert not set(UNNAMED) & set(wording.words)


def test_the_base_brings_prompts_that_nobody_was_trained_on() -> None:
    from xpert.modalities.recorded import own_or_shared_prompts

    prompts = own_or_shared_prompts(path("pictures-base"), [])
    assert prompts is not None
    assert len(prompts) == len(set(prompts)) == 200
    assert {split_of(prompt) for prompt in prompts} == {"probes"}


def test_adapters_say_what_they_were_trained_on() -> None:
    for style in STYLES:
        made = json.loads((path(f"pictures-{style}") / "made.json").read_text(encoding="utf-8"))
        assert (made["style"], made["base"]) == (style, "zoo:pictures-base")
        assert named_base(path(f"pictures-{style}")) == "zoo:pictures-base"


def test_the_base_paints_in_float32(pipeline: Any) -> None:
    assert {str(part.dtype) for part in (pipeline.unet, pipeline.vae, pipeline.text_encoder)} == {"torch.float32"}
    first = painted(pipeline, "a red car at night")
    assert first.shape == (64, 64, 3)
    assert np.array_equal(first, painted(pipeline, "a red car at night"))
    assert not np.array_equal(first, painted(pipeline, "a green tree on the beach"))


def test_an_adapter_changes_the_picture(pipeline: Any) -> None:
    plain = painted(pipeline, "a red car at night").astype(float)
    pipeline.load_lora_weights(path("pictures-sketch"), weight_name="pytorch_lora_weights.safetensors")
    try:
        sketched = painted(pipeline, "a red car at night").astype(float)
    finally:
        pipeline.unload_lora_weights()
    assert sketched.mean() > plain.mean() + 60  # white paper for a night sky
    assert np.array_equal(painted(pipeline, "a red car at night"), plain)


def test_the_encoder_tells_styles_and_contents_apart() -> None:
    pytest.importorskip("PIL")
    pytest.importorskip("torch")
    from xpert.zoo.making.pictures_measure import PictureEncoder

    encoder = PictureEncoder(Path(path("pictures-encoder")))
    scene = next(scene for scene in scenes("probes", 50, 0) if "red car" in scene.caption)
    rows = encoder.pictures([draw(scene, "neon"), draw(scene, "pastel")])
    words = encoder.captions([f"a {word} photo of {scene.caption}" for word in ("glowing", "pale")])
    assert rows.shape == words.shape == (2, 128)
    assert (rows @ words.T).argmax(1).tolist() == [0, 1]
