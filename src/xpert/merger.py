"""Merger: a selection becomes weights over a few models, and these one start model (Eq. 4 and 5)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from xpert.catalog import Catalog
from xpert.errors import RecordedModelError, SettingsError
from xpert.evidence import nearer_by, spoken, strongest
from xpert.mergers.base import Member, MergeMethod
from xpert.mergers.weights import PROMISING, best_weights, promising, sparse_weights
from xpert.pool import PackedRows, nearest_rows
from xpert.registry import MERGERS
from xpert.space import places, restrict
from xpert.telling import by_axis, told
from xpert.types import MergePlan, Selection

__all__ = ["Merger"]

Wide: TypeAlias = NDArray[np.float64]

_N_DRAWS = 200
_NOTHING = 1e-9
"""Parts of the user's squared length below this are rounding."""


@dataclass(frozen=True, slots=True, eq=False)
class Merger:
    """Combines a catalog's models for a user whom no single one fits.

    Attributes:
        catalog: The models and the space that they are explained in.
        method: Name of a merge method (``linear``, ``ties``, ``dare``), or an object that matches `xpert.mergers.base.MergeMethod`.
        max_models: At most so many models are merged.
        base: Where the base model is; None: where the catalog says.
        penalty: What each further model must lower the squared distance by at least, as a fraction of the squared length of the
            user's style.
    """

    catalog: Catalog
    method: str | MergeMethod = "linear"
    max_models: int = 2
    base: str | Path | None = field(default=None, kw_only=True)
    penalty: float = field(default=0.01, kw_only=True)

    def __post_init__(self) -> None:
        """Check the settings.

        Raises:
            xpert.errors.SettingsError: ``max_models`` is below 1, or ``penalty`` below 0.
        """
        if not self.penalty >= 0:
            raise SettingsError(f"penalty: expected 0 or more, got {self.penalty}")
        if self.max_models < 1:
            raise SettingsError(f"max_models: expected at least 1, got {self.max_models}")

    def plan(self, selection: Selection) -> MergePlan:
        """Weights over at most ``max_models`` models such that ``|| sum_i w_i e_i - e_u ||`` is least, no weight below 0.

        Distances are those of the embedding space, on the axes that the selection compared. Of two models the best pair is
        found (for more than 300 models: the best one with one of the 50 nearest); every further model is the one that helps
        most, all weights fitted anew. A further model stays only if it lowers the squared distance by ``penalty``, and by more
        than the best of all models would by chance if the user were what the others give but for sampling noise (95% of 200
        draws): else the plan has one model less, perhaps a single one (``helps`` is false then, and ``gains`` and ``needed`` say
        why). Of more than 2,000 models those are tried that correlate most with the user, or with what the best single one
        leaves (1,000 each; ``considered`` tells how many). Recorded models are passed over where others exist, as they cannot
        be merged.

        Source: Eq. 4 of Wang et al., MobiSys 2025 (arXiv 2504.13938), which has two models and weights of any sign; when a merge
            is proposed is ours.

        Raises:
            xpert.errors.SettingsError: The selection was made with another catalog, or the user's text shows no style at all.
        """
        catalog = self.catalog
        z_user = selection.coordinates.values
        if z_user.shape != (len(catalog.basis),):
            raise SettingsError(
                f"selection: {z_user.shape[0]} coordinates, the catalog has {len(catalog.basis)} axes: "
                "select again with this catalog"
            )
        candidates = self._candidates(selection)
        both = np.vstack([z_user[None], catalog.coordinates[candidates]])
        found = places(catalog.basis, both, selection.axes)
        user, keep = found[0], promising(found[1:], found[0])
        models, candidates = found[1:][keep], [candidates[int(i)] for i in keep]
        length = float(np.linalg.norm(user))
        if length <= 1e-12:
            raise SettingsError(
                "selection: the user's coordinates are all zero, so that no weights can be fitted: give more text"
            )
        apart = np.linalg.norm(models - user, axis=1)
        noise = self._noise(selection, candidates[int(apart.argmin())])
        weights, tried = sparse_weights(models, user, self.max_models, noise, penalty=self.penalty)
        if not weights.any():  # every model points away from the user: the nearest is still the best start
            weights[int(apart.argmin())] = 1.0
        order = [int(i) for i in np.argsort(-weights, kind="stable") if weights[i] > 0]
        members = [candidates[i] for i in order]
        merged = (weights[order] @ catalog.coordinates[members]).astype(np.float32)
        basis, words = restrict(catalog.basis, merged, selection.axes)
        before, after = models[int(apart.argmin())], weights @ models
        return MergePlan(
            weights={catalog.models[row].name: float(weights[i]) for i, row in zip(order, members, strict=True)},
            distance_before=float(apart.min()) / length,
            distance_after=float(np.linalg.norm(after - user)) / length,
            words=by_axis(told(basis, words, [word for row in members for word in catalog.models[row].candidates])),
            stderr_before=_scatter(before - user, noise) / length,
            stderr_after=_scatter(after - user, noise) / length,
            gains=tuple(gain for gain, _ in tried),
            needed=tuple(needed for _, needed in tried),
            considered=len(models),
            brings=self._brings(selection, models[order], weights[order], members),
        )

    def _brings(
        self, selection: Selection, models: Wide, weights: Wide, rows: Sequence[int]
    ) -> dict[str, tuple[tuple[str, float], ...]]:
        """`MergePlan.brings`, from the members' places ``(N, D)``, weights ``(N,)`` and rows in the catalog."""
        catalog, z_user = self.catalog, selection.coordinates.values
        user = places(catalog.basis, z_user[None], selection.axes)[0]
        coordinates = catalog.coordinates[list(rows)]
        merged, found = weights @ coordinates, dict[str, tuple[tuple[str, float], ...]]()
        for i in range(len(rows) if len(rows) > 1 else 0):
            others = [j for j in range(len(rows)) if j != i]
            without = best_weights(models[others], user, len(others)) @ coordinates[others]
            nearer = nearer_by(catalog.basis, z_user, merged, without, metric="embedding", axes=selection.axes)
            compared, change = restrict(catalog.basis, (merged - without).astype(np.float32), selection.axes)
            value = dict(zip(compared.words, change.tolist(), strict=True))
            said = spoken(catalog.basis, merged - without, axes=selection.axes)
            named = [
                (word, *said.get(word, (word, 1)))
                for word, part in strongest(nearer)
                if part > _NOTHING * float(user @ user)
            ]
            found[catalog.models[rows[i]].name] = tuple((name, sign * value[word]) for word, name, sign in named)
        return found

    def _candidates(self, selection: Selection) -> list[int]:
        """Rows that may be members: all that can be merged; of a pool the nearest to the user, and to what the nearest leaves."""
        catalog = self.catalog
        rows: Sequence[int] = range(len(catalog))
        if isinstance(catalog.coordinates, PackedRows):
            z = selection.coordinates.values
            near = nearest_rows(catalog.basis, catalog.coordinates, z, PROMISING, axes=selection.axes)[0]
            e, m = places(catalog.basis, np.stack([z, catalog.coordinates[int(near[0])]]), selection.axes)
            left = catalog.basis.project(e - m * max(float(e @ m), 0.0) / max(float(m @ m), 1e-12))
            rest = nearest_rows(catalog.basis, catalog.coordinates, left, PROMISING, axes=selection.axes)[0]
            rows = np.union1d(near, rest).tolist()
        return [row for row in rows if catalog.models[row].kind != "recorded"] or list(rows)

    def _noise(self, selection: Selection, row: int) -> Wide:
        """``(draws, D)`` sampling noise of the user's place and of a model's; as long as the reliabilities say, where they are known."""
        catalog, rng = self.catalog, np.random.default_rng(self.catalog.provenance.seed)
        known = catalog.provenance.fits[catalog.models[row].name].reliability.get(selection.axes)
        sources = (
            (selection.coordinates.values, selection.coordinates.stderr, selection.reliability),
            (catalog.coordinates[row], catalog.stderr[row], known),
        )
        total = np.zeros((_N_DRAWS, catalog.basis.width))
        for values, stderr, share in sources:
            drawn = places(catalog.basis, rng.standard_normal((_N_DRAWS, len(stderr))) * stderr, selection.axes)
            place = places(catalog.basis, values[None], selection.axes)[0]
            spread = float(np.einsum("bd,bd->b", drawn, drawn).mean())
            if share is not None and spread > 0:
                drawn *= np.sqrt((1 - share) * float(place @ place) / spread)
            total += drawn
        return total if total.any() else total[:0]

    def merge(self, plan: MergePlan, out: str | Path) -> Path:
        """Build the plan's model in ``out``, a folder that Transformers or PEFT load; it appears whole or not at all.

        Raises:
            xpert.errors.ReferenceNotFoundError: The catalog lacks a model of the plan, or a model is not where the catalog says.
            xpert.errors.RecordedModelError: A model has answers only.
            xpert.errors.IncompatibleModelError: A model is not of the catalog's base.
            xpert.errors.WeightsError: Weights are missing, truncated or not finite.
            xpert.errors.SettingsError: ``out`` is a folder of something else, or the plan is empty.
        """
        members: list[Member] = []
        for name, weight in plan.weights.items():
            card = self.catalog.card(name)
            if card.kind == "recorded":
                raise RecordedModelError(
                    f"cannot merge {name!r} ({card.reference}): a recorded model has answers only, no weights"
                )
            members.append(Member(name=name, reference=card.reference, weight=weight, sha256=card.sha256))
        base = self.base or self.catalog.provenance.base
        return self._method().merge(base, members, out, words=plan.words)

    def _method(self) -> MergeMethod:
        return MERGERS.get(self.method)() if isinstance(self.method, str) else self.method


def _scatter(difference: Wide, noise: Wide) -> float:
    """Standard deviation of the length of a difference under noise draws ``(B, D)``; 0 where none are known."""
    return float(np.linalg.norm(difference + noise, axis=1).std()) if len(noise) else 0.0
