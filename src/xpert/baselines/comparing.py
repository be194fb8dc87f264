"""Selecting by comparing a user's images with the images that each model of the pool was trained on.

That is what the device must have for it: the training images of all models, whose owners may not give them away, and an encoder to
put every one of them through. The cost grows with the pool.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from xpert.baselines.image_features import FeaturesLike, encoded, opened_features
from xpert.baselines.ranked import check_data, ranked
from xpert.errors import SettingsError
from xpert.types import Array, Example, Selection

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
    """The selection by a score of each model's training images and the user's, the smallest first (`ranked`).

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
    check_data(examples, base_answers, "image")
    with opened_features(features) as opened:
        mine = encoded(opened, _paths(examples), "examples", least)
        theirs = [encoded(opened, _paths(images), f"pool: {name}", least) for name, images in pool.items()]
    return ranked(zip(pool, map(float, score(theirs, mine)), strict=True), len(examples))


def _paths(images: Images) -> list[str]:
    return [image if isinstance(image, str) else image.response for image in images]
