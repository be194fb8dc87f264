"""A merged model as one more model of its catalog, without being probed: its place is the weighted sum of its members' places."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from xpert.catalog import Catalog
from xpert.catalog_pairs import PairRows
from xpert.errors import SettingsError
from xpert.provenance import Fit
from xpert.references import describe, portable
from xpert.types import Array, MergePlan, ModelCard

__all__ = ["with_merged"]


def with_merged(catalog: Catalog, plan: MergePlan, reference: str | Path, name: str) -> Catalog:
    """The catalog with a merged model as its last one.

    Its coordinates are ``sum_i w_i z_i``, their standard errors those of a sum of independent estimates; embedding and pair rows,
    where the catalog has them, are summed likewise, so that the catalog can still grow. ``docs/merging.md`` tells how far a model
    that is really probed lies from there.

    Args:
        catalog: The catalog that the plan was made with.
        plan: What was merged.
        reference: Where `xpert.merger.Merger.merge` has put it.
        name: What it is to be called.

    Raises:
        xpert.errors.SettingsError: The name is taken, or the plan is empty.
        xpert.errors.ReferenceNotFoundError: The plan names a model that the catalog lacks, or there is no model at the reference.
    """
    if name in catalog.names:
        raise SettingsError(f"name: the catalog has a model {name!r} already: give another name")
    if not plan.weights:
        raise SettingsError("the plan is empty: expected at least one model with a weight")
    cards = [catalog.card(member) for member in plan.weights]
    places = [catalog.names.index(member) for member in plan.weights]
    weights = np.array(list(plan.weights.values()), np.float64)
    info = describe(reference)
    card = ModelCard(
        name=name,
        reference=portable(reference),
        kind=info.kind,
        base=catalog.provenance.base,
        bytes=info.bytes,
        licence=_one({card.licence for card in cards}),
        sha256=info.sha256,
        candidates=_union([card.candidates for card in cards]),
    )
    provenance = catalog.provenance
    fits = {**provenance.fits, name: _fit([provenance.fits[member] for member in plan.weights], weights)}
    return replace(
        catalog,
        provenance=replace(provenance, fits=fits),
        models=(*catalog.models, card),
        coordinates=np.vstack([catalog.coordinates, _sum(catalog.coordinates[places], weights)]),
        stderr=np.vstack([catalog.stderr, np.sqrt(_sum(catalog.stderr[places] ** 2, weights**2))]),
        embeddings=None
        if catalog.embeddings is None
        else np.vstack([catalog.embeddings, _sum(catalog.embeddings[places], weights)]),
        pairs=None if catalog.pairs is None else _grown(catalog.pairs, places, weights),
    )


def _fit(fits: Sequence[Fit], weights: np.ndarray[tuple[int], np.dtype[np.float64]]) -> Fit:
    """How well the axes describe the sum: the members' mean by weight, as nothing was measured anew."""
    share = np.abs(weights) / np.abs(weights).sum() if weights.any() else np.full(len(fits), 1 / len(fits))
    names = ("residual", "named_share", "measured_share", "unnamed_share")
    residual, named, measured, unnamed = (float(share @ [getattr(fit, name) for fit in fits]) for name in names)
    known = set(fits[0].reliability).intersection(*(fit.reliability for fit in fits))
    return Fit(
        residual=residual,
        named_share=named,
        measured_share=measured,
        unnamed_share=unnamed,
        converged=all(fit.converged for fit in fits),
        reliability={axes: float(share @ [fit.reliability[axes] for fit in fits]) for axes in sorted(known)},
    )


def _sum(rows: Array, weights: np.ndarray[tuple[int], np.dtype[np.float64]]) -> Array:
    return np.tensordot(weights, rows.astype(np.float64), 1).astype(np.float32)[None]


def _grown(pairs: PairRows, places: Sequence[int], weights: np.ndarray[tuple[int], np.dtype[np.float64]]) -> PairRows:
    models, *shape = pairs.shape
    grown = PairRows.empty((models + 1, shape[0], shape[1]), pairs.made_by)
    for model, rows in enumerate(pairs):
        grown.put(model, rows)
    grown.put(models, _sum(np.stack([pairs[place] for place in places]), weights)[0])
    return grown


def _union(words: Sequence[Sequence[str]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(word for some in words for word in some))


def _one(licences: set[str | None]) -> str | None:
    """The members' licence where they have one and the same, else none is claimed."""
    return licences.pop() if len(licences) == 1 else None
