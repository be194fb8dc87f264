"""LinearMerger: task arithmetic, ``theta_base + sum_i w_i (theta_i - theta_base)``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from xpert.errors import SettingsError
from xpert.mergers.base import Member
from xpert.mergers.running import MAX_SHARD_BYTES, Recipe, run_merge
from xpert.mergers.vectors import BaseTensors, FullVector, TaskVector
from xpert.mergers.whole import BlockRule

__all__ = ["LinearMerger", "WeightedSum"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearMerger:
    """Sums task vectors with their weights.

    LoRA adapters only: the result is an adapter whose delta is exactly the weighted sum (factors concatenated, float32), or, with
    ``rank``, the nearest one of that rank, the error told. With a full model or a DoRA adapter among them: a full model (of a
    pipeline, the components that differ; the others are copied), summed in float32 and stored in the widest type of base and
    full members, with no more than a block of each model in memory.

    Source: Ilharco et al., "Editing models with task arithmetic", 2022 (arXiv 2212.04089); Eq. 1 and 5 of Wang et al., MobiSys
    2025 (arXiv 2504.13938).

    Attributes:
        rank: Compress an adapter to this rank; None: exact.
        max_shard_bytes: Largest weight file of a full result.
    """

    rank: int | None = None
    max_shard_bytes: int = MAX_SHARD_BYTES

    def __post_init__(self) -> None:
        """Check the settings.

        Raises:
            xpert.errors.SettingsError: ``rank`` is below 1.
        """
        if self.rank is not None and self.rank < 1:
            raise SettingsError(f"rank: expected at least 1, got {self.rank}")

    @property
    def name(self) -> str:
        """``linear``."""
        return "linear"

    def merge(
        self, base: str | Path, members: Sequence[Member], out: str | Path, *, words: Sequence[tuple[str, float]] = ()
    ) -> Path:
        """Write the merged model; arguments and errors as in `xpert.mergers.base.MergeMethod.merge`."""
        recipe = Recipe(
            title="task arithmetic (linear)",
            options={"rank": self.rank},
            combination=WeightedSum(),
            sums=True,
            rank=self.rank,
            max_shard_bytes=self.max_shard_bytes,
        )
        return run_merge(recipe, base, members, out, words)


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightedSum:
    """``base + sum_i w_i (member_i - base)``, computed as ``(1 - sum w) base + sum_i w_i member_i`` for full members.

    So a model with weight 1 comes out bit for bit: no difference is taken that would be rounded.
    """

    def begin(self, name: str, base: BaseTensors, vectors: Sequence[TaskVector]) -> BlockRule:
        """Nothing is to be made ready."""
        full = [vector for vector in vectors if isinstance(vector, FullVector)]
        others = [vector for vector in vectors if not isinstance(vector, FullVector)]
        kept = 1.0 - sum(vector.weight for vector in full)

        def rule(start: int, stop: int, origin: torch.Tensor) -> torch.Tensor:
            total = origin * kept
            for vector in full:
                total.add_(vector.value(name, start, stop), alpha=vector.weight)
            for vector in others:
                total.add_(vector.delta(name, start, stop, origin), alpha=vector.weight)
            return total

        return rule
