"""Figure 7 of the paper: the error of a model's embedding against the number of probe prompts.

The error is the cosine distance to the embedding from all prompts, as in the paper (1,000 there). Beside it stands what the scatter of
single rows predicts: with ``S`` the covariance of the rows across the embedding ``e`` (its part along ``e`` turns nothing), the mean of
``P`` of ``N`` rows drawn without replacement lies ``tr(S) (1/P - 1/N)`` beside ``e`` in mean square, and who lies ``t ||e||`` beside it is
turned by the angle whose tangent is ``t``:

    t^2 = tr(S) (1/P - 1/N) / ||e||^2        predicted = 1 - 1 / sqrt(1 + t^2)

Without the term ``1/N`` it is the distance to the embedding from endless prompts, which no measurement has.

Source: Wang et al. 2025 (arXiv 2504.13938), section 4.1, Figure 7; the prediction is ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from xpert.errors import DataError
from xpert.evaluation.experiments.pool import ProbedPool, cosine_distance
from xpert.evaluation.experiments.tables import markdown
from xpert.types import Array

__all__ = ["NUMBERS", "PromptsRow", "error_by_n_prompts", "to_table"]

NUMBERS = (5, 10, 20, 30, 50, 75, 100, 150, 200)


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptsRow:
    """Embeddings from so many prompts, over models and draws.

    Attributes:
        n_prompts: ``P``.
        raw: Mean cosine distance to the embedding from all prompts, as the summarizer gives it.
        centred: The same of null-centred embeddings.
        centred_worst: The largest over models of a model's mean over draws, null-centred.
        predicted: What the scatter of the rows predicts for ``centred``.
        predicted_endless: The same to the embedding from endless prompts.
    """

    n_prompts: int
    raw: float
    centred: float
    centred_worst: float
    predicted: float
    predicted_endless: float


def error_by_n_prompts(
    pool: ProbedPool, *, numbers: Sequence[int] = NUMBERS, n_draws: int = 50, seed: int = 0
) -> list[PromptsRow]:
    """How far embeddings from few prompts are from the one from all.

    Args:
        pool: Models probed with ``N`` prompts.
        numbers: Prompts of a draw; ``N`` itself has error 0.
        n_draws: Draws of prompts, the same ones for all models.
        seed: Of the draws.

    Raises:
        xpert.errors.DataError: A number is above ``N`` or below 1, or there are fewer than 2 prompts.
    """
    n = len(pool.prompts)
    if n < 2 or not all(1 <= number <= n for number in numbers):
        raise DataError(f"prompts: expected numbers from 1 to {n}, the prompts of the pool (2 or more), got {numbers}")
    rng = np.random.default_rng(seed)
    centred = pool.centred
    scatter = np.array([_scatter(rows) for rows in centred])
    found: list[PromptsRow] = []
    for number in numbers:
        draws = [rng.choice(n, number, replace=False) for _ in range(n_draws)]
        by_model = [_error(rows, draws) for rows in centred]
        found.append(
            PromptsRow(
                n_prompts=number,
                raw=float(np.mean([_error(rows, draws) for rows in pool.rows])),
                centred=float(np.mean(by_model)),
                centred_worst=float(np.max(by_model)),
                predicted=_turned(scatter * (1 / number - 1 / n)),
                predicted_endless=_turned(scatter / number),
            )
        )
    return found


def to_table(rows: Sequence[PromptsRow]) -> str:
    """A number of prompts a row."""
    header = ["prompts", "raw", "null-centred", "worst model", "predicted", "predicted, endless prompts"]
    cells = [
        [
            row.n_prompts,
            f"{row.raw:.5f}",
            f"{row.centred:.4f}",
            f"{row.centred_worst:.4f}",
            f"{row.predicted:.4f}",
            f"{row.predicted_endless:.4f}",
        ]
        for row in rows
    ]
    return markdown(header, cells)


def _error(rows: Array, draws: Sequence[np.ndarray]) -> float:
    """Mean over draws of the distance between the mean of some rows and the mean of all."""
    whole = rows.mean(axis=0, dtype=np.float64)
    return float(np.mean([cosine_distance(rows[draw].mean(axis=0, dtype=np.float64), whole) for draw in draws]))


def _scatter(rows: Array) -> float:
    """``tr(S) / ||e||^2`` of rows ``(N, D)``, ``S`` across their mean ``e``."""
    mean = rows.mean(axis=0, dtype=np.float64)
    square = float(mean @ mean)
    if square == 0:
        return float("nan")
    away = rows - mean
    across = (away**2).sum() - ((away @ mean) ** 2).sum() / square
    return float(across) / (len(rows) - 1) / square


def _turned(squares: np.ndarray) -> float:
    """Mean cosine distance of angles with these squared tangents."""
    return float(np.mean(1 - 1 / np.sqrt(1 + squares)))
