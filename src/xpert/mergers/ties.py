"""TiesMerger: trim each task vector, elect a sign for each number, average what agrees with it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from xpert.errors import SettingsError
from xpert.mergers.base import Member
from xpert.mergers.running import MAX_SHARD_BYTES, Recipe, run_merge
from xpert.mergers.vectors import BaseTensors, TaskVector, blocks
from xpert.mergers.whole import BlockRule

__all__ = ["ElectedMean", "TiesMerger", "check_density"]

_BUCKETS = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class TiesMerger:
    """TIES: of each task vector only the largest numbers count, and only those whose sign the majority shares.

    The result is a full model, also of adapters: what is left of a change of low rank has full rank.

    Source: Yadav et al., "TIES-Merging: Resolving Interference When Merging Models", 2023 (arXiv 2306.01708). Deviations: the
    vectors are trimmed tensor by tensor, as other tools do, not over the whole model; the mean is weighted by the members'
    weights and scaled by their sum (the paper's lambda), so that members that agree everywhere give the plain weighted sum.

    Attributes:
        density: Share of each tensor's numbers that is kept, those of the largest magnitude.
        max_shard_bytes: Largest weight file of the result.
    """

    density: float = 0.2
    max_shard_bytes: int = MAX_SHARD_BYTES

    def __post_init__(self) -> None:
        """Check the settings.

        Raises:
            xpert.errors.SettingsError: ``density`` is not above 0 and at most 1.
        """
        check_density(self.density)

    @property
    def name(self) -> str:
        """``ties``."""
        return "ties"

    def merge(
        self, base: str | Path, members: Sequence[Member], out: str | Path, *, words: Sequence[tuple[str, float]] = ()
    ) -> Path:
        """Write the merged model; arguments and errors as in `xpert.mergers.base.MergeMethod.merge`."""
        recipe = Recipe(
            title=f"TIES (density {self.density:g})",
            options={"density": self.density},
            combination=ElectedMean(density=self.density),
            max_shard_bytes=self.max_shard_bytes,
        )
        return run_merge(recipe, base, members, out, words)


@dataclass(frozen=True, slots=True, kw_only=True)
class ElectedMean:
    """Trim, elect, mean; `TiesMerger` tells more.

    Attributes:
        density: Share of each tensor's numbers that is kept.
    """

    density: float

    def begin(self, name: str, base: BaseTensors, vectors: Sequence[TaskVector]) -> BlockRule:
        """Find, member by member, the magnitude from which on numbers are kept."""
        least = [_threshold(name, base, vector, self.density) for vector in vectors]
        total_weight = sum(abs(vector.weight) for vector in vectors)

        def rule(start: int, stop: int, origin: torch.Tensor) -> torch.Tensor:
            kept = []
            for vector, threshold in zip(vectors, least, strict=True):
                delta = vector.delta(name, start, stop, origin)
                kept.append(vector.weight * delta * (delta.abs() >= threshold))
            sign = torch.stack(kept).sum(0).sign()
            summed, weight = torch.zeros_like(origin), torch.zeros_like(origin)
            for vector, part in zip(vectors, kept, strict=True):
                agrees = (part.sign() == sign) & (sign != 0)
                summed += part * agrees
                weight += abs(vector.weight) * agrees
            return origin + total_weight * summed / torch.where(weight > 0, weight, 1.0)

        return rule


def check_density(density: float) -> None:
    """Raise unless a share is above 0 and at most 1.

    Raises:
        xpert.errors.SettingsError: It is not.
    """
    if not (math.isfinite(density) and 0 < density <= 1):
        raise SettingsError(f"density: expected a share above 0 and at most 1, got {density!r}")


def _threshold(name: str, base: BaseTensors, vector: TaskVector, density: float) -> float:
    """The magnitude of the k-th largest number of a task vector's tensor, exactly, without holding the tensor.

    Two passes over its blocks: the upper half of a float32's bits orders magnitudes into 65,536 buckets, the lower half orders
    those of the bucket in which the k-th lies.
    """
    shape = base.shape(name)
    keep = max(1, round(density * math.prod(shape)))
    if keep >= math.prod(shape):
        return 0.0

    def bits(start: int, stop: int) -> torch.Tensor:
        stored = base.rows(name, start, stop)
        delta = vector.delta(name, start, stop, stored.to(torch.promote_types(stored.dtype, torch.float32)))
        return delta.abs().float().flatten().view(torch.int32)

    upper = sum(torch.bincount(bits(*rows) >> 16, minlength=_BUCKETS) for rows in blocks(shape))
    bucket, above = _bucket_of(torch.as_tensor(upper), keep)
    lower = torch.zeros(_BUCKETS, dtype=torch.int64)
    for rows in blocks(shape):
        found = bits(*rows)
        lower += torch.bincount(found[(found >> 16) == bucket] & (_BUCKETS - 1), minlength=_BUCKETS)
    place, _ = _bucket_of(lower, keep - above)
    return float(torch.tensor([bucket << 16 | place], dtype=torch.int32).view(torch.float32))


def _bucket_of(counts: torch.Tensor, rank: int) -> tuple[int, int]:
    """In which bucket, from the highest down, the number of a rank (1 is the largest) lies, and how many lie above it."""
    from_top = counts.flip(0).cumsum(0)
    place = int((from_top >= rank).nonzero()[0])
    bucket = len(counts) - 1 - place
    return bucket, int(from_top[place]) - int(counts[bucket])
