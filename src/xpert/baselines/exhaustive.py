"""Exhaustive search: every model of the pool is asked how well it foresees the user's text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass

from xpert.baselines.pool import SearchedPool
from xpert.baselines.ranked import check_data
from xpert.baselines.searching import check_phone, searched, told
from xpert.progress import track
from xpert.types import CostedSelection, Example, Selection

__all__ = ["ExhaustiveBaseline"]


@dataclass(frozen=True, slots=True)
class ExhaustiveBaseline:
    """Selects the model with the lowest mean loss on all of the user's data; matches `xpert.protocols.CostedMethod`.

    Attributes:
        pool: The models (`xpert.baselines.pool.ModelPool`).
        phone: Also estimate the energy on this phone (`xpert.energy.PROFILES`).

    Source: the baseline of Wang et al. 2025 (arXiv 2504.13938), section 7, after Peng et al. 2023: each model's output is
        evaluated with the personal data. The mean over examples of nats a token is ours.
    """

    pool: SearchedPool
    _: KW_ONLY
    phone: str | None = None

    def select(
        self, examples: Sequence[Example], base_answers: Sequence[str] | Sequence[Example] | None = None
    ) -> Selection:
        """The model with the lowest loss; the ranking's distances are losses. It never says that nothing matches.

        Raises:
            xpert.errors.DataError: No examples, one that cannot be foreseen, or another number of base answers.
            xpert.errors.XpertError: Whatever loading models raises.
        """
        return self.run(examples, base_answers).selection

    def run(
        self, examples: Sequence[Example], base_answers: Sequence[str] | Sequence[Example] | None = None
    ) -> CostedSelection:
        """The same, with its cost: as many inferences as models x examples."""
        check_data(examples, base_answers)
        check_phone(self.phone)
        with searched(self.pool) as (search, meter):
            for name in track(self.pool.names, "searching all models", unit="model"):
                search.whole(name, examples)
        return told(
            search,
            meter,
            self.pool,
            n_samples=len(examples),
            phone=self.phone,
            how=f"of all {len(self.pool.names)} models",
        )
