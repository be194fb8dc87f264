"""Charts of the paper's experiments, drawn with matplotlib (extra ``report``).

They take rows by what they have, since reports and evaluation do not know each other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, Protocol

from xpert.report.charts import panels, save_png

__all__ = ["axes_chart", "costs_chart", "prompts_chart"]

_COLOURS = ("#1f6feb", "#d1603d", "#2e8b57", "#8a63d2", "#8a8f98", "#333333")


class _HasName(Protocol):
    @property
    def name(self) -> str: ...


class PromptsPoint(Protocol):
    """What a row of Figure 7 has (`xpert.evaluation.experiments.n_prompts.PromptsRow`)."""

    @property
    def n_prompts(self) -> int: ...

    @property
    def centred(self) -> float: ...

    @property
    def predicted(self) -> float: ...


class AxesPoint(Protocol):
    """What a row of Table 2 has (`xpert.evaluation.experiments.axes_against_models.AxesRow`)."""

    @property
    def settings(self) -> _HasName: ...

    @property
    def n_models(self) -> int: ...

    @property
    def n_subvectors(self) -> Sequence[int]: ...

    @property
    def n_examined(self) -> Sequence[int]: ...


def prompts_chart(rows: Mapping[str, Sequence[PromptsPoint]], *, out: str | Path) -> Path:
    """Figure 7: measured errors as points, predictions as lines, a colour a summarizer; both axes logarithmic.

    Args:
        rows: Summarizer to rows. One whose error is 0 (all prompts) is left out.
        out: The PNG.

    Raises:
        xpert.errors.MissingDependencyError: The extra ``report`` is not installed.
    """
    figure, (axes,) = panels(1, size=(6.4, 4.0), dpi=100)
    for (name, points), colour in zip(rows.items(), _COLOURS, strict=False):
        shown = [point for point in points if point.centred > 0 and point.predicted > 0]
        numbers = [point.n_prompts for point in shown]
        axes.plot(numbers, [p.centred for p in shown], "o", color=colour, label=f"{name}, measured")
        axes.plot(numbers, [p.predicted for p in shown], color=colour, linewidth=1, label=f"{name}, predicted")
    axes.set(xscale="log", yscale="log", xlabel="prompts", ylabel="cosine distance to the embedding from all")
    axes.legend(frameon=False)
    return save_png(figure, out)


def axes_chart(rows: Mapping[str, Sequence[AxesPoint]], *, out: str | Path) -> Path:
    """Table 2: sub-vectors (left) and candidates examined (right) against models, a line a summarizer and setting.

    Args:
        rows: Summarizer to rows.
        out: The PNG.

    Raises:
        xpert.errors.MissingDependencyError: The extra ``report`` is not installed.
    """
    figure, both = panels(2, size=(9.6, 4.0), dpi=100)
    lines = [
        (f"{name}, {setting}", [row for row in points if row.settings.name == setting])
        for name, points in rows.items()
        for setting in dict.fromkeys(row.settings.name for row in points)
    ]
    for (label, points), colour in zip(lines, _COLOURS, strict=False):
        models = [row.n_models for row in points]
        both[0].plot(models, [fmean(row.n_subvectors) for row in points], "o-", color=colour, label=label)
        both[1].plot(models, [fmean(row.n_examined) for row in points], "o-", color=colour)
    for panel, what in zip(both, ("sub-vectors", "candidates examined"), strict=True):
        panel.set(xlabel="models", ylabel=what, ylim=(0, None))
    both[0].legend(frameon=False, fontsize=8)
    return save_png(figure, out)


def costs_chart(rows: Sequence[Mapping[str, Any]], *, out: str | Path) -> Path:
    """What selecting costs against the number of models; both axes logarithmic.

    Args:
        rows: In each ``models``, and the milliseconds ``open_ms``, ``first_ms``, ``warm_ms``, ``read_once_ms`` and ``brute_force_ms``.
        out: The PNG.

    Raises:
        xpert.errors.MissingDependencyError: The extra ``report`` is not installed.
    """
    lines = {
        "brute_force_ms": "comparing with every model (float64)",
        "first_ms": "first selection, hashes checked",
        "warm_ms": "selection, warm, top 5",
        "read_once_ms": "reading the coordinates once",
        "open_ms": "opening the catalog",
    }
    figure, (axes,) = panels(1, size=(6.4, 4.0), dpi=100)
    for (name, label), colour in zip(lines.items(), _COLOURS, strict=False):
        axes.plot([row["models"] for row in rows], [row[name] for row in rows], "o-", color=colour, label=label)
    axes.set(xscale="log", yscale="log", xlabel="models", ylabel="milliseconds")
    axes.legend(frameon=False, fontsize=8)
    return save_png(figure, out)
