"""Charts of the experiments' results, drawn with matplotlib (extra ``report``)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from textwrap import fill
from typing import Any, Protocol

from xpert.report.charts import require_matplotlib, save_png

__all__ = ["line_chart"]

_COLOURS = ("#1f6feb", "#d1603d", "#2e8b57", "#8a63d2", "#8a8f98", "#333333", "#c9a227", "#17a2b8")
_WRAPPED_AT = 14
"""Characters of a name in a line."""
_ASIDE = 0.5
"""Of the width of a name, over which the series are spread."""


class Line(Protocol):
    """What a line of a chart has (`xpert.evaluation.results.Series`)."""

    @property
    def name(self) -> str: ...

    @property
    def x(self) -> Sequence[float]: ...

    @property
    def y(self) -> Sequence[float]: ...

    @property
    def low(self) -> Sequence[float]: ...

    @property
    def high(self) -> Sequence[float]: ...


class LineChart(Protocol):
    """What a chart has (`xpert.evaluation.results.Chart`)."""

    @property
    def title(self) -> str: ...

    @property
    def x_label(self) -> str: ...

    @property
    def y_label(self) -> str: ...

    @property
    def series(self) -> Sequence[Line]: ...

    @property
    def log(self) -> bool: ...

    @property
    def names(self) -> Sequence[str]: ...


def line_chart(chart: LineChart, out: str | Path) -> Path:
    """Draw lines with points, and bars where there are intervals, as a PNG; on logarithmic axes points that are not above 0 are left out.

    Over names points are not joined, and the series stand side by side.

    Raises:
        xpert.errors.MissingDependencyError: The extra ``report`` is not installed.
    """
    require_matplotlib("a chart")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.0), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    axes: Any = figure.subplots()
    for i, line in enumerate(chart.series):
        colour = _COLOURS[i % len(_COLOURS)]
        kept = [k for k in range(len(line.x)) if not chart.log or (line.x[k] > 0 and line.y[k] > 0)]
        aside = (i - (len(chart.series) - 1) / 2) * _ASIDE / len(chart.series) if chart.names else 0.0
        xs, ys = [line.x[k] + aside for k in kept], [line.y[k] for k in kept]
        axes.plot(xs, ys, "o" if chart.names else "o-", color=colour, label=line.name, markersize=4)
        if line.low and line.high:
            axes.vlines(xs, [line.low[k] for k in kept], [line.high[k] for k in kept], color=colour, linewidth=1)
    axes.set(title=chart.title, xlabel=chart.x_label, ylabel=chart.y_label)
    if chart.names:
        axes.set_xticks(range(len(chart.names)), [fill(name, _WRAPPED_AT) for name in chart.names])
    if chart.log:
        axes.set(xscale="log", yscale="log")
    elif all(value >= 0 for line in chart.series for value in line.y):
        axes.set_ylim(bottom=0)
    axes.spines[["top", "right"]].set_visible(False)
    if chart.names:
        figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=8)
    else:
        axes.legend(frameon=False, fontsize=8)
    return save_png(figure, Path(out))
