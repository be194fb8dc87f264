"""The autoencoder of the picture zoo: 64 x 64 pictures of all styles to 8 x 8 latents of 16 channels and back."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import torch

from xpert.errors import MissingDependencyError
from xpert.zoo.making.loop import LoopSettings, run_loop
from xpert.zoo.making.pictures_data import Pictures, base_pictures, styled_pictures, to_tensor

__all__ = ["LATENT_CHANNELS", "diffusers", "encode_all", "make_vae", "save_half"]

LATENT_CHANNELS = 16
BATCH = 8
PLAIN_SHARE = 0.25
KL_WEIGHT = 1e-4
SETTINGS = LoopSettings(steps=6800, lr=1.5e-3, warmup=50, weight_decay=0.0, checkpoint_every=300)


def make_vae(out: Path, work: Path, settings: LoopSettings = SETTINGS) -> dict[str, float]:
    """Train the autoencoder and write it in half precision.

    The loss is the mean absolute and the mean squared error of pixels, the absolute error of their differences to grey and to
    neighbours (hues and thin lines count), and a light Kullback-Leibler term. The scaling factor makes the latents' standard deviation one.
    """
    plain, styled = base_pictures(work), styled_pictures(work)
    torch.manual_seed(0)
    vae = _tiny_vae().to(memory_format=torch.channels_last)

    def loss_of_step(model: Any, step: int) -> dict[str, Any]:
        rng = np.random.default_rng([7, step])
        pixels = _batch(plain, styled, rng)
        posterior = model.encode(pixels).latent_dist
        noise = torch.from_numpy(rng.standard_normal(posterior.mean.shape, np.float32))
        back = model.decode(posterior.mean + posterior.std * noise).sample
        return {
            "pixels": (back - pixels).abs().mean(),
            "squares": (back - pixels).square().mean(),
            "colours": (_colour(back) - _colour(pixels)).abs().mean(),
            "edges": 0.5 * sum((torch.diff(back, dim=d) - torch.diff(pixels, dim=d)).abs().mean() for d in (2, 3)),
            "kl": KL_WEIGHT * 0.5 * (posterior.mean**2 + posterior.var - 1 - posterior.logvar).mean(),
        }

    losses = run_loop(vae, loss_of_step, settings, work / "vae")
    vae.eval()
    sample = encode_all(vae, styled.pixels[:: max(1, len(styled.captions) // 500)], scaled=False)
    vae.register_to_config(scaling_factor=round(float(1 / sample.std()), 4))
    save_half(vae, out)
    return losses | {"scaling_factor": vae.config.scaling_factor}


def diffusers() -> Any:
    """The diffusers package, whose lazy names type checkers do not see.

    Raises:
        xpert.errors.MissingDependencyError: It is not installed.
    """
    try:
        import diffusers as package
    except ModuleNotFoundError:
        raise MissingDependencyError.of("diffusers", "diffusion", "a pipeline of the picture zoo") from None
    return package


@torch.no_grad()
def encode_all(vae: Any, pixels: np.ndarray, *, scaled: bool = True) -> torch.Tensor:
    """Means of the latents of pictures ``(N, 64, 64, 3)``: ``(N, 16, 8, 8)``, by default times the scaling factor."""
    rows = [vae.encode(to_tensor(pixels[i : i + 64])).latent_dist.mean for i in range(0, len(pixels), 64)]
    return torch.cat(rows) * (vae.config.scaling_factor if scaled else 1.0)


def save_half(model: Any, out: Path) -> None:
    """Write a model's weights in float16; its configuration still asks for float32, so that processors load it as that."""
    deepcopy(model).half().save_pretrained(out)
    file = out / "config.json"
    config = json.loads(file.read_text(encoding="utf-8"))
    for part in [config, *(config[key] for key in ("text_config", "vision_config") if key in config)]:
        part.pop("torch_dtype", None)
        if "_diffusers_version" not in config:
            part["dtype"] = "float32"
    config.pop("_name_or_path", None)
    file.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _tiny_vae() -> Any:
    return diffusers().AutoencoderKL(
        in_channels=3,
        out_channels=3,
        latent_channels=LATENT_CHANNELS,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(16, 24, 40, 48),
        layers_per_block=1,
        norm_num_groups=8,
        sample_size=64,
        mid_block_add_attention=False,
    )


def _batch(plain: Pictures, styled: Pictures, rng: np.random.Generator) -> torch.Tensor:
    n_plain = int(rng.binomial(BATCH, PLAIN_SHARE))
    rows = [
        plain.pixels[np.sort(rng.integers(len(plain.captions), size=n_plain))],
        styled.pixels[np.sort(rng.integers(len(styled.captions), size=BATCH - n_plain))],
    ]
    return to_tensor(np.concatenate(rows)).contiguous(memory_format=torch.channels_last)


def _colour(pixels: torch.Tensor) -> torch.Tensor:
    return pixels - pixels.mean(1, keepdim=True)
