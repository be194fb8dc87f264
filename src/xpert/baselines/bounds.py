"""The two ends of every comparison: a choice at random, and the right one told beforehand."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass

from xpert.baselines.ranked import check_data, ranked
from xpert.errors import SettingsError
from xpert.references import describe
from xpert.types import CostedSelection, Example, Selection, SelectionCost

__all__ = ["OracleBaseline", "RandomBaseline"]


@dataclass(frozen=True, slots=True)
class RandomBaseline:
    """Draws a model, whatever the data; matches `xpert.protocols.CostedMethod`.

    Attributes:
        models: Name to reference.
        seed: Of the draw.
    """

    models: Mapping[str, str]
    _: KW_ONLY
    seed: int = 0

    def select(
        self, examples: Sequence[Example], base_answers: Sequence[str] | Sequence[Example] | None = None
    ) -> Selection:
        """A random ranking; distances are the places in it.

        Raises:
            xpert.errors.DataError: No examples, or another number of base answers.
            xpert.errors.SettingsError: There are no models.
        """
        return self.run(examples, base_answers).selection

    def run(
        self, examples: Sequence[Example], base_answers: Sequence[str] | Sequence[Example] | None = None
    ) -> CostedSelection:
        """The same, with its cost: the model that was drawn."""
        check_data(examples, base_answers)
        if not self.models:
            raise SettingsError("models: expected at least one, got none")
        names = list(self.models)
        order = random.Random(self.seed).sample(names, len(names))
        return _chosen([(name, float(place)) for place, name in enumerate(order)], self.models, len(examples))


@dataclass(frozen=True, slots=True)
class OracleBaseline:
    """Knows the right model; matches `xpert.protocols.CostedMethod`. What no method can be better than.

    Attributes:
        models: Name to reference.
        right: The right model's name.

    Raises:
        xpert.errors.SettingsError: It is none of the models.
    """

    models: Mapping[str, str]
    right: str

    def __post_init__(self) -> None:
        if self.right not in self.models:
            raise SettingsError(f"right: expected one of {', '.join(self.models)}, got {self.right!r}")

    def select(
        self, examples: Sequence[Example], base_answers: Sequence[str] | Sequence[Example] | None = None
    ) -> Selection:
        """The right model at distance 0, the others at 1.

        Raises:
            xpert.errors.DataError: No examples, or another number of base answers.
        """
        return self.run(examples, base_answers).selection

    def run(
        self, examples: Sequence[Example], base_answers: Sequence[str] | Sequence[Example] | None = None
    ) -> CostedSelection:
        """The same, with its cost: the right model."""
        check_data(examples, base_answers)
        return _chosen([(name, float(name != self.right)) for name in self.models], self.models, len(examples))


def _chosen(distances: Sequence[tuple[str, float]], models: Mapping[str, str], n: int) -> CostedSelection:
    selection = ranked(distances, n)
    size = describe(models[selection.best]).bytes
    cost = SelectionCost(downloaded_bytes=size, models=1, inferences=0, readings=0, seconds=0.0)
    return CostedSelection(selection=selection, cost=cost)
