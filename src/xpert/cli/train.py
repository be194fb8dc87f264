"""``xpert train``: a start model and personal data in, the user's own model out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xpert.cli.options import DataOption, DeviceOption
from xpert.cli.output import Outcome

if TYPE_CHECKING:
    from xpert.types import TrainingReport

__all__ = ["train"]


def train(
    *,
    start: Annotated[str, typer.Option(metavar="REF", help="The model to start from: a full model or an adapter.")],
    data: DataOption,
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="The folder of the result: new, empty, or an earlier run's.")
    ],
    backend: Annotated[str, typer.Option(metavar="NAME", help="Who trains: torch, or an installed plugin.")] = "torch",
    method: Annotated[
        str | None, typer.Option(metavar="lora|full", help="Train an adapter or all weights.", show_default="lora")
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            metavar="paper-server|paper-device",
            help="The paper's settings, for what is not given.",
            show_default="none",
        ),
    ] = None,
    max_steps: Annotated[int | None, typer.Option(help="Optimizer steps at most.", show_default="200")] = None,
    target_loss: Annotated[
        float | None, typer.Option(help="Stop when the validation loss is at most this.", show_default="none")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint in --out.")] = False,
    lr: Annotated[float | None, typer.Option(help="The peak learning rate.", show_default="0.0002")] = None,
    schedule: Annotated[
        str | None,
        typer.Option(
            metavar="constant|cosine|linear",
            help="How the learning rate goes on after warm-up.",
            show_default="constant",
        ),
    ] = None,
    warmup: Annotated[int | None, typer.Option(help="Steps of linear warm-up.", show_default="0")] = None,
    weight_decay: Annotated[float | None, typer.Option(help="The weight decay of AdamW.", show_default="0")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Examples a step.", show_default="8")] = None,
    max_length: Annotated[
        int | None, typer.Option(help="The longest example in tokens; what is longer is cut.", show_default="512")
    ] = None,
    rank: Annotated[int | None, typer.Option(help="The rank of a new adapter.", show_default="16")] = None,
    alpha: Annotated[
        float | None, typer.Option(help="The scale of a new adapter, lora_alpha.", show_default="32")
    ] = None,
    target_modules: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES",
            help="Modules of a new adapter, separated by commas, or all-linear.",
            show_default="PEFT's choice",
        ),
    ] = None,
    eval_fraction: Annotated[
        float | None, typer.Option(help="The share of the data to validate with.", show_default="0.1")
    ] = None,
    precision: Annotated[
        str | None,
        typer.Option(
            metavar="float32|bf16", help="bf16: forward passes in bfloat16, weights in float32.", show_default="float32"
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="The seed of split, order and a new adapter's values.")] = 0,
    device: DeviceOption = None,
) -> Outcome:
    """Fine-tune a start model on the user's own text, on this machine; a recipe's settings replace the defaults told here."""
    from xpert.examples import load_examples
    from xpert.registry import TRAINERS

    run = {"method": method, "recipe": recipe, "max_steps": max_steps, "target_loss": target_loss}
    optimizer = {"lr": lr, "schedule": schedule, "warmup": warmup, "weight_decay": weight_decay}
    adapter = {"rank": rank, "alpha": alpha, "target_modules": _modules(target_modules)}
    text = {"batch_size": batch_size, "max_length": max_length, "eval_fraction": eval_fraction, "precision": precision}
    given: dict[str, Any] = {**run, **optimizer, **adapter, **text, "seed": seed, "device": device}
    trainer = TRAINERS.get(backend)(**{name: value for name, value in given.items() if value is not None})
    report = trainer.fit(start, load_examples(data), out=out, resume=resume)
    return _outcome(report)


def _modules(names: str | None) -> str | list[str] | None:
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
            f"Your model is in {report.out}.",
        ],
    )
