"""``xpert export``: a start model as ONNX training artifacts, which a device trains from without torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from xpert.cli import train_options as options
from xpert.cli.output import Outcome

__all__ = ["export"]

Out = Annotated[
    Path, typer.Option(metavar="DIR", help="The folder of the artifacts: new, empty, or an earlier export's.")
]
MaxLength = Annotated[int, typer.Option(help="The longest example in tokens that will be trained.")]
Clip = Annotated[float, typer.Option(help="The largest norm of the gradient; it becomes a part of the artifacts.")]
WeightDecay = Annotated[float, typer.Option(help="The weight decay of AdamW; it becomes a part of the artifacts.")]
SelfContained = Annotated[
    bool, typer.Option("--self-contained", help="All weights in the checkpoint, as a browser needs them.")
]


def export(
    *,
    start: options.Start,
    out: Out,
    max_length: MaxLength = 512,
    base: options.Base = None,
    rank: options.Rank = None,
    alpha: options.Alpha = None,
    target_modules: options.TargetModules = None,
    clip: Clip = 1.0,
    weight_decay: WeightDecay = 0.0,
    self_contained: SelfContained = False,
    seed: options.Seed = 0,
) -> Outcome:
    """Export a start model, with its adapter or a new one, as ONNX training artifacts: `xpert train --start DIR` needs no torch."""
    from xpert.artifacts.header import read_header
    from xpert.cli.train import modules
    from xpert.trainers.export import OnnxExporter

    adapter: dict[str, Any] = {"rank": rank, "alpha": alpha, "target_modules": modules(target_modules), "base": base}
    exporter = OnnxExporter(
        **adapter,
        max_length=max_length,
        clip=clip,
        weight_decay=weight_decay,
        seed=seed,
        self_contained=self_contained,
    )
    folder = exporter.export(start, out)
    header = read_header(folder, "training")
    n_bytes = sum(said["bytes"] for said in header["files"].values())
    document = {
        "out": str(folder),
        "base": header["base"],
        "architecture": header["architecture"],
        "max_length": header["max_length"],
        "bytes": n_bytes,
        "digest": header["digest"],
    }
    return Outcome(
        document=document,
        view=lambda: [
            f"{header['architecture']} model exported for rows of {header['max_length']} tokens: {n_bytes / 1e6:.1f} MB in {folder}.",
            f"Train it: xpert train --start {folder} --data FILE --out DIR",
        ],
    )
