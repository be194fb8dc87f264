"""Charts, drawn with matplotlib (extra ``report``)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from uuid import uuid4

from xpert.errors import MissingDependencyError

__all__ = ["require_matplotlib", "save_png", "starts_chart"]

Curve = Sequence[tuple[int, float]]
_INK, _BASE, _SELECTED = "#333333", "#8a8f98", "#1f6feb"


def require_matplotlib(feature: str) -> None:
    """Check that charts can be drawn, before the work whose result they show.

    Raises:
        xpert.errors.MissingDependencyError: The extra ``report`` is not installed.
    """
    if find_spec("matplotlib") is None:
        raise MissingDependencyError.of("matplotlib", "report", feature)


def starts_chart(
    curve_base: Curve,
    curve_selected: Curve,
    *,
    target_loss: float,
    selected: str,
    out: str | Path,
    unit: str = "nats a token",
) -> Path:
    """Draw the validation loss over the steps of both starts, with the target, as a PNG.

    Args:
        curve_base: ``(step, validation loss)`` of training from the base, losses in ``unit``.
        curve_selected: The same from the selected model.
        target_loss: The loss up to which both are counted.
        selected: The selected model's name.
        out: The file.
        unit: What losses are given in.

    Raises:
        xpert.errors.MissingDependencyError: The extra ``report`` is not installed.
    """
    require_matplotlib("a chart")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 4.2), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    axes: Any = figure.subplots()
    for curve, colour, label in ((curve_base, _BASE, "from the base"), (curve_selected, _SELECTED, f"from {selected}")):
        steps, losses = zip(*curve, strict=True)
        axes.plot(steps, losses, color=colour, label=label, linewidth=2, marker="o", markersize=3)
    axes.axhline(target_loss, color=_INK, linewidth=1, linestyle="--", label="target")
    axes.set_xlabel("training steps")
    axes.set_ylabel(f"validation loss ({unit})")
    axes.set_title("One user's model, from two starts")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    return save_png(figure, Path(out))


def save_png(figure: Any, path: Path) -> Path:
    """Write a figure as a PNG that appears whole."""
    temporary = path.with_name(f".{path.name}.{uuid4().hex[:12]}.tmp")
    try:
        figure.savefig(temporary, format="png", metadata={"Software": None})
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path
