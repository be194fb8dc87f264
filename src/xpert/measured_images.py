"""Measured axes of images: differences that a program reads off two images, named for what they are.

All are bounded and finite, for images of one colour too. Images are compared at sides of at most 128 pixels, so that their size
says little.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from xpert.images import open_image
from xpert.types import AnswerPair, Array

__all__ = ["IMAGE_MEASURED", "image_quantities", "measure_images"]

IMAGE_MEASURED: tuple[str, ...] = (
    "brighter",
    "more contrast",
    "more saturated",
    "more hues",
    "more edges",
    "coarser blocks",
    "warmer",
)
"""The quantities' names, each told of the other image against the base."""

LONGEST_SIDE = 128
_HUES = 12
_ALIKE = 8.0 / 255.0
"""Neighbours whose channels differ by less belong to one block."""
_LITTLE_COLOUR = 0.02
"""Mean chroma at which the entropy of hues counts half: what is nearly grey has none."""
_LUMA = np.array([0.299, 0.587, 0.114])


def measure_images(pairs: Sequence[AnswerPair]) -> Array:
    """How the other image differs from the base in each quantity of `IMAGE_MEASURED`.

    Args:
        pairs: ``P`` pairs of images: paths or data URIs.

    Returns:
        ``(P, F)`` float32, differences of `image_quantities`, within ``+-1``.

    Raises:
        xpert.errors.DataError: An answer is no image that can be read.
    """
    if not pairs:
        return np.zeros((0, len(IMAGE_MEASURED)), np.float32)
    known: dict[str, NDArray[np.float64]] = {}
    for answer in (answer for pair in pairs for answer in (pair.base, pair.other)):
        if answer not in known:
            known[answer] = np.array(image_quantities(_pixels(answer)))
    return np.stack([known[pair.other] - known[pair.base] for pair in pairs]).astype(np.float32)


def image_quantities(pixels: NDArray[np.float64]) -> tuple[float, ...]:
    """One image's quantities, in the order of `IMAGE_MEASURED`, each within 0 and 1.

    Args:
        pixels: ``(H, W, 3)`` RGB within 0 and 1.

    Returns:
        Mean luma (Rec. 601); twice its standard deviation; mean chroma (largest minus smallest channel); entropy of the hues in 12
        bins, weighted by chroma, over ``log 12``; four times the mean absolute step of luma between neighbours, at most 1;
        logarithm of the mean length of runs of neighbours of one colour over that of the side; half of one plus mean red
        minus mean blue.
    """
    luma = pixels @ _LUMA
    chroma = pixels.max(axis=2) - pixels.min(axis=2)
    steps = [np.abs(np.diff(luma, axis=axis)).mean() for axis in (0, 1)]
    return (
        float(luma.mean()),
        float(2 * luma.std()),
        float(chroma.mean()),
        _hue_entropy(pixels, chroma),
        float(min(4 * np.mean(steps), 1.0)),
        _block_length(pixels),
        float((1 + pixels[..., 0].mean() - pixels[..., 2].mean()) / 2),
    )


def _hue_entropy(pixels: NDArray[np.float64], chroma: NDArray[np.float64]) -> float:
    red, green, blue = (pixels[..., i] for i in range(3))
    angle = np.arctan2(np.sqrt(3.0) * (green - blue), 2 * red - green - blue)
    bins = np.floor((angle / (2 * np.pi) % 1.0) * _HUES).astype(int) % _HUES
    weights = np.bincount(bins.ravel(), weights=chroma.ravel(), minlength=_HUES)
    total = float(weights.sum())
    if total <= 0:
        return 0.0
    shares = weights[weights > 0] / total
    mean = total / chroma.size
    return float(-(shares * np.log(shares)).sum() / np.log(_HUES) * mean / (mean + _LITTLE_COLOUR))


def _block_length(pixels: NDArray[np.float64]) -> float:
    """Along both sides: how long neighbours stay alike, 0 for single pixels to 1 for whole rows and columns."""
    found: list[float] = []
    for axis in (0, 1):
        side, lines = pixels.shape[axis], pixels.shape[1 - axis]
        changes = (np.abs(np.diff(pixels, axis=axis)).max(axis=2) > _ALIKE).sum()
        found.append(float(np.log(side * lines / (changes + lines)) / np.log(side)))
    return float(np.mean(found))


def _pixels(answer: str) -> NDArray[np.float64]:
    image = open_image(answer)
    if max(image.size) > LONGEST_SIDE:
        factor = LONGEST_SIDE / max(image.size)
        size = [max(round(side * factor), 2) for side in image.size]
        image = image.resize((size[0], size[1]), resample=4)  # BOX: every pixel counts alike
    return np.asarray(image, np.float64) / 255.0
