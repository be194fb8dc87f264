"""What all baselines share: checking a user's data, and a ranking as a selection."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from xpert.errors import DataError
from xpert.types import Coordinates, Example, Selection

__all__ = ["check_data", "ranked"]


def check_data(
    examples: Sequence[Example], base_answers: Sequence[str] | Sequence[Example] | None, what: str = "example"
) -> None:
    """Refuse no data, and another number of base answers.

    Raises:
        xpert.errors.DataError: That.
    """
    if not examples:
        raise DataError(f"examples: expected at least one {what}, got none")
    if base_answers is not None and len(base_answers) != len(examples):
        raise DataError(
            f"base answers: expected {len(examples)}, one an example in their order, got {len(base_answers)}"
        )


def ranked(distances: Iterable[tuple[str, float]], n_pairs: int) -> Selection:
    """The selection of a ranking ``(name, distance)``, smallest first; of equal ones whoever comes first.

    Distances below 0 (an unbiased estimate of a distance that is 0) count in the order, and are told as 0. There is no distance at
    which such a comparison says that nothing matches: the threshold is infinite. It has no words and no coordinates.
    """
    found = list(distances)
    order = np.argsort([distance for _, distance in found], kind="stable")
    ranking = tuple((found[int(i)][0], max(float(found[int(i)][1]), 0.0)) for i in order)
    nowhere = np.zeros(0, np.float32)
    return Selection(
        best=ranking[0][0],
        matched=True,
        ranking=ranking,
        words=(),
        coordinates=Coordinates(values=nowhere, stderr=nowhere, n_pairs=n_pairs),
        threshold=float("inf"),
        paired=False,
    )
