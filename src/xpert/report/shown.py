"""What a report shows of a catalog: which models, where they are, and what of that is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from xpert.catalog import Catalog
from xpert.report.nearness import Neighbour, nearest_others
from xpert.types import Array, Explanation, ModelCard, Selection

__all__ = ["Shown", "shown_of"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Shown:
    """The models that a report shows.

    Attributes:
        catalog: Theirs.
        rows: Their rows in it.
        cards: Their cards. explanations: Themselves in words.
        coordinates: ``(N, K)``. stderr: ``(N, K)``.
        neighbours: Each one's nearest other among them.
    """

    catalog: Catalog
    rows: Sequence[int]
    cards: Sequence[ModelCard]
    explanations: Sequence[Explanation]
    coordinates: Array
    stderr: Array
    neighbours: Sequence[Neighbour]

    @property
    def names(self) -> list[str]:
        """The models' names."""
        return [card.name for card in self.cards]

    @property
    def whole(self) -> bool:
        """Whether these are all models of the catalog."""
        return len(self.rows) == len(self.catalog)

    @property
    def too_near(self) -> list[Neighbour]:
        """Pairs that cannot be told apart, each once, the nearest first."""
        found: dict[frozenset[int], Neighbour] = {}
        for one in self.neighbours:
            if not one.told_apart:
                found.setdefault(frozenset((one.row, one.other)), one)
        return sorted(found.values(), key=lambda one: one.distance)


def shown_of(catalog: Catalog, most: int, selection: Selection | None = None) -> Shown:
    """The first ``most`` models of the catalog; with a selection those that it ranks first, nearest first."""
    ranked = [] if selection is None else [catalog.row(name) for name, _ in selection.ranking[:most]]
    first = [row for row in range(min(len(catalog), most + len(ranked))) if row not in set(ranked)]
    rows = [*ranked, *first][:most]
    if len(rows) == len(catalog):
        rows = list(range(len(catalog)))
    cards = [catalog.models[row] for row in rows]
    z, errors = np.asarray(catalog.coordinates[rows]), np.asarray(catalog.stderr[rows])
    reliable = [catalog.provenance.fits[card.name].reliability.get("all") for card in cards]
    return Shown(
        catalog=catalog,
        rows=rows,
        cards=cards,
        explanations=[catalog[card.name] for card in cards],
        coordinates=z,
        stderr=errors,
        neighbours=nearest_others(catalog.basis, z, errors, reliable),
    )
