"""Frechet inception distance between the pool's training images and the user's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from xpert.baselines.comparing import Images, compared
from xpert.baselines.image_features import INCEPTION, FeaturesLike
from xpert.baselines.metrics import FID, check_torchmetrics, distance_of
from xpert.types import Array, Example, Selection

__all__ = ["FIDBaseline"]


@dataclass(frozen=True, slots=True)
class FIDBaseline:
    """Selects the model whose training images have the smallest FID to the user's; matches `xpert.protocols.SelectionMethod`.

    FID compares means and covariances, and is biased upwards by few images, the more the wider the features are. All models'
    sets should be of one size; below 500 images `KIDBaseline` is the figure to tell (`xpert.baselines.comparing.headline`).

    Attributes:
        pool: Model name to its training images (paths, data URIs or examples).
        features: ``inception``, ``encoder:REF``, an object with ``encode_images``, or a torch module.

    Source: Heusel et al. 2017 (arXiv 1706.08500); the baseline of Wang et al. 2025 (arXiv 2504.13938), section 7.7. Computed by
        torchmetrics.
    """

    pool: Mapping[str, Images]
    features: FeaturesLike = INCEPTION

    def select(
        self, examples: Sequence[Example], base_answers: Sequence[str] | Sequence[Example] | None = None
    ) -> Selection:
        """The model with the smallest FID; the ranking's distances are FIDs. It never says that nothing matches.

        Raises:
            xpert.errors.DataError: Fewer than two images on a side, or one that cannot be read.
            xpert.errors.MissingDependencyError: torchmetrics is not installed, or torch-fidelity for ``inception``.
        """
        check_torchmetrics()
        return compared(self.pool, self.features, examples, base_answers, score=_scores, least=2)


def _scores(theirs: list[Array], mine: Array) -> list[float]:
    return [distance_of(FID, rows, mine) for rows in theirs]
