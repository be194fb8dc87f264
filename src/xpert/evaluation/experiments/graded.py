"""Figure 15 of the paper: whether distances between models grow with the difference of their levels.

Two scales of the zoo's corpus, expertise and formality, have four levels each. Each level is a recorded model whose answers are the
corpus's, to prompts that no model of the zoo was asked; the base's are its own. Distances are L1 distances of
coordinates, over all axes of the catalog.

Source: Wang et al. 2025 (arXiv 2504.13938), section 7.5, Figures 14 and 15.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from xpert.catalog import Catalog
from xpert.decompose import CoefficientRule
from xpert.evaluation.experiments.tables import markdown
from xpert.evaluation.mixtures import recorded_models
from xpert.explainer import Explainer
from xpert.protocols import Summarizer
from xpert.types import Example

__all__ = ["GradedRow", "graded_catalog", "graded_rows", "to_table"]


@dataclass(frozen=True, slots=True, kw_only=True)
class GradedRow:
    """One level of one scale.

    Attributes:
        scale: Its name.
        level: From 1.
        distances: L1 distance to each level of the scale, its own (0) among them.
    """

    scale: str
    level: int
    distances: tuple[float, ...]

    @classmethod
    def from_dict(cls, row: Mapping[str, Any]) -> GradedRow:
        """As it was read from a JSON file."""
        return cls(scale=row["scale"], level=row["level"], distances=tuple(row["distances"]))

    @property
    def grows(self) -> bool:
        """Whether, on either side, every level farther away has the larger distance."""
        own = self.level - 1
        below, above = self.distances[: own + 1][::-1], self.distances[own:]
        return all(a < b for side in (below, above) for a, b in pairwise(side))


def graded_catalog(
    base: Mapping[str, str],
    models: Mapping[str, Sequence[Example]],
    summarizer: Summarizer,
    *,
    folder: Path,
    seed: int = 0,
    coefficients: CoefficientRule = "projection",
    cache: Path | None = None,
) -> Catalog:
    """The catalog of recorded models, by the public API and the summarizer's own defaults but for the coefficients.

    Args:
        base: Prompt to the base's answer.
        models: Name to answers, to the same prompts.
        summarizer: Who explains.
        folder: Gets the recorded models.
        seed: Of the explanation.
        coefficients: Whose L1 distances are meant: the paper's projections (Eq. 2), or the library's least squares. Where axes are not at
            right angles, the latter are large with opposite signs, and their L1 distance says little of how far two embeddings are apart.
        cache: Folder that keeps embeddings and sub-vectors; None: nowhere.

    Raises:
        xpert.errors.XpertError: Whatever explaining raises.
    """
    told = {name: {str(example.prompt): example.response for example in own} for name, own in models.items()}
    reference, recorded = recorded_models(folder, base, told)
    explainer = Explainer(reference, summarizer, prompts=list(base), seed=seed, coefficients=coefficients, cache=cache)
    return explainer.explain(recorded)


def graded_rows(catalog: Catalog, scales: Mapping[str, Sequence[str]]) -> list[GradedRow]:
    """Every level's distances to the levels of its scale.

    Args:
        catalog: Has a model a level.
        scales: Name to the models of its levels, the lowest first.
    """
    found: list[GradedRow] = []
    for scale, names in scales.items():
        places = np.stack([catalog.coordinates[catalog.row(name)] for name in names]).astype(np.float64)
        away = np.abs(places[:, None] - places[None]).sum(axis=2)
        found += [GradedRow(scale=scale, level=i + 1, distances=tuple(map(float, row))) for i, row in enumerate(away)]
    return found


def to_table(rows: Sequence[GradedRow]) -> str:
    """A level a row."""
    levels = max(len(row.distances) for row in rows)
    header = ["scale", "level", *(f"to level {i + 1}" for i in range(levels)), "grows with the gap"]
    cells = [
        [row.scale, row.level, *(f"{one:.2f}" for one in row.distances), "yes" if row.grows else "no"] for row in rows
    ]
    return markdown(header, cells)
