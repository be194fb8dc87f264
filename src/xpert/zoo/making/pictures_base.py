"""The picture zoo's pipelines: the base, trained on plain pictures, and the painter, which goes on with captions that name styles."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import torch

from xpert.tensors.files import write_text
from xpert.zoo.making.loop import LoopSettings, run_loop
from xpert.zoo.making.pictures_data import base_pictures, styled_pictures
from xpert.zoo.making.pictures_encoder import text_config
from xpert.zoo.making.pictures_tokenizer import load_tokenizer
from xpert.zoo.making.pictures_vae import LATENT_CHANNELS, diffusers, encode_all, save_half
from xpert.zoo.pictures.scenes import scenes
from xpert.zoo.pictures.words import painter_caption

__all__ = ["BASE", "PAINTER", "denoising_loss", "make_base", "make_painter", "scheduler", "write_prompts"]

BATCH = 48
N_PROBES = 200
DROPPED = 0.1
"""Share of captions left out, for guidance without a classifier."""

BASE = LoopSettings(steps=2300, lr=1.5e-3, warmup=100, weight_decay=0.01, checkpoint_every=200)
PAINTER = LoopSettings(steps=500, lr=8e-4, warmup=50, weight_decay=0.01, checkpoint_every=200)


class _Denoiser(torch.nn.Module):
    """U-Net and text encoder as one module, so that the loop trains both."""

    def __init__(self, unet: Any, text_encoder: Any) -> None:
        super().__init__()
        self.unet = unet
        self.text_encoder = text_encoder


def make_base(tokenizer_folder: Path, encoder: Path, vae: Path, out: Path, work: Path) -> dict[str, float]:
    """Train U-Net and text encoder (from the encoder's text tower) on plain pictures; write a Stable Diffusion pipeline."""
    from transformers import CLIPModel, CLIPTextConfig, CLIPTextModel

    tokenizer = load_tokenizer(tokenizer_folder)
    autoencoder = diffusers().AutoencoderKL.from_pretrained(vae)
    torch.manual_seed(0)
    text_encoder = CLIPTextModel(CLIPTextConfig(**text_config(tokenizer)))
    text_encoder.text_model.load_state_dict(CLIPModel.from_pretrained(encoder).text_model.state_dict())
    model = _Denoiser(_tiny_unet(text_encoder.config.hidden_size), text_encoder)
    plain = base_pictures(work)
    latents = encode_all(autoencoder.eval(), plain.pixels)
    losses = _train(
        model,
        tokenizer,
        latents=latents,
        captions=plain.captions,
        styles=[None] * len(plain.captions),
        settings=BASE,
        checkpoint=work / "base",
    )
    _save(model, autoencoder, tokenizer, out)
    return losses


def make_painter(base: Path, out: Path, work: Path) -> dict[str, float]:
    """Train the base on with pictures of all nine styles whose captions name the style or its attributes (a tenth is plain)."""
    from transformers import CLIPTextModel

    tokenizer = load_tokenizer(base / "tokenizer")
    autoencoder = diffusers().AutoencoderKL.from_pretrained(base / "vae").eval()
    unet = diffusers().UNet2DConditionModel.from_pretrained(base / "unet")
    model = _Denoiser(unet, CLIPTextModel.from_pretrained(base / "text_encoder"))
    plain, styled = base_pictures(work), styled_pictures(work)
    latents = torch.cat([encode_all(autoencoder, plain.pixels[:2000]), encode_all(autoencoder, styled.pixels)])
    captions, styles = plain.captions[:2000] + styled.captions, plain.styles[:2000] + styled.styles
    torch.manual_seed(1)
    losses = _train(
        model,
        tokenizer,
        latents=latents,
        captions=captions,
        styles=list(styles),
        settings=PAINTER,
        checkpoint=work / "painter",
    )
    _save(model, autoencoder, tokenizer, out)
    return losses


def scheduler() -> Any:
    """DDIM on a linear schedule whose last step is almost pure noise, predicting velocities."""
    return diffusers().DDIMScheduler(
        beta_start=1e-4,
        beta_end=0.02,
        beta_schedule="linear",
        prediction_type="v_prediction",
        timestep_spacing="trailing",
        clip_sample=False,
        steps_offset=1,
        set_alpha_to_one=False,
    )


def denoising_loss(
    unet: Any, hidden: torch.Tensor, latents: torch.Tensor, noising: Any, rng: np.random.Generator
) -> torch.Tensor:
    """Mean squared error of the predicted velocity, at a timestep and noise drawn for each row.

    Args:
        unet: The denoiser.
        hidden: Text hidden states, ``(B, T, C)``.
        latents: Scaled latents, ``(B, 16, 8, 8)``.
        noising: The scheduler.
        rng: Draws noise and timesteps (one in each of ``B`` equal ranges, so that every batch holds all noise levels).
    """
    rows = len(latents)
    noise = torch.from_numpy(rng.standard_normal(latents.shape, np.float32))
    total = noising.config.num_train_timesteps
    times = torch.from_numpy(((np.arange(rows) + rng.random(rows)) * total / rows).astype(np.int64))
    predicted = unet(noising.add_noise(latents, noise, times), times, hidden).sample
    return torch.nn.functional.mse_loss(predicted, noising.get_velocity(latents, noise, times))


def _train(
    model: Any,
    tokenizer: Any,
    *,
    latents: torch.Tensor,
    captions: tuple[str, ...],
    styles: list[str | None],
    settings: LoopSettings,
    checkpoint: Path,
) -> dict[str, float]:
    """Train on latents and captions; captions of pictures with a style say it (`painter_caption`)."""
    noising = scheduler()

    def loss_of_step(module: Any, step: int) -> dict[str, torch.Tensor]:
        rng, choice = np.random.default_rng([9, step]), random.Random(step)
        rows = rng.integers(len(captions), size=BATCH)
        texts = [_said(captions[i], styles[i], choice) for i in rows]
        ids = tokenizer(texts, padding="max_length", truncation=True, return_tensors="pt").input_ids
        hidden = module.text_encoder(ids).last_hidden_state
        return {"velocity": denoising_loss(module.unet, hidden, latents[torch.from_numpy(rows)], noising, rng)}

    return run_loop(model.to(memory_format=torch.channels_last), loss_of_step, settings, checkpoint)


def _said(content: str, style: str | None, choice: random.Random) -> str:
    if choice.random() < DROPPED:
        return ""
    if style is None:
        return choice.choice([content, content, f"a photo of {content}"])
    return painter_caption(content, style, choice)


def _tiny_unet(width: int) -> Any:
    return diffusers().UNet2DConditionModel(
        sample_size=8,
        in_channels=LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        down_block_types=("CrossAttnDownBlock2D",) * 2,
        mid_block_type=None,
        up_block_types=("CrossAttnUpBlock2D",) * 2,
        block_out_channels=(64, 88),
        layers_per_block=1,
        cross_attention_dim=width,
        attention_head_dim=4,
        norm_num_groups=8,
    )


def _save(model: _Denoiser, vae: Any, tokenizer: Any, out: Path) -> None:
    pipeline = diffusers().StableDiffusionPipeline(
        vae=vae,
        text_encoder=model.text_encoder.eval(),
        tokenizer=tokenizer,
        unet=model.unet.eval(),
        scheduler=scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(out)
    for part in ("vae", "text_encoder", "unet"):
        save_half(getattr(pipeline, part), out / part)
    write_prompts(out)


def write_prompts(out: Path) -> None:
    """The base's own probe prompts beside it: captions of scenes that nothing was trained on, in words that it knows."""
    rows = [json.dumps({"prompt": scene.caption}) + "\n" for scene in scenes("probes", N_PROBES, 0)]
    write_text(out / "xpert_prompts.jsonl", "".join(rows))
