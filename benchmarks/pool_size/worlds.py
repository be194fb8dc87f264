"""Catalogs of any size with drawn coordinates: styles that many models share, in different strength, and sampling noise."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np

from xpert.basis import SubvectorBasis
from xpert.catalog import MANY, Catalog
from xpert.provenance import Fit, Provenance
from xpert.types import Array, Axis, Coordinates, Example, Generation, ModelCard

__all__ = ["Cards", "Fits", "World"]

N_STYLES, WIDTH, N_PROMPTS = 300, 384, 50
_NOISE = 0.15
"""Length of a model's sampling noise, as a fraction of a style's length."""


class Cards(Sequence[ModelCard]):
    """``M`` model cards, made as they are asked for."""

    def __init__(self, m: int, words: Sequence[str]) -> None:
        k = len(words)
        self._m = m
        self._candidates = [tuple(words[(i * 7 + j * 5) % k] for j in range(16)) for i in range(k)]

    def __len__(self) -> int:
        return self._m

    @overload
    def __getitem__(self, row: int) -> ModelCard: ...
    @overload
    def __getitem__(self, row: slice) -> list[ModelCard]: ...
    def __getitem__(self, row: int | slice) -> ModelCard | list[ModelCard]:
        if isinstance(row, slice):
            return [self[i] for i in range(*row.indices(self._m))]
        i = range(self._m)[row]
        name = f"model-{i:07d}"
        return ModelCard(
            name=name,
            reference=f"somebody-{i % 9973}/{name}",
            kind="adapter",
            base="org/base",
            bytes=10_000_000 + i,
            licence="apache-2.0",
            sha256=f"{i:064x}",
            candidates=self._candidates[i % len(self._candidates)],
        )


class Fits(Mapping[str, Fit]):
    """The same fit for each of ``M`` models."""

    def __init__(self, cards: Cards) -> None:
        self._cards = cards
        share = 1 / (1 + _NOISE**2)
        self._fit = Fit(
            residual=0.15,
            named_share=0.95,
            measured_share=0.1,
            unnamed_share=0.2,
            converged=True,
            reliability=dict.fromkeys(("all", "named", "named+measured"), share),
        )

    def __getitem__(self, name: str) -> Fit:
        return self._fit

    def __iter__(self) -> Iterator[str]:
        return (card.name for card in self._cards)

    def __len__(self) -> int:
        return len(self._cards)


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Axes that lean on each other a little, and styles on a few of them each.

    Attributes:
        basis: ``K`` axes in 384 dimensions.
        styles: ``(300, K)`` coordinates of styles of length 1.
    """

    basis: SubvectorBasis
    styles: Array

    @classmethod
    def drawn(cls, k: int, seed: int = 0) -> World:
        """``K`` axes, cosines around 0.1; each style is strong on about eight of them, early axes more often than late ones."""
        rng = np.random.default_rng(seed)
        vectors = rng.standard_normal((k, WIDTH)) / np.sqrt(WIDTH) + 0.3 * rng.standard_normal(WIDTH) / np.sqrt(WIDTH)
        axes = tuple(Axis(word=f"word{i}") for i in range(k))
        basis = SubvectorBasis(axes=axes, vectors=vectors.astype(np.float32), null=np.zeros(WIDTH, np.float32))
        often = 1 / (np.arange(k) + 8)
        strong = rng.random((N_STYLES, k)) < np.minimum(8 * often / often.sum(), 1)
        z = strong * rng.normal(1, 0.4, (N_STYLES, k)) + 0.1 * rng.standard_normal((N_STYLES, k))
        z /= np.linalg.norm(z @ vectors, axis=1, keepdims=True)
        return cls(basis=basis, styles=z.astype(np.float32))

    def models(self, m: int, seed: int = 1) -> Array:
        """``(M, K)`` coordinates: a style, popular ones more often, in a strength of 0.3 to 1.2, and noise on every axis."""
        rng = np.random.default_rng(seed)
        popular = 1 / (np.arange(N_STYLES) + 10)
        which = rng.choice(N_STYLES, m, p=popular / popular.sum())
        z = self.styles[which] * rng.uniform(0.3, 1.2, (m, 1)).astype(np.float32)
        z += rng.standard_normal(z.shape, np.float32) * np.float32(_NOISE / np.sqrt(z.shape[1]))
        return z

    def users(self, n: int, seed: int = 2) -> list[Coordinates]:
        """Places of ``n`` users: a style at full strength, with twice a model's noise."""
        rng = np.random.default_rng(seed)
        k = self.styles.shape[1]
        error = 2 * _NOISE / np.sqrt(k)
        z = self.styles[rng.integers(0, N_STYLES, n)] + error * rng.standard_normal((n, k))
        stderr = np.full(k, error, np.float32)
        return [Coordinates(values=row.astype(np.float32), stderr=stderr, n_pairs=N_PROMPTS) for row in z]

    def catalog(self, z: Array) -> Catalog:
        """The catalog of models at ``z`` ``(M, K)``."""
        cards = Cards(len(z), self.basis.words)
        values: dict[str, Any] = {
            "base": "org/base",
            "summarizer": "encoder:drawn",
            "instruction": "",
            "width": WIDTH,
            "measured": (),
            "measured_scale": 1.0,
            "n_prompts": N_PROMPTS,
            "prompts_sha256": "",
            "seed": 0,
            "generation": Generation(),
            "eps_orth": 0.5,
            "eps_dec": 0.2,
            "centering": "none",
            "null_pairs": "none",
            "subvectors": "drawn",
            "coefficients": "least-squares",
            "candidate_order": "given",
            "n_candidates_examined": len(self.basis),
            "match_thresholds": {"direction:all": 0.6},
            "match_limits": {"all:paired": 0.7},
        }
        return Catalog(
            basis=self.basis,
            models=cards,
            coordinates=z,
            stderr=np.full_like(z, _NOISE / np.sqrt(z.shape[1])),
            provenance=Provenance(**values, fits=Fits(cards) if len(z) >= MANY else dict(Fits(cards))),
            base_answers=tuple(Example(prompt=f"prompt {i}", response=f"answer {i}") for i in range(N_PROMPTS)),
        )
