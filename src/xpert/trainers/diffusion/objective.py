"""What a denoiser learns: noise levels, noisy latents, targets, weights. Pure functions of tensors.

Latents ``x`` and noise ``e`` are ``(B, C, H, W)``. At a level, the noisy latents are ``a x + s e``; the target is ``e`` (noise
prediction), ``a e - s x`` (velocity) or ``e - x`` (flow matching).

Source: Ho et al., "DDPM", 2020 (arXiv 2006.11239); Salimans & Ho, 2022 (arXiv 2202.00512), velocity; Esser et al., 2024 (arXiv
2403.03206), flow matching with levels drawn from a logit-normal; Hang et al., 2023 (arXiv 2303.09556), weights by SNR.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import torch

from xpert.errors import IncompatibleModelError, SettingsError

__all__ = ["NoiseLevels", "Prediction", "level_weights", "levels_of", "noise_levels", "noisy_and_target"]

Prediction: TypeAlias = Literal["epsilon", "v_prediction", "flow"]
_PREDICTED = ("epsilon", "v_prediction")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NoiseLevels:
    """The levels of noise that a pipeline's denoiser knows.

    Attributes:
        prediction: What the denoiser predicts.
        signal: ``(T,)`` the factor ``a`` on the latents.
        noise: ``(T,)`` the factor ``s`` on the noise.
        timesteps: ``(T,)`` what the denoiser is told of a level.
    """

    prediction: Prediction
    signal: torch.Tensor
    noise: torch.Tensor
    timesteps: torch.Tensor

    def __len__(self) -> int:
        return len(self.timesteps)


def noise_levels(scheduler: Any) -> NoiseLevels:
    """The levels of a pipeline's scheduler, as it is configured; its state is not looked at.

    Raises:
        xpert.errors.IncompatibleModelError: A scheduler of another kind, or one that predicts something else.
    """
    import diffusers

    library: Any = diffusers
    name, config = type(scheduler).__name__, dict(scheduler.config)
    if name.startswith("FlowMatch"):
        if config.get("use_dynamic_shifting"):
            raise IncompatibleModelError(f"scheduler {name} shifts its levels by the image's size: not supported yet")
        fresh = library.FlowMatchEulerDiscreteScheduler.from_config(config)
        sigmas = fresh.timesteps.float() / fresh.config.num_train_timesteps
        return NoiseLevels(prediction="flow", signal=1 - sigmas, noise=sigmas, timesteps=fresh.timesteps.float())
    kind = config.get("prediction_type", "epsilon")
    if "beta_schedule" not in config or config.get("use_flow_sigmas"):
        raise IncompatibleModelError(
            f"scheduler {name}: expected one with a beta schedule (such as DDPM, DDIM, PNDM, Euler, DPM-Solver) or for "
            "flow matching (FlowMatchEulerDiscrete): it cannot be trained with"
        )
    if kind not in _PREDICTED:
        raise IncompatibleModelError(
            f"scheduler {name}: prediction_type {kind!r}: expected one of {', '.join(_PREDICTED)}"
        )
    known = inspect.signature(library.DDPMScheduler.__init__).parameters
    taken = {key: value for key, value in config.items() if key in known}
    products = library.DDPMScheduler(**taken).alphas_cumprod.float()
    steps = torch.arange(len(products))
    return NoiseLevels(prediction=kind, signal=products.sqrt(), noise=(1 - products).sqrt(), timesteps=steps)


def levels_of(uniform: torch.Tensor, levels: NoiseLevels) -> torch.Tensor:
    """Which level each number in (0, 1) stands for, ``(B,)`` int64: all alike often, flow matching logit-normal.

    Spread evenly over (0, 1), the numbers give levels in the proportions of training.
    """
    share = torch.special.expit(torch.special.ndtri(uniform.double())) if levels.prediction == "flow" else uniform
    return (share * len(levels)).long().clamp(0, len(levels) - 1)


def noisy_and_target(
    latents: torch.Tensor, noise: torch.Tensor, chosen: torch.Tensor, levels: NoiseLevels
) -> tuple[torch.Tensor, torch.Tensor]:
    """Noisy latents and what is to be predicted, both ``(B, C, H, W)``.

    Args:
        latents: ``(B, C, H, W)``.
        noise: The same shape.
        chosen: ``(B,)`` the level of each row.
        levels: The pipeline's.
    """
    signal = levels.signal[chosen].view(-1, 1, 1, 1).to(latents)
    amount = levels.noise[chosen].view(-1, 1, 1, 1).to(latents)
    noisy = signal * latents + amount * noise
    if levels.prediction == "epsilon":
        return noisy, noise
    if levels.prediction == "v_prediction":
        return noisy, signal * noise - amount * latents
    return noisy, noise - latents


def level_weights(chosen: torch.Tensor, levels: NoiseLevels, snr_gamma: float | None) -> torch.Tensor:
    """``(B,)`` weight of each row's squared error; without ``snr_gamma`` all 1.

    ``min(SNR, gamma) / SNR`` where noise is predicted, ``min(SNR, gamma) / (SNR + 1)`` for velocity: the weight that the error
    of the latents themselves then has is ``min(SNR, gamma)`` in both.

    Raises:
        xpert.errors.SettingsError: ``snr_gamma`` with flow matching, whose levels are weighted by how they are drawn.
    """
    if snr_gamma is None:
        return torch.ones(len(chosen))
    if levels.prediction == "flow":
        raise SettingsError("snr_gamma: the start is trained by flow matching, which has no such weights: leave it out")
    signal, noise = levels.signal[chosen] ** 2, levels.noise[chosen] ** 2
    snr = signal / noise
    if levels.prediction == "v_prediction":
        return snr.clamp(max=snr_gamma) / (snr + 1)
    return torch.where(snr > snr_gamma, snr_gamma / snr, torch.ones_like(snr))
