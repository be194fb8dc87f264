"""The options of ``xpert train``; which of them a trainer knows is the trainer's to say."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, TypeAlias

import typer

__all__ = [
    "Accumulation",
    "Alpha",
    "Backend",
    "Base",
    "BatchSize",
    "Bucketing",
    "CaptionColumn",
    "CaptionTemplate",
    "Captioner",
    "CenterCrop",
    "CheckpointEvery",
    "Clip",
    "Data",
    "EmaDecay",
    "EvalEvery",
    "EvalFraction",
    "GradientCheckpointing",
    "Long",
    "Lr",
    "MaxLength",
    "MaxSteps",
    "MethodName",
    "MicroBatch",
    "NoiseOffset",
    "Out",
    "Phone",
    "PrecisionName",
    "RandomFlip",
    "Rank",
    "RecipeName",
    "Resolution",
    "Resume",
    "ScheduleName",
    "Seed",
    "SnrGamma",
    "Start",
    "TargetLoss",
    "TargetModules",
    "Threads",
    "Warmup",
    "WeightDecay",
]

_ALL, _TEXT, _IMAGES, _ONNX = "Options", "Options for text", "Options for images", "Options for ONNX artifacts"


def _option(help_text: str, *, default: str | None = None, metavar: str | None = None, panel: str = _ALL) -> Any:
    return typer.Option(help=help_text, show_default=default or False, metavar=metavar, rich_help_panel=panel)


Start: TypeAlias = Annotated[
    str, typer.Option(metavar="REF", help="The model to start from: a full one or an adapter.")
]
Data: TypeAlias = Annotated[
    str,
    typer.Option(
        "--data",
        metavar="FILE|FOLDER|NAME",
        help='The personal data, JSON Lines: {"prompt", "response"}, {"text"}, {"messages"} or {"prompt", "image"} a line; '
        "a folder of images with captions; or, for images, a data set's name. It stays here.",
    ),
]
Out: TypeAlias = Annotated[
    Path, typer.Option(metavar="DIR", help="The folder of the result: new, empty, or an earlier run's.")
]
Backend: TypeAlias = Annotated[
    str | None,
    _option(
        "Who trains: torch (text), diffusion (images), onnx (text, without torch), or an installed plugin.",
        metavar="NAME",
        default="who accepts --start",
    ),
]
Base: TypeAlias = Annotated[str | None, _option("The base of a start adapter.", metavar="REF", default="what it names")]
MethodName: TypeAlias = Annotated[
    str | None, _option("Train an adapter or all weights.", metavar="lora|full", default="lora")
]
RecipeName: TypeAlias = Annotated[
    str | None,
    _option("The paper's settings, for what is not given.", metavar="paper-server|paper-device", default="none"),
]
MaxSteps: TypeAlias = Annotated[int | None, _option("Optimizer steps at most.", default="200")]
TargetLoss: TypeAlias = Annotated[
    float | None, _option("Stop when the validation loss is at most this.", default="none")
]
Resume: TypeAlias = Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint in --out.")]
Lr: TypeAlias = Annotated[float | None, _option("The peak learning rate.", default="0.0002; images 0.0001")]
ScheduleName: TypeAlias = Annotated[
    str | None,
    _option(
        "How the learning rate goes on after warm-up; for images any of diffusers' schedules.",
        metavar="constant|cosine|linear|...",
        default="constant",
    ),
]
Warmup: TypeAlias = Annotated[int | None, _option("Steps of linear warm-up.", default="0")]
WeightDecay: TypeAlias = Annotated[float | None, _option("The weight decay of AdamW.", default="0; images 0.01")]
BatchSize: TypeAlias = Annotated[int | None, _option("Examples a step.", default="8; images 4")]
Accumulation: TypeAlias = Annotated[int | None, _option("Batches whose gradients make one step.", default="1")]
Clip: TypeAlias = Annotated[float | None, _option("The largest norm of the gradient.", default="1.0")]
MaxLength: TypeAlias = Annotated[
    int | None,
    _option("The longest example in tokens; for what is longer see --long.", default="512", panel=_TEXT),
]
Long: TypeAlias = Annotated[
    str | None,
    _option(
        "Cut longer examples, or go on in further ones.",
        metavar="truncate|split",
        default="truncate",
        panel=_TEXT,
    ),
]
Bucketing: TypeAlias = Annotated[
    bool | None,
    typer.Option("--bucketing", help="Let a step take examples of like length: less padding.", rich_help_panel=_TEXT),
]
Rank: TypeAlias = Annotated[int | None, _option("The rank of a new adapter.", default="16")]
Alpha: TypeAlias = Annotated[float | None, _option("The scale of a new adapter, lora_alpha.", default="32; images 16")]
TargetModules: TypeAlias = Annotated[
    str | None,
    _option(
        "Modules of a new adapter, separated by commas, or all-linear (text).",
        metavar="NAMES",
        default="PEFT's choice; images: attention",
    ),
]
EvalFraction: TypeAlias = Annotated[float | None, _option("The share of the data to validate with.", default="0.1")]
EvalEvery: TypeAlias = Annotated[int | None, _option("Steps between evaluations.", default="a twentieth of all")]
CheckpointEvery: TypeAlias = Annotated[int | None, _option("Steps between checkpoints.", default="100")]
PrecisionName: TypeAlias = Annotated[
    str | None,
    _option(
        "bf16: forward passes in bfloat16, weights in float32; auto (text): where the device has it.",
        metavar="float32|bf16|auto",
        default="float32",
    ),
]
Phone: TypeAlias = Annotated[
    str | None,
    _option("Also estimate the energy on this phone.", metavar="oneplus-12r|pixel-9-pro|pixel-7", default="none"),
]
Seed: TypeAlias = Annotated[int, typer.Option(help="The seed of split, order, noise and a new adapter's values.")]
Resolution: TypeAlias = Annotated[
    int | None, _option("The side of the squares in pixels.", default="what the pipeline paints", panel=_IMAGES)
]
CenterCrop: TypeAlias = Annotated[
    bool | None,
    typer.Option("--center-crop", help="See the centre of images, not a random part.", rich_help_panel=_IMAGES),
]
RandomFlip: TypeAlias = Annotated[
    bool | None, typer.Option("--random-flip", help="Mirror images half of the times.", rich_help_panel=_IMAGES)
]
CaptionColumn: TypeAlias = Annotated[
    str | None,
    _option("The column of captions.", metavar="NAME", default="text, caption or prompt", panel=_IMAGES),
]
CaptionTemplate: TypeAlias = Annotated[
    str | None, _option("The caption of images without one.", metavar="TEXT", default="none", panel=_IMAGES)
]
Captioner: TypeAlias = Annotated[
    str | None,
    _option("A model that captions images without a caption.", metavar="REF", default="none", panel=_IMAGES),
]
GradientCheckpointing: TypeAlias = Annotated[
    bool | None,
    typer.Option("--gradient-checkpointing", help="Less memory, more time.", rich_help_panel=_ALL),
]
EmaDecay: TypeAlias = Annotated[
    float | None, _option("Keep and write a moving average with this decay.", default="none", panel=_IMAGES)
]
SnrGamma: TypeAlias = Annotated[
    float | None, _option("Weigh noise levels by signal-to-noise ratio.", default="none", panel=_IMAGES)
]
NoiseOffset: TypeAlias = Annotated[
    float | None, _option("Noise that is common to a channel.", default="0", panel=_IMAGES)
]
MicroBatch: TypeAlias = Annotated[
    int | None,
    _option("Examples that go through the model together; less memory, equal results.", default="a batch", panel=_ONNX),
]
Threads: TypeAlias = Annotated[int | None, _option("Threads of the processor.", default="one a core", panel=_ONNX)]
