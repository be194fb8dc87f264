"""What Tables 2, 8 and 9 share: Algorithm 1 on a pool whose sub-vectors are known, and whom its axes match with whom."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from xpert.axes import embedded as in_space
from xpert.axes import with_measured_axes, with_unnamed_axes
from xpert.basis import SubvectorBasis
from xpert.catalog_pairs import PairRows
from xpert.decompose import CoefficientRule, Decomposition, relative_residual
from xpert.evaluation.experiments.pool import ProbedPool, UserRows
from xpert.measured import MEASURED
from xpert.space import AXES, AxesName, Metric, distances, kinds_of, restrict
from xpert.types import Array

__all__ = ["Settings", "WordAxes", "accuracies", "word_basis"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How a pool is decomposed.

    Attributes:
        name: What the tables call it.
        eps_orth: Largest ``|cos|`` of two word axes.
        eps_dec: Residual, as a fraction of the norm, at which a model is done.
        coefficients: ``least-squares``, or the paper's ``projection``.
        max_candidates: Words a model; None: all that the pool has.
    """

    name: str
    eps_orth: float
    eps_dec: float
    coefficients: CoefficientRule = "least-squares"
    max_candidates: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WordAxes:
    """What Algorithm 1 found for a pool.

    Attributes:
        basis: The word axes, in the summarizer's space.
        n_examined: Candidate words whose sub-vector was looked at.
        n_offered: Different candidate words of all models.
        converged: Share of models that meet Eq. 3 on the common basis.
        residual: Mean residual on it, as a fraction of the norm.
    """

    basis: SubvectorBasis
    n_examined: int
    n_offered: int
    converged: float
    residual: float


def word_basis(pool: ProbedPool, settings: Settings) -> WordAxes:
    """The common word axes of a pool, its models in their order.

    Args:
        pool: With candidates and their sub-vectors.
        settings: Thresholds and rule.

    Raises:
        xpert.errors.DataError: A candidate without a sub-vector.

    Source: Wang et al. 2025 (arXiv 2504.13938), Algorithm 1 (`xpert.decompose.algorithm1`).
    """
    if settings.max_candidates is not None:
        pool = pool.at_most(settings.max_candidates)
    embeddings = pool.centred.mean(axis=1, dtype=np.float64).astype(np.float32)
    found: Decomposition
    basis, found = SubvectorBasis.empty(pool.null_mean, settings.coefficients).extend(
        embeddings, pool.candidates, pool.vectors_of, eps_orth=settings.eps_orth, eps_dec=settings.eps_dec
    )
    left = np.array([relative_residual(basis.vectors, e, settings.coefficients) for e in embeddings])
    return WordAxes(
        basis=basis,
        n_examined=found.n_examined,
        n_offered=len(set().union(*pool.candidates)),
        converged=float(np.mean(left <= settings.eps_dec)),
        residual=float(left.mean()),
    )


def accuracies(
    pool: ProbedPool,
    users: UserRows,
    words: WordAxes,
    *,
    measured_weight: float = 0.5,
    max_unnamed: int = 32,
    metric: Metric = "direction",
) -> Mapping[AxesName, float]:
    """By choice of axes, the share of users nearest to the model of their style; 0 where there is no such axis.

    Measured and unnamed axes are added, and distances taken, as `xpert.Explainer` and `xpert.Selector` do.

    Args:
        pool: The models.
        users: Their styles are names of models.
        words: The pool's word axes.
        measured_weight: Of the measured quantities beside the summarizer.
        max_unnamed: Unnamed axes at most.
        metric: How distance is measured.
    """
    width = pool.rows.shape[2]
    pairs = PairRows.empty((len(pool.models), len(pool.prompts), width + len(MEASURED)), {})
    for m, rows in enumerate(np.concatenate([pool.rows - pool.null_mean, pool.measured], axis=2)):
        pairs.put(m, rows)
    models = in_space(pairs, pool.null_mean, weight=measured_weight)
    own = words.basis
    basis = SubvectorBasis.empty(models.null, own.coefficients).appended(own.axes, _wider(own.vectors, len(MEASURED)))
    basis = with_unnamed_axes(with_measured_axes(basis, models, MEASURED), models, most=max_unnamed)
    of_models = basis.project(models.means)
    hidden = users.hidden - pool.null_mean
    of_users = basis.project(np.concatenate([hidden, users.measured * np.float32(models.scale)], axis=1))
    found: dict[AxesName, float] = {}
    for axes in AXES:
        found[axes] = 0.0
        if basis.where(kinds_of(axes)):
            subset, places = restrict(basis, np.vstack([of_models, of_users]), axes)
            near, users_places = places[: len(of_models)], places[len(of_models) :]
            apart = [distances(subset, near, place, metric=metric, axes=axes) for place in users_places]
            right = [pool.models[int(far.argmin())] == style for style, far in zip(users.styles, apart, strict=True)]
            found[axes] = sum(right) / len(right)
    return found


def _wider(rows: Array, by: int) -> Array:
    return np.pad(rows, ((0, 0), (0, by)))
