"""The protocol: users, selected for; right choices, counted. Models at a similarity are `xpert.evaluation.mixtures`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from xpert import Catalog, Example, Selector
from xpert.evaluation.mixtures import mixed_user
from xpert.evaluation.sources import Draw, Source, User
from xpert.protocols import Summarizer

__all__ = ["AXES", "CONDITIONS", "Cell", "right_choices"]

AXES = ("all", "named+measured", "named")
CONDITIONS: Mapping[str, tuple[int, bool, bool]] = {
    "50 pairs": (50, True, False),
    "20 pairs": (20, True, False),
    "10 pairs": (10, True, False),
    "5 pairs": (5, True, False),
    "50 texts without base answers": (50, False, False),
    "50 pairs, mixed as the models": (50, True, True),
}
"""Name to: pairs, whether the user's base answers are given, whether the user's text is mixed at the models' similarity."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One measurement.

    Attributes:
        seed: Of the draw.
        similarity: Percent of a model's answers that are in its style.
        reordered: Whether the unstyled answers of models and users have their sentences in another order than the base's.
    """

    seed: int
    similarity: int
    reordered: bool

    @property
    def file(self) -> str:
        """Name of the cell's result in the work folder."""
        return f"{self.seed}-{self.similarity}-{'reordered' if self.reordered else 'same'}.json"


def right_choices(
    source: Source, draw: Draw, cell: Cell, catalog: Catalog, summarizer: Summarizer
) -> dict[str, dict[str, int]]:
    """Condition to axes to the number of users for whom the model of their style was chosen."""
    selectors = {axes: Selector(catalog, summarizer, axes=axes) for axes in AXES}
    right = {condition: dict.fromkeys(AXES, 0) for condition in CONDITIONS}
    for number, user in enumerate(draw.users):
        for condition, (n, paired, mixed) in CONDITIONS.items():
            texts = _mixed(source, user, number, cell) if mixed else user.examples[:n]
            place = selectors["all"].locate(texts, user.base[:n] if paired else None)
            for axes, selector in selectors.items():
                right[condition][axes] += selector.rank(place, paired=paired).best == user.style
    return right


def _mixed(source: Source, user: User, number: int, cell: Cell) -> list[Example]:
    return mixed_user(source, user, number, similarity=cell.similarity, seed=cell.seed, reordered=cell.reordered)
