"""DareMerger: drop most numbers of each task vector at random, enlarge the others to make up for it, sum."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from xpert.errors import SettingsError
from xpert.mergers.base import Member
from xpert.mergers.running import MAX_SHARD_BYTES, Recipe, run_merge
from xpert.mergers.ties import check_density
from xpert.mergers.vectors import BaseTensors, TaskVector
from xpert.mergers.whole import BlockRule

__all__ = ["DareMerger", "DroppedSum"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DareMerger:
    """DARE: each number of a task vector is dropped with probability ``1 - density``, the others are divided by ``density``.

    Members interfere less, and on average nothing changes. The result is a full model, also of adapters. What is dropped
    follows from the seed, the member's name, and the tensor's.

    Source: Yu et al., "Language Models are Super Mario: Absorbing Abilities from Homologous Models as a Free Lunch", 2024
    (arXiv 2311.03099), Eq. 4 to 6; the rescaled vectors are summed with the members' weights (task arithmetic).

    Attributes:
        density: Share of the numbers that is kept (the paper's ``1 - p``).
        seed: Draws what is dropped.
        max_shard_bytes: Largest weight file of the result.
    """

    density: float = 0.5
    seed: int = 0
    max_shard_bytes: int = MAX_SHARD_BYTES

    def __post_init__(self) -> None:
        """Check the settings.

        Raises:
            xpert.errors.SettingsError: ``density`` is not above 0 and at most 1, or the seed is below 0.
        """
        check_density(self.density)
        if self.seed < 0:
            raise SettingsError(f"seed: expected at least 0, got {self.seed}")

    @property
    def name(self) -> str:
        """``dare``."""
        return "dare"

    def merge(
        self, base: str | Path, members: Sequence[Member], out: str | Path, *, words: Sequence[tuple[str, float]] = ()
    ) -> Path:
        """Write the merged model; arguments and errors as in `xpert.mergers.base.MergeMethod.merge`."""
        recipe = Recipe(
            title=f"DARE (density {self.density:g}, seed {self.seed})",
            options={"density": self.density, "seed": self.seed},
            combination=DroppedSum(density=self.density, seed=self.seed),
            max_shard_bytes=self.max_shard_bytes,
        )
        return run_merge(recipe, base, members, out, words)


@dataclass(frozen=True, slots=True, kw_only=True)
class DroppedSum:
    """Drop, rescale, sum; `DareMerger` tells more."""

    density: float
    seed: int

    def begin(self, name: str, base: BaseTensors, vectors: Sequence[TaskVector]) -> BlockRule:
        """Begin a stream of random numbers for each member; blocks take from it in their order."""
        streams = [_stream(self.seed, vector.name, name) for vector in vectors]

        def rule(start: int, stop: int, origin: torch.Tensor) -> torch.Tensor:
            total = origin.clone()
            for vector, stream in zip(vectors, streams, strict=True):
                kept = stream.random(origin.numel(), dtype=np.float32) < self.density
                delta = vector.delta(name, start, stop, origin)
                total.add_(delta * torch.from_numpy(kept).reshape(origin.shape), alpha=vector.weight / self.density)
            return total

        return rule


def _stream(seed: int, member: str, tensor: str) -> np.random.Generator:
    """Random numbers that depend on nothing but these three."""
    digest = hashlib.sha256(f"{seed}\0{member}\0{tensor}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "little"))
