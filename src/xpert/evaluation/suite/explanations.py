"""Tables 1, 2, 8, 9 and Figure 7 (`xpert.evaluation.experiments`) at a preset's size."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from statistics import fmean
from typing import Literal

from xpert.evaluation.experiments import axes_against_models, n_prompts, prompt_domains, thresholds
from xpert.evaluation.experiments.decomposing import Settings
from xpert.evaluation.experiments.pool import ProbedPool, UserRows, embedded_users
from xpert.evaluation.experiments.tables import AXES_TOLD
from xpert.evaluation.results import Chart, Series, Table
from xpert.evaluation.suite.context import N_CANDIDATES, Context, Findings
from xpert.space import AxesName

__all__ = ["figure_7", "table_1", "table_2", "table_8", "table_9", "threshold_chart"]

_USERS = ((1.0, 50), (0.3, 20))
"""Similarity and texts of the two kinds of users."""
_DRAWN: Sequence[AxesName] = ("all", "named")


def table_1(context: Context) -> Findings:
    """The domain of the prompts."""
    rows = prompt_domains.prompt_domains(context.domains, n_prompts=context.preset.set_size)
    table = Table(title="Null-centred (in brackets raw, where it differs)", markdown=prompt_domains.to_table(rows))
    return Findings(
        tables=[table],
        charts=[_domains_chart(rows)],
        rows=[asdict(row) for row in rows],
        weights=_of_domains(context),
    )


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
    return Findings(tables=[table], charts=[chart], rows=[asdict(row) for row in rows], weights=context.weights())


def table_8(context: Context) -> Findings:
    """The orthogonality threshold."""
    return _thresholds(context, thresholds.orthogonality_threshold, "eps_orth")


def table_9(context: Context) -> Findings:
    """The decomposition threshold."""
    return _thresholds(context, thresholds.decomposition_threshold, "eps_dec")


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
    return Findings(tables=[table], charts=[chart], rows=[asdict(row) for row in rows], weights=_of_domains(context))


def _thresholds(
    context: Context,
    vary: Callable[[ProbedPool, UserRows, Settings], Sequence[thresholds.ThresholdRow]],
    threshold: Literal["eps_orth", "eps_dec"],
) -> Findings:
    tables: list[Table] = []
    found: dict[str, Sequence[thresholds.ThresholdRow]] = {}
    for similarity, n_texts in _USERS:
        users = context.users(similarity, n_texts)
        rows = vary(
            context.pool,
            embedded_users(users, context.said_by_base(users), context.summarizer),
            _settings(context)[0],
        )
        name = f"Users with {n_texts} texts of which {100 * similarity:.0f}% are in their style"
        tables.append(Table(title=name, markdown=thresholds.to_table(rows)))
        found[name] = rows
    return Findings(
        tables=tables,
        charts=[threshold_chart(found, threshold)],
        rows={name: [asdict(row) for row in rows] for name, rows in found.items()},
        weights=context.weights(),
    )


def threshold_chart(
    found: Mapping[str, Sequence[thresholds.ThresholdRow]], threshold: Literal["eps_orth", "eps_dec"]
) -> Chart:
    """Users whose model is found, and models that the words explain, against a threshold.

    Args:
        found: Kind of user to rows of thresholds; which words there are does not depend on the users.
        threshold: That was varied.
    """

    def series(name: str, rows: Sequence[thresholds.ThresholdRow], values: Sequence[float]) -> Series:
        return Series(
            name=name, x=[getattr(row.settings, threshold) for row in rows], y=[100 * value for value in values]
        )

    some = next(iter(found.values()))
    right = [
        series(f"right by {AXES_TOLD[axes]}: {name[:1].lower()}{name[1:]}", rows, [row.accuracy[axes] for row in rows])
        for name, rows in found.items()
        for axes in _DRAWN
    ]
    return Chart(
        title=f"Right models against {threshold}",
        x_label=threshold,
        y_label="percent",
        series=[*right, series("models within eps_dec", some, [row.converged for row in some])],
    )


def _of_domains(context: Context) -> dict[str, str]:
    return context.weights([context.models[name] for name in context.domains["general"].models])


def _settings(context: Context) -> list[Settings]:
    """The summarizer's own, the same with all candidates, the paper's."""
    said = context.summarizer.defaults
    own = Settings(name="its own", eps_orth=said.eps_orth, eps_dec=said.eps_dec, max_candidates=said.max_candidates)
    free = Settings(name=f"its own, {N_CANDIDATES} candidates", eps_orth=said.eps_orth, eps_dec=said.eps_dec)
    return [own, free, Settings(name="the paper's, (0.1, 0.2)", eps_orth=0.1, eps_dec=0.2)]


def _domains_chart(rows: Sequence[prompt_domains.DomainRow]) -> Chart:
    """A model's embeddings by prompts of two domains, beside the two yardsticks: means, and the range over domains."""
    models = list(dict.fromkeys(row.model for row in rows))

    def series(kind: str, name: str) -> Series:
        own = [[row.centred for row in rows if (row.kind, row.model) == (kind, model)] for model in models]
        x, y = list(range(len(models))), [fmean(values) for values in own]
        return Series(name=name, x=x, y=y, low=[min(values) for values in own], high=[max(values) for values in own])

    told = {"domains": "prompts of two domains", "halves": "two sets of prompts of one", "models": "the other models"}
    return Chart(
        title="Distance of a model's embeddings",
        x_label="model",
        y_label="cosine distance, null-centred",
        names=models,
        series=[series(kind, name) for kind, name in told.items() if any(row.kind == kind for row in rows)],
    )
