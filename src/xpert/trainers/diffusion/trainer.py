"""DiffusionTrainer: LoRA or full fine-tuning of a text-to-image pipeline's denoiser."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from xpert.energy import profile
from xpert.errors import SettingsError
from xpert.protocols import TrainingCallback
from xpert.references import kind_of, resolve
from xpert.tensors.lora_pipeline import is_pipeline_lora
from xpert.trainers.checkpoint import load_checkpoint, remove_leftovers, save_checkpoint
from xpert.trainers.diffusion.captions import captions_of
from xpert.trainers.diffusion.conditioning import Conditioner
from xpert.trainers.diffusion.hardware import accelerated
from xpert.trainers.diffusion.latents import Latents, check_resolution, own_resolution
from xpert.trainers.diffusion.learner import DiffusionLearner
from xpert.trainers.diffusion.loading import LoadedPipeline, load_pipeline_start
from xpert.trainers.diffusion.objective import level_weights, noise_levels
from xpert.trainers.diffusion.output import write_pipeline
from xpert.trainers.diffusion.pictures import Picture, pictures_digest, pictures_of
from xpert.trainers.diffusion.settings import DEFAULTS, RECIPES, DiffusionSettings, learning_rates
from xpert.trainers.diffusion.sources import load_pictures
from xpert.trainers.hardware import counters_of
from xpert.trainers.loop import Run, carry_out
from xpert.trainers.optimizer import make_optimizer
from xpert.trainers.order import share_out
from xpert.trainers.output import check_target, finished, model_card, report_of, write_result
from xpert.trainers.progress import CHECKPOINT, Progress, fingerprint
from xpert.trainers.settings import Method, Precision, Recipe
from xpert.types import Example, TrainingReport

__all__ = ["DiffusionTrainer"]

_UNIT = "mean squared error"


@dataclass(frozen=True, slots=True, kw_only=True)
class DiffusionTrainer:
    """Fine-tunes a text-to-image pipeline (Stable Diffusion 1.5, 2.1, XL, 3.5) on personal images, on this machine.

    The object is the configuration; `fit` does the work, and two runs with one configuration agree bit for bit. Dropout is
    off; VAE and text encoders do not train. The loss is the mean squared error of what the denoiser predicts (noise,
    velocity or flow, as the pipeline's scheduler says). The validation loss sees the same pictures, levels and noise every
    time, so that starts can be compared by it. ``accelerate launch`` runs it on several devices.

    Source: the authors' ``personalized_ft.py``, which follows ``train_text_to_image.py`` of diffusers; Hu et al., "LoRA", 2021
    (arXiv 2106.09685).

    Attributes:
        max_steps: Optimizer steps at most (200).
        target_loss: Stop as soon as the validation loss is at most this.
        recipe: ``paper-server`` (the authors' command line) or ``paper-device``, where the fields below are None.
        method: ``lora`` (default) or ``full``: all of the denoiser.
        lr: Peak learning rate (1e-4).
        schedule: One of diffusers' (``constant``): see `xpert.trainers.diffusion.settings.SCHEDULES`.
        warmup: Steps of linear warm-up (0).
        weight_decay: AdamW's, on matrices (0.01).
        batch_size: Images a forward pass and process (4).
        accumulation: Forward passes a step (1).
        rank: ``r`` of a new adapter (16).
        alpha: ``lora_alpha`` of a new adapter (16).
        target_modules: Modules of a new adapter; None: the attention's projections.
        resolution: Side of the squares in pixels; None: what the pipeline paints.
        center_crop: See the centre of images that are not square; else a place drawn anew each time.
        random_flip: Mirror images half of the times.
        gradient_checkpointing: Compute activations again instead of keeping them: less memory, more time.
        precision: ``float32``, or ``bf16``: forward passes under bfloat16 autocast, parameters in float32.
        ema_decay: Keep a moving average of what trains, validate with it and write it; None: do not.
        snr_gamma: Weigh rows by signal-to-noise ratio (5.0 is usual); None: do not.
        noise_offset: How much noise that is common to a channel is added (0).
        caption_column: Column of captions where images come with a table of them.
        caption_template: Caption of images that have none, such as ``a photo``.
        captioner: An image-to-text model of Transformers that captions images that have none.
        clip: Largest norm of the gradient.
        eval_fraction: Share of the examples to validate with where no validation examples are given; 0: no validation.
        eval_every: Steps between evaluations; None: a twentieth of ``max_steps``.
        eval_levels: Levels of noise at which each validation image is seen.
        patience: ``(n, share)``: stop when the validation loss has not improved by this share in ``n`` evaluations.
        base: Base of a start adapter, where it names none that is here.
        seed: Of split, order, crops, noise and a new adapter's initial values.
        device: ``cpu``, ``cuda`` ...; None: what accelerate chooses.
        checkpoint_every: Steps between checkpoints (in ``out/.checkpoint``, gone when the run is done).
        phone: A phone of `xpert.energy.PROFILES`, for which the report estimates the energy as well.
        callbacks: Who is told what happens (`xpert.TrainingCallback`).
    """

    max_steps: int | None = None
    target_loss: float | None = None
    recipe: Recipe | None = None
    method: Method | None = None
    lr: float | None = None
    schedule: str | None = None
    warmup: int | None = None
    weight_decay: float | None = None
    batch_size: int | None = None
    accumulation: int | None = None
    rank: int | None = None
    alpha: float | None = None
    target_modules: str | Sequence[str] | None = None
    resolution: int | None = None
    center_crop: bool | None = None
    random_flip: bool | None = None
    gradient_checkpointing: bool | None = None
    precision: Precision | None = None
    ema_decay: float | None = None
    snr_gamma: float | None = None
    noise_offset: float = 0.0
    caption_column: str | None = None
    caption_template: str | None = None
    captioner: str | Path | None = None
    clip: float = 1.0
    eval_fraction: float = 0.1
    eval_every: int | None = None
    eval_levels: int = 4
    patience: tuple[int, float] | None = None
    base: str | Path | None = None
    seed: int = 0
    device: str | None = None
    checkpoint_every: int = 100
    phone: str | None = None
    callbacks: Sequence[TrainingCallback] = ()

    def __post_init__(self) -> None:
        """Check the settings.

        Raises:
            xpert.errors.SettingsError: One is out of range, or they contradict each other.
        """
        if self.recipe is not None and self.recipe not in RECIPES:
            raise SettingsError(f"recipe: expected one of {', '.join(RECIPES)}, got {self.recipe!r}")
        if self.checkpoint_every < 1:
            raise SettingsError(f"checkpoint_every: expected at least 1, got {self.checkpoint_every!r}")
        if self.phone is not None:
            profile(self.phone)
        if self.caption_template is not None and self.captioner is not None:
            raise SettingsError("caption_template and captioner: give one of them")
        if self.settings.method == "full" and (self.rank, self.alpha, self.target_modules) != (None, None, None):
            raise SettingsError("rank, alpha and target_modules are for method='lora', not for method='full'")

    @staticmethod
    def accepts(start: str | Path) -> bool:
        """Whether a start is a pipeline, or a LoRA adapter of one; nothing is loaded."""
        kind = kind_of(start)
        return kind == "pipeline" or (kind == "adapter" and is_pipeline_lora(resolve(start)))

    @property
    def settings(self) -> DiffusionSettings:
        """Every choice, filled in from the recipe and the defaults."""
        chosen = {"resolution": None, **DEFAULTS, **RECIPES.get(self.recipe or "", {})}
        chosen |= {name: getattr(self, name) for name in chosen if getattr(self, name) is not None}
        targets = self.target_modules
        names = set(DiffusionSettings.__dataclass_fields__) - set(chosen) - {"target_modules"}
        return DiffusionSettings(
            **chosen,
            **{name: getattr(self, name) for name in names},
            target_modules=targets if targets is None or isinstance(targets, str) else tuple(targets),
        )

    def load_examples(self, source: str | Path) -> list[Example]:
        """Images with captions from a file, a folder or a data set: `xpert.trainers.diffusion.sources.load_pictures`."""
        return load_pictures(source, self.caption_column)

    def fit(
        self,
        start: str | Path,
        examples: Sequence[Example],
        *,
        out: str | Path,
        validation: Sequence[Example] | None = None,
        resume: bool = False,
    ) -> TrainingReport:
        """Fine-tune ``start`` on the images and write the result to ``out``.

        Args:
            start: A pipeline (a new LoRA adapter of its denoiser is trained, or all of it), or a LoRA adapter (which goes on).
            examples: Images (responses: paths or data URIs) with their captions (prompts).
            out: Folder of the result: ``pytorch_lora_weights.safetensors`` or a pipeline, ``report.json`` and a card. It
                appears when the run is done; an earlier result there stays until then.
            validation: What to validate with; None: a seeded share of ``examples``.
            resume: Continue from the checkpoint in ``out`` if there is one; a run that is done is not repeated.

        Raises:
            xpert.errors.RecordedModelError: ``start`` has no weights.
            xpert.errors.IncompatibleModelError: ``start`` is no pipeline of these families, has another kind of scheduler, or is
                an adapter that does not fit its base.
            xpert.errors.WeightsError: The start's weights cannot be read, or are not finite.
            xpert.errors.DataError: No images, one that cannot be read, or one without a caption.
            xpert.errors.SettingsError: ``out`` is a folder of something else; settings that the start cannot have.
            xpert.errors.TrainingError: The loss is not finite, or the checkpoint is another run's.
        """
        settings, folder = self.settings, check_target(out)
        train, held = share_out(examples, validation, settings)
        texts = {"template": self.caption_template, "captioner": self.captioner, "device": self.device}
        loaded = load_pipeline_start(start, settings, base=self.base)
        captions = captions_of([*train, *held], **texts) if train else []
        pictures = pictures_of(train, captions[: len(train)])
        kept = pictures_of(held, captions[len(train) :]) if held else []
        with accelerated(self.device, settings.precision) as (accelerator, device):
            learner = self._learner(loaded, pictures, kept, accelerator, device)
            job, identity = self._job(learner, loaded, folder)
            if accelerator.is_main_process:
                remove_leftovers(folder / CHECKPOINT)
            if resume and (done := finished(folder, identity)) is not None:
                return done
            progress, stopped = carry_out(job, resume=resume)
            trainable = sum(parameter.numel() for parameter in loaded.parameters().values())
            report = report_of(progress, stopped, trainable, folder, self._details(learner), phone=self.phone)
            if accelerator.is_main_process:
                final = learner.ema or learner.parameters
                card = model_card(report, method=loaded.method, base=loaded.base, library="diffusers", unit=_UNIT)
                write_result(lambda work: write_pipeline(loaded, final, work), report, identity, folder, card)
            accelerator.wait_for_everyone()
        return report

    def _learner(
        self,
        loaded: LoadedPipeline,
        pictures: Sequence[Picture],
        held: Sequence[Picture],
        accelerator: Any,
        device: torch.device,
    ) -> DiffusionLearner:
        """Everything on the device, captions encoded."""
        settings, pipeline = self.settings, loaded.pipeline
        levels = noise_levels(pipeline.scheduler)
        level_weights(torch.zeros(1, dtype=torch.long), levels, settings.snr_gamma)
        resolution = settings.resolution or own_resolution(pipeline, loaded.model)
        pipeline.to(device)
        conditioner = Conditioner(pipeline=pipeline, family=loaded.family, device=device)
        conditioner.prepare([picture.caption for picture in (*pictures, *held)])
        parameters = loaded.parameters()
        _check_share(len(pictures), settings, accelerator)
        square = all(picture.width == picture.height for picture in pictures)
        return DiffusionLearner(
            accelerator=accelerator,
            model=accelerator.prepare_model(loaded.model, device_placement=False),
            parameters=parameters,
            ema={} if settings.ema_decay is None else {n: p.detach().clone() for n, p in parameters.items()},
            optimizer=make_optimizer(parameters, lr=settings.lr, weight_decay=settings.weight_decay),
            pictures=pictures,
            validation=held,
            latents=Latents(
                vae=pipeline.vae,
                resolution=check_resolution(resolution, pipeline, loaded.model),
                kept=settings.center_crop or square,
            ),
            conditioner=conditioner,
            levels=levels,
            rate=learning_rates(settings),
            settings=settings,
        )

    def _job(self, learner: DiffusionLearner, loaded: LoadedPipeline, folder: Path) -> tuple[Run, str]:
        """The run and its fingerprint; checkpoints are written by the first process alone."""
        settings, accelerator = learner.settings, learner.accelerator
        identity = fingerprint(
            {
                **asdict(settings),
                "start": loaded.digest,
                "data": pictures_digest(learner.pictures, learner.validation),
                "processes": accelerator.num_processes,
            }
        )
        place, state = folder / CHECKPOINT, {**learner.parameters, **{f"ema.{n}": t for n, t in learner.ema.items()}}

        def save(progress: Progress) -> None:
            if accelerator.is_main_process:
                save_checkpoint(place, identity, progress, state, learner.optimizer)
            accelerator.wait_for_everyone()

        job = Run(
            name=folder.resolve().name,
            learner=learner,
            n_examples=len(learner.pictures),
            per_step=settings.batch_size * settings.accumulation * accelerator.num_processes,
            settings=settings,
            save=save,
            load=lambda: load_checkpoint(place, identity, state, learner.optimizer),
            checkpoint_every=self.checkpoint_every,
            callbacks=self.callbacks,
            counters=counters_of(learner.conditioner.device),
        )
        return job, identity

    def _details(self, learner: DiffusionLearner) -> dict[str, Any]:
        captions = [picture.caption for picture in (*learner.pictures, *learner.validation)]
        return {
            "settings": json.loads(json.dumps(asdict(learner.settings))),
            "device": str(learner.conditioner.device),
            "processes": learner.accelerator.num_processes,
            "resolution": learner.latents.resolution,
            "prediction": learner.levels.prediction,
            "examples": len(learner.pictures),
            "validation_examples": len(learner.validation),
            "cut_captions": learner.conditioner.cut_captions(captions),
        }


def _check_share(n: int, settings: DiffusionSettings, accelerator: Any) -> None:
    """Every process must have as many images a step as the others, or gradients would not be the mean over all."""
    processes = accelerator.num_processes
    if processes > 1 and n < settings.batch_size * settings.accumulation * processes:
        raise SettingsError(
            f"batch_size: {processes} processes take {settings.batch_size * settings.accumulation} images each a step, there "
            f"are {n}: lower batch_size or accumulation, or use fewer processes"
        )
