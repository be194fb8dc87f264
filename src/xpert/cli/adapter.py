"""``xpert adapter``: what a phone or a browser trained, as an adapter that PEFT loads."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from xpert.cli.output import Outcome
from xpert.errors import DataError

__all__ = ["adapter"]


def adapter(
    *,
    artifacts: Annotated[Path, typer.Option(metavar="DIR", help="What it was trained from: a folder of xpert export.")],
    trained: Annotated[
        Path,
        typer.Option(metavar="FILE", help="The phone's checkpoint/state, or adapter.bin, which the page gives."),
    ],
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="The folder of the adapter: new, empty, or an earlier result's.")
    ],
) -> Outcome:
    """Turn what a phone or a browser trained into an adapter like any other. Needs no torch."""
    from xpert.trainers.from_checkpoint import adapter_from_checkpoint, is_checkpoint
    from xpert.trainers.onnx.buffer import adapter_from_buffer

    if not trained.is_file():
        raise DataError(f"--trained: {trained}: no such file: give what the phone or the browser trained")
    if is_checkpoint(trained):
        folder = adapter_from_checkpoint(artifacts, trained, out)
    else:
        folder = adapter_from_buffer(artifacts, trained, out=out)
    return Outcome(
        document={"out": str(folder)}, view=lambda: [f"The adapter is in {folder}. Go on with it: --start {folder}"]
    )
