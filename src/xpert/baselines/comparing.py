"""Selecting by comparing a user's images with the images that each model of the pool was trained on.

That is what the device must have for it: the training images of all models, whose owners may not give them away, and an encoder to
put every one of them through. The cost grows with the pool.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import numpy as np

from xpert.baselines.image_features import FeaturesLike, encoded, opened_features
from xpert.errors import DataError, SettingsError
from xpert.types import Array, Coordinates, Example, Selection

__all__ = ["HEADLINE_FID", "Images", "compared", "headline"]

Images: TypeAlias = Sequence[str] | Sequence[Example]

HEADLINE_FID = 500
"""From so many images on, FID is told first; its bias is too large for fewer, and KID has none."""


def headline(n_images: int) -> str:
    """Which of ``fid`` and ``kid`` is the figure to tell first, for so many images on the smaller side."""
    return "fid" if n_images >= HEADLINE_FID else "kid"


def compared(
    pool: Mapping[str, Images],
    features: FeaturesLike,
    examples: Sequence[Example],
    base_answers: Sequence[str] | Sequence[Example] | None,
    *,
    score: Callable[[list[Array], Array], Sequence[float]],
    least: int,
) -> Selection:
    """The selection by a score of each model's training images and the user's, the smallest first.

    Scores below 0 (an unbiased estimate of a distance that is 0) count in the order, and are told as 0. There is no distance at
    which such a comparison says that nothing matches: the threshold is infinite.

    Args:
        pool: Model name to its training images.
        features: What images are compared by.
        examples: The user's images.
        base_answers: Not used, but as many as the examples where they are given.
        score: From the models' features, ``(N, D)`` each, and the user's.
        least: Images that each side must have.

    Raises:
        xpert.errors.SettingsError: The pool is empty.
        xpert.errors.DataError: Too few images, one that cannot be read, or another number of base answers.
    """
    if not pool:
        raise SettingsError("pool: expected at least one model with its training images, got none")
    if not examples:
        raise DataError("examples: expected at least one image, got none")
    if base_answers is not None and len(base_answers) != len(examples):
        raise DataError(
            f"base answers: expected {len(examples)}, one an example in their order, got {len(base_answers)}"
        )
    with opened_features(features) as opened:
        mine = encoded(opened, _paths(examples), "examples", least)
        theirs = [encoded(opened, _paths(images), f"pool: {name}", least) for name, images in pool.items()]
    scores, names = np.asarray(score(theirs, mine), np.float64), list(pool)
    order = np.argsort(scores, kind="stable")
    ranking = tuple((names[int(i)], max(float(scores[int(i)]), 0.0)) for i in order)
    nowhere = np.zeros(0, np.float32)
    return Selection(
        best=ranking[0][0],
        matched=True,
        ranking=ranking,
        words=(),
        coordinates=Coordinates(values=nowhere, stderr=nowhere, n_pairs=len(examples)),
        threshold=float("inf"),
        paired=False,
    )


def _paths(images: Images) -> list[str]:
    return [image if isinstance(image, str) else image.response for image in images]
