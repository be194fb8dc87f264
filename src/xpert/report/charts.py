"""Charts, drawn with matplotlib (extra ``report``)."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import Any

from xpert.errors import MissingDependencyError
from xpert.tensors.files import write_bytes

__all__ = ["panels", "require_matplotlib", "save_png", "starts_chart"]

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
    figure, (axes,) = panels(1, size=(7.2, 4.2), dpi=150)
    for curve, colour, label in ((curve_base, _BASE, "from the base"), (curve_selected, _SELECTED, f"from {selected}")):
        steps, losses = zip(*curve, strict=True)
        axes.plot(steps, losses, color=colour, label=label, linewidth=2, marker="o", markersize=3)
    axes.axhline(target_loss, color=_INK, linewidth=1, linestyle="--", label="target")
    axes.set_xlabel("training steps")
    axes.set_ylabel(f"validation loss ({unit})")
    axes.set_title("One user's model, from two starts")
    axes.legend(frameon=False)
    return save_png(figure, out)


def panels(n: int, *, size: tuple[float, float], dpi: int) -> tuple[Any, list[Any]]:
    """A figure of ``n`` empty charts beside each other, and these; ``size`` in inches.

    Raises:
        xpert.errors.MissingDependencyError: The extra ``report`` is not installed.
    """
    require_matplotlib("a chart")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, dpi=dpi, layout="constrained")
    FigureCanvasAgg(figure)
    charts: list[Any] = list(figure.subplots(1, n, squeeze=False)[0])
    for chart in charts:
        chart.spines[["top", "right"]].set_visible(False)
    return figure, charts


def save_png(figure: Any, path: str | Path) -> Path:
    """Write a figure as a PNG that appears whole."""
    picture = BytesIO()
    figure.savefig(picture, format="png", metadata={"Software": None})
    return write_bytes(path, picture.getvalue())
