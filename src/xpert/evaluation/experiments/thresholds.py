"""Tables 8 and 9 of the paper: the two thresholds of the decomposition against candidates, axes and accuracy.

Source: Wang et al. 2025 (arXiv 2504.13938), section 7.4, Tables 8 and 9. Axes, residual and the accuracy of words with measured
quantities, or with all axes, are ours; the paper's accuracy is that of its words alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from xpert.evaluation.experiments.decomposing import Settings, accuracies, word_basis
from xpert.evaluation.experiments.pool import ProbedPool, UserRows
from xpert.evaluation.experiments.tables import markdown, percent
from xpert.space import AXES, AxesName, Metric

__all__ = ["EPS_DEC", "EPS_ORTH", "ThresholdRow", "decomposition_threshold", "orthogonality_threshold", "to_table"]

EPS_ORTH = (0.01, 0.1, 0.5)
EPS_DEC = (0.02, 0.2, 0.6)


@dataclass(frozen=True, slots=True, kw_only=True)
class ThresholdRow:
    """One pair of thresholds.

    Attributes:
        settings: The thresholds.
        n_examined: Candidate words examined. n_offered: Different ones of all models.
        n_subvectors: Word axes.
        converged: Share of models that meet Eq. 3.
        residual: Mean residual, as a fraction of the norm.
        accuracy: By choice of axes, the share of users nearest to the model of their style.
    """

    settings: Settings
    n_examined: int
    n_offered: int
    n_subvectors: int
    converged: float
    residual: float
    accuracy: Mapping[AxesName, float]


def orthogonality_threshold(
    pool: ProbedPool, users: UserRows, start: Settings, *, values: Sequence[float] = EPS_ORTH
) -> list[ThresholdRow]:
    """Table 8: other values of ``eps_orth``, and the start's own; all else as in ``start``.

    Args:
        pool: Models, with candidates and their sub-vectors.
        users: Whose models are looked for.
        start: The other settings.
        values: Of ``eps_orth``.
    """
    every = sorted({*values, start.eps_orth})
    return [_row(pool, users, replace(start, eps_orth=value)) for value in every]


def decomposition_threshold(
    pool: ProbedPool, users: UserRows, start: Settings, *, values: Sequence[float] = EPS_DEC
) -> list[ThresholdRow]:
    """Table 9: other values of ``eps_dec``, and the start's own; arguments as in `orthogonality_threshold`."""
    every = sorted({*values, start.eps_dec})
    return [_row(pool, users, replace(start, eps_dec=value)) for value in every]


def to_table(rows: Sequence[ThresholdRow]) -> str:
    """A pair of thresholds a row."""
    by = {"all": "all axes", "named": "words alone", "named+measured": "words, measured"}
    header = ["`eps_orth`", "`eps_dec`", "examined", "offered", "sub-vectors", "converged", "residual"]
    cells = [
        [
            f"{row.settings.eps_orth:g}",
            f"{row.settings.eps_dec:g}",
            row.n_examined,
            row.n_offered,
            row.n_subvectors,
            percent(row.converged),
            f"{row.residual:.2f}",
            *(f"{100 * row.accuracy[axes]:.1f}%" for axes in AXES),
        ]
        for row in rows
    ]
    return markdown([*header, *(f"right: {by[axes]}" for axes in AXES)], cells)


def _row(pool: ProbedPool, users: UserRows, settings: Settings, metric: Metric = "direction") -> ThresholdRow:
    words = word_basis(pool, settings)
    return ThresholdRow(
        settings=settings,
        n_examined=words.n_examined,
        n_offered=words.n_offered,
        n_subvectors=len(words.basis),
        converged=words.converged,
        residual=words.residual,
        accuracy=accuracies(pool, users, words, metric=metric),
    )
