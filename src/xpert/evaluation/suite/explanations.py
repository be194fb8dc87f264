"""Tables 1, 2, 8, 9 and Figure 7 (`xpert.evaluation.experiments`) at a preset's size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from statistics import fmean
from typing import Any

from xpert.evaluation.experiments import axes_against_models, n_prompts, prompt_domains, thresholds
from xpert.evaluation.experiments.decomposing import Settings
from xpert.evaluation.experiments.pool import ProbedPool, UserRows, embedded_users
from xpert.evaluation.results import Chart, Series, Table
from xpert.evaluation.suite.context import N_CANDIDATES, Context, Findings

__all__ = ["figure_7", "table_1", "table_2", "table_8", "table_9"]

_USERS = ((1.0, 50), (0.3, 20))
"""Similarity and texts of the two kinds of users."""


def table_1(context: Context) -> Findings:
    """The domain of the prompts."""
    rows = prompt_domains.prompt_domains(context.domains, n_prompts=context.preset.set_size)
    table = Table(title="Null-centred (in brackets raw, where it differs)", markdown=prompt_domains.to_table(rows))
    return Findings(tables=[table], rows=[asdict(row) for row in rows])


def table_2(context: Context) -> Findings:
    """Sub-vectors and candidates examined against the size of the pool."""
    n, preset = len(context.models), context.preset
    counts = sorted({count for count in axes_against_models.COUNTS if count < n} | {n})
    rows = axes_against_models.axes_against_models(
        context.pool, _settings(context), counts=counts, n_orders=preset.orders, seed=context.seed
    )
    names = list(dict.fromkeys(row.settings.name for row in rows))
    series = [
        Series(
            name=name,
            x=[row.n_models for row in rows if row.settings.name == name],
            y=[fmean(row.n_subvectors) for row in rows if row.settings.name == name],
        )
        for name in names
    ]
    chart = Chart(title="Sub-vectors against models", x_label="models", y_label="sub-vectors", series=series)
    table = Table(title="Means and ranges over orders of the models", markdown=axes_against_models.to_table(rows))
    return Findings(tables=[table], charts=[chart], rows=[asdict(row) for row in rows])


def table_8(context: Context) -> Findings:
    """The orthogonality threshold."""
    return _thresholds(context, thresholds.orthogonality_threshold)


def table_9(context: Context) -> Findings:
    """The decomposition threshold."""
    return _thresholds(context, thresholds.decomposition_threshold)


def figure_7(context: Context) -> Findings:
    """The number of prompts."""
    pool = context.domains["general"]
    n = len(pool.prompts)
    numbers = sorted({number for number in n_prompts.NUMBERS if number < n} | {n})
    rows = n_prompts.error_by_n_prompts(pool, numbers=numbers, seed=context.seed)
    xs = [row.n_prompts for row in rows]
    chart = Chart(
        title="Error against prompts",
        x_label="prompts",
        y_label="cosine distance to the embedding from all",
        series=[
            Series(name="measured", x=xs, y=[row.centred for row in rows]),
            Series(name="predicted", x=xs, y=[row.predicted for row in rows]),
        ],
        log=True,
    )
    table = Table(title="Mean cosine distances, null-centred but for `raw`", markdown=n_prompts.to_table(rows))
    return Findings(tables=[table], charts=[chart], rows=[asdict(row) for row in rows])


def _thresholds(
    context: Context, vary: Callable[[ProbedPool, UserRows, Settings], Sequence[thresholds.ThresholdRow]]
) -> Findings:
    tables: list[Table] = []
    rows: dict[str, Any] = {}
    for similarity, n_texts in _USERS:
        users = context.users(similarity, n_texts)
        found = vary(
            context.pool,
            embedded_users(users, context.said_by_base(users), context.summarizer),
            _settings(context)[0],
        )
        name = f"Users with {n_texts} texts of which {100 * similarity:.0f}% are in their style"
        tables.append(Table(title=name, markdown=thresholds.to_table(found)))
        rows[name] = [asdict(row) for row in found]
    return Findings(tables=tables, rows=rows)


def _settings(context: Context) -> list[Settings]:
    """The summarizer's own, the same with all candidates, the paper's."""
    said = context.summarizer.defaults
    own = Settings(name="its own", eps_orth=said.eps_orth, eps_dec=said.eps_dec, max_candidates=said.max_candidates)
    free = Settings(name=f"its own, {N_CANDIDATES} candidates", eps_orth=said.eps_orth, eps_dec=said.eps_dec)
    return [own, free, Settings(name="the paper's, (0.1, 0.2)", eps_orth=0.1, eps_dec=0.2)]
