"""Table 1 of the paper: how little the domain of the prompts matters for a model's embedding.

Beside the distance between domains stand two yardsticks: between two disjoint sets of prompts of *one* domain, of the same size
(sampling noise: a distance between domains that is no larger shows nothing of the domain), and between different models on the same
prompts (what a distance must stay below for the models to be told apart).

Source: Wang et al. 2025 (arXiv 2504.13938), section 4.1, Table 1. Null-centred vectors beside raw ones, and the yardsticks, are ours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np

from xpert.errors import DataError
from xpert.evaluation.experiments.pool import ProbedPool, cosine_distance
from xpert.evaluation.experiments.tables import markdown
from xpert.types import Array

__all__ = ["DomainRow", "prompt_domains", "to_table"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DomainRow:
    """A model's embeddings by two sets of prompts, or two models' by one.

    Attributes:
        kind: ``domains``, ``halves`` of one domain, or ``models``.
        compared: The two domains; the domain twice; or the domain and ``other models``.
        model: Whose embeddings (``models``: the mean over the others).
        raw: Cosine distance of the embeddings as the summarizer gives them.
        centred: The same of null-centred embeddings; equal to ``raw`` for a summarizer that is not centred.
    """

    kind: Literal["domains", "halves", "models"]
    compared: tuple[str, str]
    model: str
    raw: float
    centred: float


def prompt_domains(domains: Mapping[str, ProbedPool], *, n_prompts: int = 50) -> list[DomainRow]:
    """Distances between the embeddings that prompts of different domains give.

    Each domain's embedding is that of its first ``n_prompts`` prompts, so these should be in random order; its second half is
    the next ``n_prompts``, and a domain that has fewer has no row of halves. The null embedding is each set's own.

    Args:
        domains: Name to the pool probed with its prompts; all have the same models.
        n_prompts: Of each set.

    Returns:
        Pairs of domains, then halves, then models; each model after model.

    Raises:
        xpert.errors.DataError: A domain has fewer than ``n_prompts`` prompts, or other models.
    """
    models = next(iter(domains.values())).models
    for name, pool in domains.items():
        if pool.models != models:
            raise DataError(f"domain {name!r}: expected the models {models}, got {pool.models}")
        if len(pool.prompts) < n_prompts:
            raise DataError(f"domain {name!r}: expected {n_prompts} prompts, got {len(pool.prompts)}")
    first = {name: _sets(pool, slice(0, n_prompts)) for name, pool in domains.items()}
    second = {
        name: _sets(pool, slice(n_prompts, 2 * n_prompts))
        for name, pool in domains.items()
        if len(pool.prompts) >= 2 * n_prompts
    }
    rows = [
        _row("domains", (one, other), model, [(a[m], b[m]) for a, b in zip(first[one], first[other], strict=True)])
        for one, other in combinations(domains, 2)
        for m, model in enumerate(models)
    ]
    rows += [
        _row("halves", (name, name), model, [(a[m], b[m]) for a, b in zip(first[name], second[name], strict=True)])
        for name in second
        for m, model in enumerate(models)
    ]
    return rows + [
        DomainRow(kind="models", compared=(name, "other models"), model=model, **_others(first[name], m))
        for name in domains
        for m, model in enumerate(models)
        if len(models) > 1
    ]


def to_table(rows: Sequence[DomainRow]) -> str:
    """As Table 1: a comparison a row, a model a column; null-centred, and in brackets raw where it differs."""
    models = list(dict.fromkeys(row.model for row in rows))
    lines: dict[str, dict[str, str]] = {}
    for row in rows:
        label = {
            "domains": f"{row.compared[0]} against {row.compared[1]}",
            "halves": f"{row.compared[0]}: two sets of prompts",
            "models": f"{row.compared[0]}: the other models (mean)",
        }[row.kind]
        raw = "" if row.raw == row.centred else f" ({row.raw:.4f})"
        lines.setdefault(label, {})[row.model] = f"{row.centred:.3f}{raw}"
    cells = [[label, *(by_model[model] for model in models)] for label, by_model in lines.items()]
    return markdown(["cosine distance", *models], cells)


def _sets(pool: ProbedPool, prompts: slice) -> tuple[Array, Array]:
    """The models' embeddings ``(M, D)`` by some of the prompts: raw, and null-centred."""
    return (
        pool.rows[:, prompts].mean(axis=1, dtype=np.float64),
        pool.centred[:, prompts].mean(axis=1, dtype=np.float64),
    )


def _row(
    kind: Literal["domains", "halves"], compared: tuple[str, str], model: str, pairs: Sequence[tuple[Array, Array]]
) -> DomainRow:
    raw, centred = (cosine_distance(one, other) for one, other in pairs)
    return DomainRow(kind=kind, compared=compared, model=model, raw=raw, centred=centred)


def _others(sets: tuple[Array, Array], m: int) -> dict[str, float]:
    """Mean distance of model ``m`` from each other one."""
    raw, centred = (
        float(np.mean([cosine_distance(rows[m], rows[other]) for other in range(len(rows)) if other != m]))
        for rows in sets
    )
    return {"raw": raw, "centred": centred}
