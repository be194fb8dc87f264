"""Merger: a selection becomes weights over a few models, and these one start model (Eq. 4 and 5)."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from xpert.catalog import Catalog
from xpert.errors import RecordedModelError, SettingsError
from xpert.mergers.base import Member, MergeMethod
from xpert.mergers.weights import best_weights
from xpert.registry import MERGERS
from xpert.space import restrict
from xpert.telling import by_axis, told
from xpert.types import Array, MergePlan, Selection

__all__ = ["Merger"]

Wide: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Merger:
    """Combines a catalog's models for a user whom no single one fits.

    Attributes:
        catalog: The models and the space that they are explained in.
        method: Name of a merge method (``linear``, ``ties``, ``dare``), or an object that matches `xpert.mergers.base.MergeMethod`.
        max_models: At most so many models are merged.
        base: Where the base model is; None: where the catalog says.
    """

    catalog: Catalog
    method: str | MergeMethod = "linear"
    max_models: int = 2
    base: str | Path | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        """Check the settings.

        Raises:
            xpert.errors.SettingsError: ``max_models`` is below 1.
        """
        if self.max_models < 1:
            raise SettingsError(f"max_models: expected at least 1, got {self.max_models}")

    def plan(self, selection: Selection) -> MergePlan:
        """Weights over at most ``max_models`` models such that ``|| sum_i w_i e_i - e_u ||`` is least, no weight below 0.

        Distances are those of the embedding space, on the axes that the selection compared. Of two models the best pair is
        found (for more than 300 models: the best one with one of the 50 nearest); every further model is the one that helps
        most, all weights fitted anew, and is left out if it does not help. Recorded models are passed over where others exist,
        as they cannot be merged.

        Source: Eq. 4 of Wang et al., MobiSys 2025 (arXiv 2504.13938), which has two models and weights of any sign.

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
        candidates = [i for i, card in enumerate(catalog.models) if card.kind != "recorded"] or list(
            range(len(catalog))
        )
        both = np.vstack([z_user[None], catalog.coordinates[candidates]])
        basis, z = restrict(catalog.basis, both, selection.axes)
        places: Wide = z.astype(np.float64) @ basis.vectors.astype(np.float64)
        user, models = places[0], places[1:]
        length = float(np.linalg.norm(user))
        if length <= 1e-12:
            raise SettingsError(
                "selection: the user's coordinates are all zero, so that no weights can be fitted: give more text"
            )
        weights = best_weights(models, user, self.max_models)
        before = float(np.linalg.norm(models - user, axis=1).min()) / length
        after = float(np.linalg.norm(weights @ models - user)) / length
        if not weights.any():  # every model points away from the user: the nearest is still the best start
            weights[int(np.linalg.norm(models - user, axis=1).argmin())] = 1.0
            after = before
        order = [int(i) for i in np.argsort(-weights, kind="stable") if weights[i] > 0]
        merged: Array = (weights @ z[1:]).astype(np.float32)
        return MergePlan(
            weights={catalog.names[candidates[i]]: float(weights[i]) for i in order},
            distance_before=before,
            distance_after=after,
            words=by_axis(
                told(basis, merged, [word for i in order for word in catalog.models[candidates[i]].candidates])
            ),
        )

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
