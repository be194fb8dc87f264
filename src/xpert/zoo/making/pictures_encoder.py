"""The picture zoo's CLIP: a small image-text encoder, trained contrastively on pictures of all styles and their captions."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from typing import Any

import numpy as np
import torch

from xpert.tensors.files import write_text
from xpert.zoo.making.loop import LoopSettings, run_loop
from xpert.zoo.making.pictures_data import Pictures, base_pictures, styled_pictures, to_tensor
from xpert.zoo.making.pictures_tokenizer import MAX_LENGTH, load_tokenizer
from xpert.zoo.making.pictures_vae import save_half
from xpert.zoo.pictures.words import encoder_caption, vocabulary

__all__ = ["TEXT_WIDTH", "make_encoder", "text_config", "write_wording"]

TEXT_WIDTH = 96
BATCH = 64
PLAIN_SHARE = 0.25
SETTINGS = LoopSettings(steps=850, lr=1.2e-3, warmup=60, weight_decay=0.05, checkpoint_every=100)


def make_encoder(tokenizer_folder: Path, out: Path, work: Path, settings: LoopSettings = SETTINGS) -> dict[str, float]:
    """Train the encoder and write it with its processor, as `transformers.CLIPModel` and `CLIPProcessor` load it.

    Captions hold the content and mostly an attribute of the style; three style names never occur in them.
    """
    from transformers import CLIPImageProcessor, CLIPModel, CLIPProcessor

    plain, styled = base_pictures(work), styled_pictures(work)
    tokenizer = load_tokenizer(tokenizer_folder)
    torch.manual_seed(0)
    clip = CLIPModel(_config(tokenizer))

    def loss_of_step(model: Any, step: int) -> dict[str, torch.Tensor]:
        pixels, captions = _batch(plain, styled, step)
        tokens = tokenizer(captions, padding="max_length", max_length=MAX_LENGTH, truncation=True, return_tensors="pt")
        return {"contrast": model(pixel_values=pixels, **tokens, return_loss=True).loss}

    losses = run_loop(clip, loss_of_step, settings, work / "encoder")
    save_half(clip.eval(), out)
    side = {"height": 64, "width": 64}
    images = CLIPImageProcessor(
        size={"shortest_edge": 64}, crop_size=side, image_mean=[0.5] * 3, image_std=[0.5] * 3, do_convert_rgb=True
    )
    CLIPProcessor(image_processor=images, tokenizer=tokenizer).save_pretrained(out)
    write_wording(out)
    return losses


def write_wording(out: Path) -> None:
    """The encoder's own words beside it: it is asked for words that it knows."""
    wording = {"name": "picture-style", "words": list(vocabulary()), "carriers": ["a {word} picture"]}
    write_text(out / "xpert_instruction.json", json.dumps(wording, indent=1) + "\n")


def text_config(tokenizer: Any) -> dict[str, Any]:
    """The configuration of the text tower, which the pipelines' text encoder shares."""
    return {
        "vocab_size": len(tokenizer),
        "hidden_size": TEXT_WIDTH,
        "intermediate_size": 4 * TEXT_WIDTH,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": MAX_LENGTH,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        "projection_dim": 128,
    }


def _config(tokenizer: Any) -> Any:
    from transformers import CLIPConfig

    vision = {
        "hidden_size": 96,
        "intermediate_size": 384,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "image_size": 64,
        "patch_size": 8,
        "projection_dim": 128,
    }
    return CLIPConfig(
        text_config=text_config(tokenizer),
        vision_config=vision,
        projection_dim=128,
        logit_scale_init_value=math.log(10),
    )


def _batch(plain: Pictures, styled: Pictures, step: int) -> tuple[torch.Tensor, list[str]]:
    rng, choice = np.random.default_rng([8, step]), random.Random(step)
    n_plain = round(BATCH * PLAIN_SHARE)
    pixels, captions = [], []
    for pictures, n in ((plain, n_plain), (styled, BATCH - n_plain)):
        rows = np.sort(rng.choice(len(pictures.captions), size=n, replace=False))
        pixels.append(pictures.pixels[rows])
        captions += [encoder_caption(pictures.captions[i], pictures.styles[i], choice) for i in rows]
    return to_tensor(np.concatenate(pixels)), captions
