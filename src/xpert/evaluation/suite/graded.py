"""Figure 15: distances between graded styles, by two summarizers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from statistics import fmean

from xpert.evaluation.demo_users import DemoUser
from xpert.evaluation.experiments.graded import GradedRow, graded_catalog, graded_rows, to_table
from xpert.evaluation.results import Chart, Series, Table
from xpert.evaluation.suite.context import SUMMARIZER, Context, Findings
from xpert.zoo.corpus import GRADED, Side, examples

__all__ = ["N_TEXTS", "PHRASES", "SUMMARIZERS", "figure_15"]

N_TEXTS = 50
SUMMARIZERS = (SUMMARIZER, "encoder:minilm")
PHRASES: Mapping[Side, str] = {
    "models": "phrases of the zoo's models",
    "users": "phrases that they never saw",
}
"""Whose phrases the answers are in, as tables tell it."""


def figure_15(context: Context) -> Findings:
    """Both scales of the corpus, in either half's phrases, by each summarizer."""
    scales: dict[str, list[str]] = {}
    for name in GRADED:
        scales.setdefault(name.rpartition("-")[0], []).append(name)
    found = {told: _by_summarizer(context, half, scales) for half, told in PHRASES.items()}
    return Findings(
        tables=[
            Table(title=f"L1 distances by {name}, in {told}: {_grow(rows)}", markdown=to_table(rows))
            for told, by in found.items()
            for name, rows in by.items()
        ],
        charts=[_chart(by, list(scales), told) for told, by in found.items()],
        rows={
            told: {name: [asdict(row) | {"grows": row.grows} for row in rows] for name, rows in by.items()}
            for told, by in found.items()
        },
    )


def _by_summarizer(context: Context, half: Side, scales: Mapping[str, Sequence[str]]) -> dict[str, list[GradedRow]]:
    """Every level's distances by each summarizer, from answers to the users' questions in the phrases of a half."""
    texts = {
        name: examples(style, side="users", n=N_TEXTS, seed=context.seed, phrases=half)
        for name, style in GRADED.items()
    }
    prompts = [str(example.prompt) for example in next(iter(texts.values()))]
    said = context.said_by_base([DemoUser(name=n, style=n, examples=tuple(own)) for n, own in texts.items()])
    found: dict[str, list[GradedRow]] = {}
    for number, name in enumerate(SUMMARIZERS):
        catalog = graded_catalog(
            {prompt: said[prompt] for prompt in prompts},
            texts,
            context.loaded(name),
            folder=context.work / f"graded-{half}-{number}",
            seed=context.seed,
        )
        found[name] = graded_rows(catalog, scales)
    return found


def _grow(rows: Sequence[GradedRow]) -> str:
    return f"they grow with the gap in {sum(row.grows for row in rows)} of {len(rows)} rows"


def _chart(found: Mapping[str, Sequence[GradedRow]], scales: Sequence[str], told: str) -> Chart:
    """Mean distance by the difference of levels, as a share of the largest mean."""
    series: list[Series] = []
    for name, rows in found.items():
        for scale in scales:
            own = [row for row in rows if row.scale == scale]
            gaps = range(1, len(own))
            means = [
                fmean(d for row in own for other, d in enumerate(row.distances, 1) if abs(row.level - other) == gap)
                for gap in gaps
            ]
            series.append(Series(name=f"{scale}, {name}", x=list(gaps), y=[m / max(means) for m in means]))
    return Chart(
        title=f"Distance by gap, {told}",
        x_label="difference of levels",
        y_label="mean L1 distance, largest = 1",
        series=series,
    )
