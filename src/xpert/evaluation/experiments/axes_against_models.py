"""Table 2 of the paper: how many sub-vectors a pool needs, and how many candidate words are examined, against its size.

Algorithm 1 takes models one after another, so the counts depend on who comes first: models are drawn in several orders, and a smaller
pool is the beginning of the larger one's order.

Source: Wang et al. 2025 (arXiv 2504.13938), section 4.2, Table 2. Several orders, the residual and who converged are ours.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from xpert.errors import DataError
from xpert.evaluation.experiments.decomposing import Settings, word_basis
from xpert.evaluation.experiments.pool import ProbedPool
from xpert.evaluation.experiments.tables import markdown, percent, spread

__all__ = ["COUNTS", "AxesRow", "axes_against_models", "to_table"]

COUNTS = (4, 8, 16, 28)


@dataclass(frozen=True, slots=True, kw_only=True)
class AxesRow:
    """A pool of one size by one setting, over orders of the models.

    Attributes:
        settings: How it was decomposed.
        n_models: Size of the pool.
        n_subvectors: Word axes, an entry an order.
        n_examined: Candidate words examined, an entry an order.
        n_offered: Different candidate words of all models of the pool, an entry an order: no more could be examined.
        converged: Mean share of models that meet Eq. 3.
        residual: Mean residual, as a fraction of the norm.
    """

    settings: Settings
    n_models: int
    n_subvectors: tuple[int, ...]
    n_examined: tuple[int, ...]
    n_offered: tuple[int, ...]
    converged: float
    residual: float


def axes_against_models(
    pool: ProbedPool, settings: Sequence[Settings], *, counts: Sequence[int] = COUNTS, n_orders: int = 10, seed: int = 0
) -> list[AxesRow]:
    """Sub-vectors and candidates examined for pools of several sizes.

    Args:
        pool: All models, with candidates and their sub-vectors.
        settings: Each is a block of rows.
        counts: Sizes of pools.
        n_orders: Orders of the models.
        seed: Of the orders.

    Raises:
        xpert.errors.DataError: A size that the pool has not, or no orders.
    """
    if n_orders < 1 or not all(1 <= count <= len(pool.models) for count in counts):
        raise DataError(
            f"models: expected 1 order or more and sizes from 1 to {len(pool.models)}, got {n_orders}, {counts}"
        )
    rng = random.Random(seed)
    orders = [rng.sample(range(len(pool.models)), len(pool.models)) for _ in range(n_orders)]
    rows: list[AxesRow] = []
    for setting in settings:
        for count in counts:
            found = [word_basis(pool.of_models(order[:count]), setting) for order in orders]
            rows.append(
                AxesRow(
                    settings=setting,
                    n_models=count,
                    n_subvectors=tuple(len(words.basis) for words in found),
                    n_examined=tuple(words.n_examined for words in found),
                    n_offered=tuple(words.n_offered for words in found),
                    converged=fmean(words.converged for words in found),
                    residual=fmean(words.residual for words in found),
                )
            )
    return rows


def to_table(rows: Sequence[AxesRow]) -> str:
    """A setting and a size a row; means, and ranges over the orders."""
    header = ["setting", "models", "sub-vectors", "candidates examined", "offered", "models converged", "residual"]
    cells = [
        [
            row.settings.name,
            row.n_models,
            spread(row.n_subvectors),
            spread(row.n_examined),
            spread(row.n_offered),
            percent(row.converged),
            f"{row.residual:.2f}",
        ]
        for row in rows
    ]
    return markdown(header, cells)
