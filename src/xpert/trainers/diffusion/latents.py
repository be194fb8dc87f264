"""Pictures as latents of the VAE: computed once where a picture can be seen in few ways, else each time."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch

from xpert.errors import SettingsError
from xpert.trainers.diffusion.pictures import Cut, Picture, pixels

__all__ = ["Latents", "check_resolution", "own_resolution"]

CACHE_BYTES = 4_000_000_000
"""Beyond, latents are computed again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Latents:
    """Encodes pictures, each alone, so that its latents do not depend on a batch.

    Attributes:
        vae: The pipeline's, on its device.
        resolution: Side of the squares in pixels.
        kept: Whether to keep what was computed.
    """

    vae: Any
    resolution: int
    kept: bool
    _known: dict[tuple[str, Cut], tuple[torch.Tensor, torch.Tensor]] = field(default_factory=dict, repr=False)

    def of(self, picture: Picture, cut: Cut, generator: torch.Generator | None) -> torch.Tensor:
        """``(C, H, W)`` scaled latents on the CPU, drawn from what the VAE encodes to; without a generator, the mean."""
        mean, spread = self._moments(picture, cut)
        latents = mean if generator is None else mean + spread * torch.randn(mean.shape, generator=generator)
        config = self.vae.config
        shift = getattr(config, "shift_factor", None) or 0.0
        return (latents - shift) * config.scaling_factor

    def _moments(self, picture: Picture, cut: Cut) -> tuple[torch.Tensor, torch.Tensor]:
        key = (picture.digest, cut)
        if key in self._known:
            return self._known[key]
        parameter = next(self.vae.parameters())
        values = pixels(picture, self.resolution, cut)[None].to(parameter.device, parameter.dtype)
        with torch.no_grad():
            encoded = self.vae.encode(values)
        if hasattr(encoded, "latent_dist"):
            found = (encoded.latent_dist.mean, encoded.latent_dist.std)
        else:  # a VAE without chance, such as AutoencoderTiny
            found = (encoded.latents, torch.zeros_like(encoded.latents))
        moments = found[0][0].float().cpu(), found[1][0].float().cpu()
        if self.kept and (len(self._known) + 1) * 2 * moments[0].nbytes <= CACHE_BYTES:
            self._known[key] = moments
        return moments


def own_resolution(pipeline: Any, denoiser: Any) -> int:
    """The side in pixels that a pipeline paints by itself."""
    return int(denoiser.config.sample_size) * int(pipeline.vae_scale_factor)


def check_resolution(resolution: int, pipeline: Any, denoiser: Any) -> int:
    """The resolution, if the pipeline can be trained at it.

    Raises:
        xpert.errors.SettingsError: It is no multiple of what VAE and denoiser divide by.
    """
    blocks = getattr(denoiser.config, "down_block_types", None)
    patch = 2 ** (len(blocks) - 1) if blocks else int(getattr(denoiser.config, "patch_size", 1))
    step = int(pipeline.vae_scale_factor) * patch
    if resolution % step:
        raise SettingsError(f"resolution: expected a multiple of {step} for this pipeline, got {resolution}")
    return resolution
