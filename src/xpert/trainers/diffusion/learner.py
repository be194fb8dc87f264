"""A pipeline as the training loop sees it: noise is added to pictures' latents, and the denoiser learns to tell it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from xpert.trainers.diffusion.conditioning import Conditioner
from xpert.trainers.diffusion.latents import Latents
from xpert.trainers.diffusion.objective import NoiseLevels, level_weights, levels_of, noisy_and_target
from xpert.trainers.diffusion.pictures import Cut, Picture, draw_cut, row_generator
from xpert.trainers.diffusion.settings import DiffusionSettings
from xpert.trainers.optimizer import apply_gradients

__all__ = ["DiffusionLearner", "Row", "ema_update"]

EVAL_BATCH = 8


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Row:
    """One picture at one level of noise.

    Attributes:
        picture: What is shown.
        cut: Which square of it, and how.
        latents: ``(C, H, W)``.
        noise: ``(C, H, W)``.
        level: Position among the pipeline's levels.
    """

    picture: Picture
    cut: Cut
    latents: torch.Tensor
    noise: torch.Tensor
    level: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DiffusionLearner:
    """Learns pictures; matches `xpert.trainers.loop.Learner`.

    Attributes:
        accelerator: An `accelerate.Accelerator`.
        model: The denoiser as the accelerator gave it back.
        parameters: Name to parameter that trains.
        ema: Name to its moving average; empty: none is kept.
        optimizer: Over the parameters.
        pictures: Training pictures.
        validation: Validation pictures; none: no validation.
        latents: Encodes them.
        conditioner: Encodes their captions.
        levels: The pipeline's levels of noise.
        rate: The learning rate of a 0-based step.
        settings: The run's settings.
    """

    accelerator: Any
    model: Any
    parameters: Mapping[str, torch.nn.Parameter]
    ema: Mapping[str, torch.Tensor]
    optimizer: torch.optim.Optimizer
    pictures: Sequence[Picture]
    validation: Sequence[Picture]
    latents: Latents
    conditioner: Conditioner
    levels: NoiseLevels
    rate: Callable[[int], float]
    settings: DiffusionSettings

    def learn(self, step: int, chosen: Sequence[int]) -> float:
        """One optimizer step; the loss before it.

        Each process takes its share of the pictures, in batches of ``batch_size``; the gradient is that of the mean over all.
        """
        mine = self._share(self._rows(step, chosen))
        size = self.settings.batch_size
        batches = [mine[i : i + size] for i in range(0, len(mine), size)]
        total = 0.0
        for number, batch in enumerate(batches, start=1):
            with ExitStack() as stack:
                if number < len(batches):
                    stack.enter_context(self.accelerator.no_sync(self.model))
                loss = self._errors(batch).sum() / len(mine)
                total += float(loss.detach())
                self.accelerator.backward(loss)
        value = self._mean(total * len(mine), len(mine))
        if math.isfinite(value):
            apply_gradients(self.optimizer, self.parameters, rate=self.rate(step), clip=self.settings.clip)
            ema_update(self.ema, self.parameters, step + 1, self.settings.ema_decay or 0.0)
        else:
            self.optimizer.zero_grad(set_to_none=True)
        return value

    def loss(self, chosen: Sequence[int]) -> float:
        """The loss of these pictures as the first step would see them."""
        return self._evaluated(self._rows(0, chosen), self.settings.batch_size, weighted=True)

    def validate(self) -> float | None:
        """Mean squared error over the validation pictures, each at the same levels with the same noise every time.

        Levels are spread evenly over those of training, and noise depends on a picture's position alone: starts, settings and
        seeds are compared on the same rows. Weights by SNR are for training only.
        """
        if not self.validation:
            return None
        rows = [self._held_row(i, j) for i in range(len(self.validation)) for j in range(self.settings.eval_levels)]
        with self._averaged():
            return self._evaluated(rows, EVAL_BATCH, weighted=False)

    def _rows(self, step: int, chosen: Sequence[int]) -> list[Row]:
        """Pictures as this step sees them; a row depends on seed, step and its place in the step alone."""
        return [
            self._row(self.pictures[i], row_generator(self.settings.seed, step, place))
            for place, i in enumerate(chosen)
        ]

    def _row(self, picture: Picture, generator: torch.Generator) -> Row:
        settings, resolution = self.settings, self.latents.resolution
        crop = {"center_crop": settings.center_crop, "random_flip": settings.random_flip}
        cut = draw_cut(picture, resolution, generator, **crop)
        latents = self.latents.of(picture, cut, generator)
        noise = torch.randn(latents.shape, generator=generator)
        if settings.noise_offset:
            noise = noise + settings.noise_offset * torch.randn((len(latents), 1, 1), generator=generator)
        uniform = torch.rand(1, generator=generator, dtype=torch.float64)
        return Row(
            picture=picture, cut=cut, latents=latents, noise=noise, level=int(levels_of(uniform, self.levels)[0])
        )

    def _held_row(self, position: int, j: int) -> Row:
        picture, n = self.validation[position], self.settings.eval_levels
        generator = row_generator(0, "validation", position, j)
        cut = draw_cut(picture, self.latents.resolution, None, center_crop=True, random_flip=False)
        latents = self.latents.of(picture, cut, None)
        noise = torch.randn(latents.shape, generator=generator)
        uniform = (j + torch.rand(1, generator=generator, dtype=torch.float64)) / n
        return Row(
            picture=picture, cut=cut, latents=latents, noise=noise, level=int(levels_of(uniform, self.levels)[0])
        )

    def _errors(self, rows: Sequence[Row], *, weighted: bool = True) -> torch.Tensor:
        """``(B,)`` mean squared error of each row, weighted by its level."""
        device = self.conditioner.device
        latents = torch.stack([row.latents for row in rows]).to(device)
        noise = torch.stack([row.noise for row in rows]).to(device)
        chosen = torch.tensor([row.level for row in rows])
        noisy, target = noisy_and_target(latents, noise, chosen, self.levels)
        condition = self.conditioner.of([(row.picture, row.cut) for row in rows], self.latents.resolution)
        timesteps = self.levels.timesteps[chosen].to(device)
        sample = "hidden_states" if self.levels.prediction == "flow" else "sample"
        told: dict[str, Any] = {sample: noisy, "timestep": timesteps, **condition}
        predicted = self.model(**told, return_dict=False)[0].float()
        errors = (predicted - target.float()).square().mean((1, 2, 3))
        gamma = self.settings.snr_gamma if weighted else None
        return errors * level_weights(chosen, self.levels, gamma).to(device)

    def _evaluated(self, rows: Sequence[Row], size: int, *, weighted: bool) -> float:
        mine = self._share(rows)
        total = 0.0
        with torch.no_grad():
            for i in range(0, len(mine), size):
                total += float(self._errors(mine[i : i + size], weighted=weighted).sum())
        return self._mean(total, len(mine))

    def _share(self, rows: Sequence[Row]) -> Sequence[Row]:
        """This process' rows."""
        return rows[self.accelerator.process_index :: self.accelerator.num_processes]

    def _mean(self, total: float, count: int) -> float:
        """The mean over all processes' rows."""
        if self.accelerator.num_processes == 1:
            return total / count
        both = torch.tensor([total, float(count)], dtype=torch.float32, device=self.accelerator.device)
        summed = self.accelerator.reduce(both, reduction="sum").tolist()
        return summed[0] / summed[1]

    @contextmanager
    def _averaged(self) -> Iterator[None]:
        """The moving averages stand in for the parameters, if they are kept."""
        before = {name: self.parameters[name].detach().clone() for name in self.ema}
        try:
            _copy(self.ema, self.parameters)
            yield
        finally:
            _copy(before, self.parameters)


def ema_update(
    ema: Mapping[str, torch.Tensor], parameters: Mapping[str, torch.Tensor], step: int, decay: float
) -> None:
    """Move the averages towards the parameters after step ``step`` (1-based), with the decay of diffusers' ``EMAModel``.

    The decay is ``min(decay, step / (9 + step))``, and 0 at the first step: the start itself soon counts for nothing.
    """
    weight = 0.0 if step <= 1 else min(decay, step / (9 + step))
    with torch.no_grad():
        for name, average in ema.items():
            average.lerp_(parameters[name].detach(), 1 - weight)


def _copy(values: Mapping[str, torch.Tensor], parameters: Mapping[str, torch.Tensor]) -> None:
    with torch.no_grad():
        for name, value in values.items():
            parameters[name].copy_(value)
