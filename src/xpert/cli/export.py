"""``xpert export``: a start model or a summarizer as ONNX, for devices without torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from xpert.cli import train_options as options
from xpert.cli.output import Outcome
from xpert.errors import SettingsError

__all__ = ["export"]

Out = Annotated[
    Path, typer.Option(metavar="DIR", help="The folder of the artifacts: new, empty, or an earlier export's.")
]
MaxLength = Annotated[int, typer.Option(help="The longest example in tokens that will be trained.")]
Clip = Annotated[float, typer.Option(help="The largest norm of the gradient; it becomes a part of the artifacts.")]
WeightDecay = Annotated[float, typer.Option(help="The weight decay of AdamW; it becomes a part of the artifacts.")]
Start = Annotated[
    str | None, typer.Option(metavar="REF", help="The model to train: a full one or an adapter.", show_default=False)
]
SummarizerName = Annotated[
    str | None,
    typer.Option(
        "--summarizer",
        metavar="REF",
        help="Export this summarizer instead: encoder:REF, hf:REF or zoo:summarizer; its name is then onnx:DIR.",
        show_default=False,
    ),
]
SelfContained = Annotated[
    bool, typer.Option("--self-contained", help="All weights in the checkpoint, as a browser needs them.")
]

RouteName = Annotated[
    str, typer.Option("--route", metavar="own|optimum", help="Who traces the model; see docs/onnx.md.")
]


def export(
    *,
    out: Out,
    start: Start = None,
    summarizer: SummarizerName = None,
    max_length: MaxLength = 512,
    base: options.Base = None,
    rank: options.Rank = None,
    alpha: options.Alpha = None,
    target_modules: options.TargetModules = None,
    clip: Clip = 1.0,
    weight_decay: WeightDecay = 0.0,
    self_contained: SelfContained = False,
    route: RouteName = "own",
    seed: options.Seed = 0,
) -> Outcome:
    """Export for a device without torch: a start model, with its adapter or a new one, to train; or a summarizer, to select with."""
    if (start is None) == (summarizer is None):
        raise SettingsError("start: expected --start REF (to train) or --summarizer REF (to select with), one of them")
    if summarizer is not None:
        return _summarizer(summarizer, out)
    from xpert.artifacts.header import read_header
    from xpert.cli.train import modules
    from xpert.trainers.export import OnnxExporter

    adapter: dict[str, Any] = {"rank": rank, "alpha": alpha, "target_modules": modules(target_modules), "base": base}
    adapter["route"] = route
    exporter = OnnxExporter(
        **adapter,
        max_length=max_length,
        clip=clip,
        weight_decay=weight_decay,
        seed=seed,
        self_contained=self_contained,
    )
    folder = exporter.export(str(start), out)
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


def _summarizer(summarizer: str, out: Path) -> Outcome:
    from xpert.summarizers.onnx.export import export_summarizer

    folder = export_summarizer(summarizer, out)
    n_bytes = sum(file.stat().st_size for file in folder.iterdir())
    return Outcome(
        document={"out": str(folder), "summarizer": f"onnx:{folder}", "bytes": n_bytes},
        view=lambda: [f"{summarizer} exported: {n_bytes / 1e6:.1f} MB. Select with it: --summarizer onnx:{folder}"],
    )
