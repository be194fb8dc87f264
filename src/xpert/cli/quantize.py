"""``xpert quantize``: a summarizer in half the bytes, for streaming."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from xpert.cli.output import Outcome
from xpert.figures import percent

__all__ = ["quantize"]


def quantize(
    *,
    model: Annotated[str, typer.Option(metavar="REF", help="A causal language model.")],
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="The folder of the result: new, empty, or an earlier one's.")
    ],
) -> Outcome:
    """Write a copy of a model with its layers' matrices as int8; the summarizer streamed:DIR reads it in half the bytes."""
    from xpert.streaming.quantize import quantize as run

    done = run(model, out)
    document = {
        "out": str(done.folder),
        "tensors": done.n_tensors,
        "bytes_before": done.bytes_before,
        "bytes_after": done.bytes_after,
        "relative_error": done.error,
        "worst_relative_error": done.worst_error,
        "worst_tensor": done.worst,
    }
    return Outcome(
        document=document,
        view=lambda: [
            f"{done.n_tensors} matrices as int8: {done.bytes_before / 1e6:.1f} MB became {done.bytes_after / 1e6:.1f} MB.",
            f"Relative error of the weights {percent(done.error)}; the worst, {done.worst}, {percent(done.worst_error)}.",
            f"The model is in {done.folder}: use it as streamed:{done.folder}.",
        ],
    )
