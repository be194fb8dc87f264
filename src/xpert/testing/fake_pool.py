"""A pool of models with planted losses, for searches: no model is there, and every inference is counted."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np

from xpert.types import Array, Example

__all__ = ["PlantedPool"]


class PlantedPool:
    """Matches `xpert.baselines.pool.SearchedPool`.

    Args:
        losses: Model to its loss; an example's own lies within ``spread`` of it, drawn from model and text.
        spread: How far. Below half the gap between two models, every sample tells them apart.
        size: What each model weighs in bytes.

    Attributes:
        asked: Model to the samples it was asked for.
        held: Models in memory now.
    """

    def __init__(self, losses: Mapping[str, float], *, spread: float = 0.0, size: int = 1000) -> None:
        self.losses, self.spread, self.size = dict(losses), spread, size
        self.asked: Counter[str] = Counter()
        self.held: set[str] = set()

    @property
    def names(self) -> Sequence[str]:
        """The models."""
        return list(self.losses)

    def bytes_of(self, name: str) -> int:
        """The same for all."""
        return self.size

    @contextmanager
    def open(self) -> Iterator[PlantedPool]:
        """Itself; nothing is loaded."""
        yield self

    @contextmanager
    def scoring(self, name: str) -> Iterator[Callable[[Sequence[Example]], Array]]:
        """A model's losses."""
        self.held.add(name)
        try:
            yield lambda examples: self._losses(name, examples)
        finally:
            self.held.discard(name)

    def _losses(self, name: str, examples: Sequence[Example]) -> Array:
        self.asked[name] += len(examples)
        return np.array([self.losses[name] + self.spread * _draw(name, e.response) for e in examples], np.float32)


def _draw(*parts: str) -> float:
    """A number from -1 to 1 that depends on the parts alone."""
    digest = hashlib.sha256("/".join(parts).encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**63 - 1.0
