"""Noise, targets and weights against diffusers' own schedulers."""

from __future__ import annotations

import pytest
import torch

from xpert.errors import IncompatibleModelError, SettingsError

diffusers = pytest.importorskip("diffusers")

from xpert.trainers.diffusion.objective import (  # noqa: E402
    level_weights,
    levels_of,
    noise_levels,
    noisy_and_target,
)

BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
X, E = torch.randn(2, 6, 4, 8, 8, generator=torch.Generator().manual_seed(0))
CHOSEN = torch.tensor([0, 17, 250, 500, 930, 999])


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_noise_and_targets_are_those_of_diffusers(prediction: str) -> None:
    scheduler = diffusers.DDPMScheduler(**BETAS, prediction_type=prediction)
    noisy, target = noisy_and_target(X, E, CHOSEN, noise_levels(scheduler))
    assert torch.allclose(noisy, scheduler.add_noise(X, E, CHOSEN), atol=1e-6)
    wanted = E if prediction == "epsilon" else scheduler.get_velocity(X, E, CHOSEN)
    assert torch.allclose(target, wanted, atol=1e-6)


@pytest.mark.parametrize(
    "kind", ["DDIMScheduler", "PNDMScheduler", "EulerDiscreteScheduler", "DPMSolverMultistepScheduler"]
)
def test_schedulers_of_one_noise_schedule_train_alike(kind: str) -> None:
    mine, theirs = (noise_levels(getattr(diffusers, name)(**BETAS)) for name in (kind, "DDPMScheduler"))
    assert torch.equal(mine.signal, theirs.signal)
    assert mine.prediction == "epsilon"


def test_flow_matching_goes_in_a_straight_line_from_noise_to_latents() -> None:
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0)
    levels = noise_levels(scheduler)
    noisy, target = noisy_and_target(X, E, CHOSEN, levels)
    wanted = scheduler.scale_noise(X, scheduler.timesteps[CHOSEN], E)
    assert torch.allclose(noisy, wanted, atol=1e-6)
    assert torch.equal(levels.timesteps, scheduler.timesteps)
    sigmas = levels.noise[CHOSEN].view(-1, 1, 1, 1)
    assert torch.allclose(noisy - sigmas * target, X, atol=1e-5)  # following the flow back gives the latents


def test_levels_are_drawn_evenly_or_logit_normally() -> None:
    uniform = (torch.arange(100_000, dtype=torch.float64) + 0.5) / 100_000
    even = levels_of(uniform, noise_levels(diffusers.DDPMScheduler(**BETAS)))
    assert torch.bincount(even, minlength=1000).tolist() == [100] * 1000
    flow = levels_of(uniform, noise_levels(diffusers.FlowMatchEulerDiscreteScheduler()))
    within = ((flow >= 269) & (flow < 731)).double().mean()  # a normal's within one spread: sigmoid(-1) to sigmoid(1)
    assert float(within) == pytest.approx(0.6827, abs=2e-3)


def test_weights_by_snr_are_those_of_the_example_script() -> None:
    from diffusers.training_utils import compute_snr

    for prediction, extra in (("epsilon", 0.0), ("v_prediction", 1.0)):
        scheduler = diffusers.DDPMScheduler(**BETAS, prediction_type=prediction)
        snr = compute_snr(scheduler, CHOSEN)
        wanted = snr.clamp(max=5.0) / (snr + extra)
        assert torch.allclose(level_weights(CHOSEN, noise_levels(scheduler), 5.0), wanted, rtol=1e-4)
    assert level_weights(CHOSEN, noise_levels(scheduler), None).tolist() == [1.0] * 6


def test_no_signal_at_all_has_a_weight_too() -> None:
    scheduler = diffusers.DDPMScheduler(**BETAS, rescale_betas_zero_snr=True)
    weights = level_weights(torch.tensor([999]), noise_levels(scheduler), 5.0)
    assert bool(weights.isfinite().all())


def test_schedulers_that_cannot_be_trained_with() -> None:
    with pytest.raises(SettingsError, match=r"snr_gamma: .* flow matching"):
        level_weights(CHOSEN, noise_levels(diffusers.FlowMatchEulerDiscreteScheduler()), 5.0)
    with pytest.raises(IncompatibleModelError, match="scheduler EDMEulerScheduler: expected one with a beta schedule"):
        noise_levels(diffusers.EDMEulerScheduler())
    with pytest.raises(IncompatibleModelError, match="prediction_type 'sample': expected one of epsilon, v_prediction"):
        noise_levels(diffusers.DDPMScheduler(**BETAS, prediction_type="sample"))
