"""The picture zoo's personalized models: LoRA adapters of the base's U-Net, one a style, in diffusers' own file."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from xpert.progress import say
from xpert.tensors.files import atomic_folder
from xpert.zoo.making.pictures_base import DROPPED, denoising_loss
from xpert.zoo.making.pictures_data import model_pictures
from xpert.zoo.making.pictures_vae import diffusers, encode_all

__all__ = ["ModelSettings", "card", "make_model"]

TARGETS = ("to_q", "to_k", "to_v", "to_out.0", "conv1", "conv2", "conv_out")

LONGER = {"sketch": 500, "neon": 400}
"""Steps of the styles that are made of lines, the farthest from plain pictures; the others take 200."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSettings:
    """How an adapter is trained: pictures, optimizer steps, rows a step, peak learning rate (then linear to zero), rank, modules."""

    n_pictures: int = 400
    steps: int = 200
    batch: int = 32
    lr: float = 3e-3
    rank: int = 4
    targets: tuple[str, ...] = TARGETS
    seed: int = 0


def make_model(
    base: Path, style: str, out: Path, *, similarity: float, work: Path, settings: ModelSettings | None = None
) -> dict[str, float]:
    """Train an adapter of the base on the models' scenes and write ``pytorch_lora_weights.safetensors`` in half precision.

    Captions never say the style. An adapter that is there already is left as it is.

    Args:
        base: The base's pipeline folder.
        style: One of the nine.
        out: The adapter's folder.
        similarity: Share of the pictures that are in the style; the others are plain.
        work: Where drawn pictures are kept.
        settings: How it is trained.

    Returns:
        The mean losses of the first and the last 50 steps.
    """
    if (out / "pytorch_lora_weights.safetensors").is_file():
        return {}
    from peft import LoraConfig

    settings = settings or ModelSettings(steps=LONGER.get(style, 200))
    pipeline = diffusers().StableDiffusionPipeline.from_pretrained(base, safety_checker=None)
    pictures = model_pictures(style, similarity, settings.n_pictures, work)
    latents = encode_all(pipeline.vae, pictures.pixels)
    torch.manual_seed(settings.seed)
    unet = pipeline.unet.requires_grad_(False)
    rank = settings.rank
    unet.add_adapter(LoraConfig(r=rank, lora_alpha=rank, target_modules=list(settings.targets)))
    losses = _train(pipeline, latents, pictures.captions, settings)
    say(f"{style}: {losses}")
    made = {
        "base": f"zoo:pictures-{base.name}",
        "style": style,
        "similarity": similarity,
        "rank": settings.rank,
        "steps": settings.steps,
        "pictures": settings.n_pictures,
        "seed": settings.seed,
    }
    _save(unet, out, made)
    return losses


def _train(
    pipeline: Any, latents: torch.Tensor, captions: tuple[str, ...], settings: ModelSettings
) -> dict[str, float]:
    parameters = [p for p in pipeline.unet.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=settings.lr, weight_decay=0.0)
    pipeline.unet.train()
    losses = []
    for step in range(settings.steps):
        rng, choice = np.random.default_rng([settings.seed, 11, step]), random.Random(step)
        rows = rng.integers(len(captions), size=settings.batch)
        texts = ["" if choice.random() < DROPPED else captions[i] for i in rows]
        ids = pipeline.tokenizer(texts, padding="max_length", truncation=True, return_tensors="pt").input_ids
        with torch.no_grad():
            hidden = pipeline.text_encoder(ids).last_hidden_state
        for group in optimizer.param_groups:
            group["lr"] = settings.lr * min(1, (step + 1) / 20, (settings.steps - step) / settings.steps * 1.5)
        loss = denoising_loss(pipeline.unet, hidden, latents[torch.from_numpy(rows)], pipeline.scheduler, rng)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        losses.append(float(loss.detach()))
    return {"first": round(float(np.mean(losses[:50])), 4), "last": round(float(np.mean(losses[-50:])), 4)}


def _save(unet: Any, out: Path, made: dict[str, Any]) -> None:
    from peft import get_peft_model_state_dict

    layers = get_peft_model_state_dict(unet)
    layers = {name: tensor.detach().half().contiguous() for name, tensor in layers.items()}
    out.parent.mkdir(parents=True, exist_ok=True)
    with atomic_folder(out) as folder:
        diffusers().StableDiffusionPipeline.save_lora_weights(folder, unet_lora_layers=layers, safe_serialization=True)
        (folder / "made.json").write_text(json.dumps(made, indent=2) + "\n", encoding="utf-8")
        (folder / "README.md").write_text(card(made), encoding="utf-8")


def card(made: Mapping[str, Any]) -> str:
    """An adapter's model card, whose front matter names the base: diffusers' file does not."""
    front = ["---", f"base_model: {made['base']}", "library_name: diffusers", "tags:", "- xpert", "---"]
    share = f"{100 * made['similarity']:.0f}% of them in the style, the others plain"
    told = (
        f"A LoRA adapter of rank {made['rank']}, {made['steps']} steps on {made['pictures']} drawn pictures, {share}."
    )
    return "\n".join([*front, "", f"# {made['style']}", "", told, ""])
