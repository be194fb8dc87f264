"""Is a merged model where the weighted sum of its members' coordinates says? Merges are probed as any model is, and compared.

An explanation is linear in the answers' embeddings, but answers are not linear in the weights: what a merged model says is not a
mixture of what its members say. So the sum is a prediction, and this measures how good it is.
"""

from __future__ import annotations

import itertools
import random
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from xpert.catalog import Catalog
from xpert.evaluation.experiments.tables import markdown, percent
from xpert.merger import Merger
from xpert.modalities import load_modality
from xpert.protocols import Summarizer
from xpert.selector import Selector
from xpert.types import Array, Example, MergePlan

__all__ = ["MergedPlace", "draw_merges", "draw_pairs", "merged_places", "merged_places_table"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MergedPlace:
    """One merge, predicted and probed.

    Attributes:
        weights: Model to weight.
        within: Share of the axes on which both agree within two standard errors of their difference.
        within_named: The same of the axes that are words.
        distance: Between the two places in the embedding space, as a fraction of the predicted one's length.
        noise: What that distance would be by the standard errors alone.
        cosine: Of the two places.
        length: Of the probed place, as a fraction of the predicted one's.
        nearest_member: Distance from the probed place to the nearest member's at weight 1, as the same fraction.
        apart: Between the two members that lie farthest from each other, as the same fraction.
    """

    weights: Mapping[str, float]
    within: float
    within_named: float
    distance: float
    noise: float
    cosine: float
    length: float
    nearest_member: float
    apart: float

    def to_dict(self) -> dict[str, Any]:
        """The row for JSON."""
        return asdict(self)


def draw_merges(names: Sequence[str], n: int, seed: int) -> list[dict[str, float]]:
    """Merges of two and three models in turn, at weights that sum to 1 (equal ones) or come near it."""
    rng = random.Random(seed)
    found: list[dict[str, float]] = []
    for i in range(n):
        members = rng.sample(list(names), 2 + i % 2)
        shares = [1.0 / len(members)] * len(members) if i % 4 < 2 else [rng.uniform(0.2, 0.6) for _ in members]
        found.append(dict(zip(members, shares, strict=True)))
    return found


def draw_pairs(names: Sequence[str], n: int, seed: int) -> dict[int, list[dict[str, float]]]:
    """Merges of two models in equal parts, by how many of their properties they share (``a-b-c`` has three): ``n`` of each number.

    >>> draw_pairs(["expert-concise-poetic", "expert-concise-sassy", "expert-informative-poetic"], 1, 0)
    {2: [{'expert-concise-poetic': 0.5, 'expert-informative-poetic': 0.5}], 1: [{'expert-concise-sassy': 0.5, 'expert-informative-poetic': 0.5}]}
    """
    rng = random.Random(seed)
    by: dict[int, list[tuple[str, str]]] = {}
    for one, other in itertools.combinations(names, 2):
        shared = sum(a == b for a, b in zip(one.split("-"), other.split("-"), strict=True))
        by.setdefault(shared, []).append((one, other))
    drawn = {shared: rng.sample(pairs, min(n, len(pairs))) for shared, pairs in sorted(by.items(), reverse=True)}
    return {shared: [dict.fromkeys(pair, 0.5) for pair in pairs] for shared, pairs in drawn.items()}


def merged_places(
    catalog: Catalog,
    summarizer: str | Summarizer,
    base: str,
    merges: Sequence[Mapping[str, float]],
    *,
    out: Path,
) -> list[MergedPlace]:
    """Merge, probe and compare.

    Args:
        catalog: The members, with the base's answers to the probe prompts.
        summarizer: The catalog's.
        base: Reference of the base.
        merges: Model to weight, of each.
        out: Folder for the merged models; it is emptied afterwards.

    Raises:
        xpert.errors.XpertError: Whatever the steps raise.
    """
    made = catalog.provenance
    prompts = [str(answer.prompt) for answer in catalog.base_answers]
    stored = [answer.response for answer in catalog.base_answers]
    selector, found = Selector(catalog, summarizer), list[MergedPlace]()
    try:
        with load_modality(made.modality, made.settings).open(base) as prober:
            for weights in merges:
                plan = MergePlan(weights=dict(weights), distance_before=0.0, distance_after=0.0)
                folder = Merger(catalog, base=base).merge(plan, out / "merged")
                answers = prober.answer(str(folder), prompts, made.generation)
                examples = [Example(prompt=p, response=a) for p, a in zip(prompts, answers, strict=True)]
                place = selector.locate(examples, stored)
                found.append(_compared(catalog, weights, place.values, place.stderr))
                shutil.rmtree(folder)
    finally:
        shutil.rmtree(out, ignore_errors=True)
    return found


def merged_places_table(
    rows: Sequence[MergedPlace], groups: Sequence[object] | None = None, by: str = "members"
) -> str:
    """Means over the merges, as Markdown, by the number of members or by other groups.

    Args:
        rows: The merges.
        groups: Of each merge; None: its number of members.
        by: What the groups are.
    """
    lines: list[list[object]] = []
    names = [field.name for field in fields(MergedPlace)][1:]
    members = [len(row.weights) for row in rows]
    of = members if groups is None else list(groups)
    for group in sorted(set(members)) if groups is None else dict.fromkeys(of):
        some = [row for row, own in zip(rows, of, strict=True) if own == group]
        mean = {name: float(np.mean([getattr(row, name) for row in some])) for name in names}
        within = [percent(mean["within"]), percent(mean["within_named"])]
        told = ("distance", "noise", "nearest_member", "apart", "cosine", "length")
        lines.append([group, len(some), *within, *(f"{mean[name]:.2f}" for name in told)])
    header = [by, "merges", "axes within 2 errors", "words within 2 errors", "distance", "by noise alone"]
    return markdown([*header, "to the nearest member", "members apart", "cosine", "length"], lines)


def _compared(catalog: Catalog, weights: Mapping[str, float], probed: Array, errors: Array) -> MergedPlace:
    places = [catalog.names.index(name) for name in weights]
    w, basis = np.array(list(weights.values())), catalog.basis
    predicted = w @ catalog.coordinates[places].astype(np.float64)
    variance = errors.astype(np.float64) ** 2 + (w**2) @ catalog.stderr[places].astype(np.float64) ** 2
    agrees = np.abs(probed - predicted) <= 2 * np.sqrt(variance)
    words = np.array([axis.kind == "word" for axis in basis.axes])
    vectors = basis.vectors.astype(np.float64)
    there, here = predicted @ vectors, probed @ vectors
    members = catalog.coordinates[places].astype(np.float64) @ vectors
    length = float(np.linalg.norm(there))
    return MergedPlace(
        weights=dict(weights),
        within=float(agrees.mean()),
        within_named=float(agrees[words].mean()),
        distance=float(np.linalg.norm(here - there)) / length,
        noise=float(np.sqrt(variance @ (vectors**2).sum(1))) / length,
        cosine=float(here @ there) / float(np.linalg.norm(here)) / length,
        length=float(np.linalg.norm(here)) / length,
        nearest_member=float(np.linalg.norm(members - here, axis=1).min()) / length,
        apart=float(np.linalg.norm(members[:, None] - members[None], axis=2).max()) / length,
    )
