"""``xpert train``: a start model and personal data in, the user's own model out."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xpert.cli import train_options as options
from xpert.cli.options import DeviceOption
from xpert.cli.output import Outcome
from xpert.errors import SettingsError

if TYPE_CHECKING:
    from xpert.types import Example, TrainingReport

__all__ = ["modules", "train"]


def train(
    *,
    start: options.Start,
    data: options.Data,
    out: options.Out,
    backend: options.Backend = None,
    base: options.Base = None,
    method: options.MethodName = None,
    recipe: options.RecipeName = None,
    max_steps: options.MaxSteps = None,
    target_loss: options.TargetLoss = None,
    resume: options.Resume = False,
    lr: options.Lr = None,
    schedule: options.ScheduleName = None,
    warmup: options.Warmup = None,
    weight_decay: options.WeightDecay = None,
    batch_size: options.BatchSize = None,
    accumulation: options.Accumulation = None,
    clip: options.Clip = None,
    gradient_checkpointing: options.GradientCheckpointing = None,
    max_length: options.MaxLength = None,
    long: options.Long = None,
    bucketing: options.Bucketing = None,
    rank: options.Rank = None,
    alpha: options.Alpha = None,
    target_modules: options.TargetModules = None,
    resolution: options.Resolution = None,
    center_crop: options.CenterCrop = None,
    random_flip: options.RandomFlip = None,
    caption_column: options.CaptionColumn = None,
    caption_template: options.CaptionTemplate = None,
    captioner: options.Captioner = None,
    ema_decay: options.EmaDecay = None,
    snr_gamma: options.SnrGamma = None,
    noise_offset: options.NoiseOffset = None,
    eval_fraction: options.EvalFraction = None,
    eval_every: options.EvalEvery = None,
    checkpoint_every: options.CheckpointEvery = None,
    precision: options.PrecisionName = None,
    micro_batch: options.MicroBatch = None,
    threads: options.Threads = None,
    phone: options.Phone = None,
    seed: options.Seed = 0,
    device: DeviceOption = None,
) -> Outcome:
    """Fine-tune a start model on the user's own data, on this machine; a recipe's settings replace the defaults told here."""
    given = {**locals()}
    return _train(start, data, out, backend=backend, resume=resume, given=given)


def _train(start: str, data: str, out: Path, *, backend: str | None, resume: bool, given: Mapping[str, Any]) -> Outcome:
    from xpert.registry import TRAINERS
    from xpert.trainers.choose import trainer_for

    name = backend or trainer_for(start)
    factory = TRAINERS.get(name)
    used = {key: value for key, value in given.items() if key not in ("start", "data", "out", "backend", "resume")}
    trainer = factory(**_known(factory, name, {key: value for key, value in used.items() if value is not None}))
    report = trainer.fit(start, _examples(trainer, data), out=out, resume=resume)
    if os.environ.get("RANK", "0") != "0":  # of several processes that accelerate has launched, one tells
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return _outcome(report)


def _known(factory: Callable[..., Any], name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The settings, if the trainer knows all of them."""
    parameters = inspect.signature(factory).parameters
    anything = any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters.values())
    settings = {**given}
    if "target_modules" in settings:
        settings["target_modules"] = modules(settings["target_modules"])
    unknown = [] if anything else [key for key in settings if key not in parameters]
    if unknown:
        raise SettingsError(
            f"{unknown[0]}: the trainer {name!r}, which trains this start, has no such option: leave it out"
        )
    return settings


def _examples(trainer: Any, data: str) -> list[Example]:
    """The data as the trainer reads it, if it has a way of its own (``load_examples``), else as every command does."""
    from xpert.examples import load_examples

    own = getattr(trainer, "load_examples", None)
    return load_examples(data) if own is None else own(data)


def modules(names: str | None) -> str | list[str] | None:
    """Module names as a trainer takes them: a list, ``all-linear``, or None."""
    if names is None or names == "all-linear":
        return names
    return [name.strip() for name in names.split(",") if name.strip()]


def _outcome(report: TrainingReport) -> Outcome:
    document = {
        "steps": report.steps,
        "seconds": report.seconds,
        "samples": report.samples,
        "first_loss": report.first_loss,
        "last_loss": report.last_loss,
        "eval_losses": [list(point) for point in report.eval_losses],
        "trainable_parameters": report.trainable_parameters,
        "stopped_by": report.stopped_by,
        "energy_j": report.energy_j,
        "energy": [asdict(one) for one in report.energy],
        "cut_examples": report.details.get("cut_examples", 0),
        "split_examples": report.details.get("split_examples", 0),
        "out": str(report.out),
    }
    if report.eval_losses:
        losses = f"validation loss {report.eval_losses[0][1]:.3f} -> {report.eval_losses[-1][1]:.3f}"
    else:  # of single batches, so it goes up and down
        losses = f"training loss of the first batch {report.first_loss:.3f}, of the last {report.last_loss:.3f}"
    return Outcome(
        document=document,
        view=lambda: [
            f"{report.steps} steps in {report.seconds:.1f} s (stopped by {report.stopped_by}): {losses}, "
            f"{report.trainable_parameters:,} parameters trained.",
            *(f"Energy: {one.joules:.1f} J ({one.kind}; {one.source})." for one in report.energy),
            f"Your model is in {report.out}.",
        ],
    )
