"""Figure 15: distances between graded styles, by two summarizers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import fmean
from typing import Any

from xpert.decompose import CoefficientRule
from xpert.evaluation.cast import BASE
from xpert.evaluation.demo_users import DemoUser
from xpert.evaluation.experiments.graded import GradedRow, graded_catalog, graded_rows, to_table
from xpert.evaluation.experiments.tables import markdown
from xpert.evaluation.results import Chart, Series, Table
from xpert.evaluation.suite.context import SUMMARIZER, Context, Findings
from xpert.evaluation.suite.weights import weights_of
from xpert.evaluation.suite.workers import kept_cells
from xpert.types import Example
from xpert.zoo.corpus import GRADED, Side, examples

__all__ = ["N_TEXTS", "PAPERS", "PHRASES", "RULES", "SUMMARIZERS", "figure_15"]

N_TEXTS = 50
SUMMARIZERS = (SUMMARIZER, "encoder:minilm")
PHRASES: Mapping[Side, str] = {
    "models": "phrases of the zoo's models",
    "users": "phrases that they never saw",
}
"""Whose phrases the answers are in, as tables tell it."""
PAPERS: CoefficientRule = "projection"
RULES: Mapping[CoefficientRule, str] = {
    PAPERS: "coordinates by the paper's Eq. 2",
    "least-squares": "least squares, the library's own",
}
"""Of what coordinates L1 distances are taken."""


def figure_15(context: Context) -> Findings:
    """Both scales of the corpus, in either half's phrases, by each summarizer: four cells, kept as they come."""
    scales = _scales()
    cells: list[tuple[Side, int]] = [(half, number) for half in PHRASES for number in range(len(SUMMARIZERS))]
    files = {cell: _file(context, *cell) for cell in cells}
    kept = kept_cells(context, _distances, files, prepare=lambda waiting: _asked(context, waiting))
    found: dict[tuple[str, str, CoefficientRule], list[GradedRow]] = {
        (PHRASES[half], SUMMARIZERS[number], rule): [GradedRow.from_dict(row) for row in own[rule]]
        for (half, number), own in zip(cells, kept, strict=True)
        for rule in RULES
    }
    papers = {(told, name): rows for (told, name, rule), rows in found.items() if rule == PAPERS}
    return Findings(
        tables=[
            Table(title="Rows in which L1 distances grow with the gap of levels", markdown=_summary(found)),
            *(
                Table(
                    title=f"L1 distances by {name}, in {told}, {RULES[PAPERS]}: {_grow(rows)}", markdown=to_table(rows)
                )
                for (told, name), rows in papers.items()
            ),
        ],
        charts=[
            _chart({name: rows for (of, name), rows in papers.items() if of == told}, list(scales), told)
            for told in PHRASES.values()
        ],
        rows=[
            {"phrases": told, "summarizer": name, "coefficients": rule}
            | {"rows": [asdict(row) | {"grows": row.grows} for row in rows]}
            for (told, name, rule), rows in found.items()
        ],
        weights=_weights(),
    )


def _summary(found: Mapping[tuple[str, str, CoefficientRule], Sequence[GradedRow]]) -> str:
    """Phrases and summarizer a row, a rule of coefficients a column."""
    cells = [
        [told, name, *(f"{sum(row.grows for row in found[told, name, rule])} of {len(rows)}" for rule in RULES)]
        for (told, name, first), rows in found.items()
        if first == PAPERS
    ]
    return markdown(["answers in", "summarizer", *RULES.values()], cells)


def _weights() -> dict[str, str]:
    return weights_of(base=BASE, summarizers=SUMMARIZERS)


def _file(context: Context, half: Side, number: int) -> Path:
    """Of a cell."""
    mark = "-".join([*_weights().values(), *RULES])
    return context.work / "graded" / f"{half}-{number}-{N_TEXTS}-{context.seed}-{mark}.json"


def _scales() -> dict[str, list[str]]:
    """Scale to its levels, the lowest first."""
    scales: dict[str, list[str]] = {}
    for name in GRADED:
        scales.setdefault(name.rpartition("-")[0], []).append(name)
    return scales


def _texts(half: Side, seed: int) -> dict[str, list[Example]]:
    """Level to answers to the users' questions, the same of all, in the phrases of a half."""
    return {name: examples(style, side="users", n=N_TEXTS, seed=seed, phrases=half) for name, style in GRADED.items()}


def _asked(context: Context, cells: Sequence[tuple[Any, ...]]) -> None:
    """Have in the work folder what the base says to the questions."""
    texts = [_texts(half, context.seed) for half in dict.fromkeys(half for half, _ in cells)]
    context.said_by_base([DemoUser(name=n, style=n, examples=tuple(t)) for own in texts for n, t in own.items()])


def _distances(context: Context, half: Side, number: int) -> dict[str, list[dict[str, Any]]]:
    """By rule of the coefficients, every level's distances by one of the summarizers."""
    texts = _texts(half, context.seed)
    prompts = [str(example.prompt) for example in next(iter(texts.values()))]
    said = context.said_by_base([DemoUser(name=n, style=n, examples=tuple(own)) for n, own in texts.items()])
    catalogs = {
        rule: graded_catalog(
            {prompt: said[prompt] for prompt in prompts},
            texts,
            context.loaded(SUMMARIZERS[number]),
            folder=context.work / f"graded-{half}-{number}-{context.seed}",
            seed=context.seed,
            coefficients=rule,
            cache=context.cache,
        )
        for rule in RULES
    }
    return {rule: [asdict(row) for row in graded_rows(catalog, _scales())] for rule, catalog in catalogs.items()}


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
