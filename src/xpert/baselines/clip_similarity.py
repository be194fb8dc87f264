"""How much alike the pool's training images and the user's are on average, to an image encoder such as CLIP."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xpert.baselines.comparing import Images, compared
from xpert.baselines.image_features import FeaturesLike
from xpert.errors import WeightsError
from xpert.types import Array, Example, Selection

__all__ = ["CLIPSimilarityBaseline"]


@dataclass(frozen=True, slots=True)
class CLIPSimilarityBaseline:
    """Selects the model whose training images are most like the user's; matches `xpert.protocols.SelectionMethod`.

    A model's distance is 1 minus the mean cosine between features of its training images and of the user's, over all pairs.

    Attributes:
        pool: Model name to its training images (paths, data URIs or examples).
        features: ``encoder:REF`` (CLIP), an object with ``encode_images``, or a torch module.

    Source: CLIP image-to-image similarity, Radford et al. 2021 (arXiv 2103.00020).
    """

    pool: Mapping[str, Images]
    features: FeaturesLike

    def select(
        self, examples: Sequence[Example], base_answers: Sequence[str] | Sequence[Example] | None = None
    ) -> Selection:
        """The most similar model; the ranking's distances are 1 minus cosines. It never says that nothing matches.

        Raises:
            xpert.errors.DataError: No images on a side, or one that cannot be read.
        """
        return compared(self.pool, self.features, examples, base_answers, score=_scores, least=1)


def _scores(theirs: list[Array], mine: Array) -> list[float]:
    centre = _mean_unit(mine)
    return [1.0 - float(_mean_unit(rows) @ centre) for rows in theirs]


def _mean_unit(rows: Array) -> NDArray[np.float64]:
    """``(D,)`` mean of the rows' unit vectors: its products are the means of all pairs' cosines."""
    norms = np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True)
    if not (norms > 0).all():
        raise WeightsError("image features: expected rows of a length above 0, got a row of zeros")
    return (rows / norms).mean(axis=0)
