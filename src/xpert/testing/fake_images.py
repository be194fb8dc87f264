"""Pictures in planted styles, and a summarizer of images that finds them again: both need no weights.

A style moves a picture's colours in a known way; `FakeImageSummarizer` reads the same quantities off that
`xpert.measured_images` does, and lays them along orthonormal directions.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xpert.errors import DataError
from xpert.images import open_image
from xpert.measured_images import IMAGE_MEASURED, image_quantities
from xpert.protocols import SummarizerDefaults
from xpert.types import AnswerPair, Array, Candidate, Summary

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["FAKE_LOOKS", "FakeImageSummarizer", "fake_picture"]

Pixels = NDArray[np.float64]


def _halved(pixels: Pixels) -> Pixels:
    large = np.kron(pixels[::8, ::8], np.ones((8, 8, 1))).astype(np.float64)
    return large[: pixels.shape[0], : pixels.shape[1]]


FAKE_LOOKS: Mapping[str, Callable[[Pixels], Pixels]] = MappingProxyType(
    {
        "bright": lambda pixels: 0.5 + pixels / 2,
        "warm": lambda pixels: pixels * np.array([1.0, 0.8, 0.4]) + np.array([0.2, 0.05, 0.0]),
        "monochrome": lambda pixels: np.repeat(pixels.mean(axis=2, keepdims=True), 3, axis=2),
        "pixelated": _halved,
    }
)
"""The planted styles, each a function of RGB pixels within 0 and 1."""


def fake_picture(prompt: str, look: str | None = None, *, seed: int = 0, size: int = 32) -> Image:
    """A picture of coloured rectangles that the prompt determines, in a planted style or none.

    Args:
        prompt: The same prompt and seed give the same scene.
        look: One of `FAKE_LOOKS`; None: plain.
        seed: Another one moves every colour a little.
        size: Side in pixels.
    """
    from PIL import Image as Pillow

    rng = random.Random(f"{seed}/{prompt}")
    pixels = np.full((size, size, 3), [rng.uniform(0.2, 0.6) for _ in range(3)])
    for _ in range(6):
        top, left = rng.randrange(size - 4), rng.randrange(size - 4)
        pixels[top : top + rng.randrange(3, 12), left : left + rng.randrange(3, 12)] = [rng.random() for _ in range(3)]
    noise = np.random.default_rng(rng.randrange(1 << 30)).normal(0, 0.05, pixels.shape)
    pixels = np.clip(pixels + noise, 0, 1)
    if look is not None:
        pixels = np.clip(FAKE_LOOKS[look](pixels), 0, 1)
    return Pillow.fromarray((pixels * 255).round().astype(np.uint8))


class FakeImageSummarizer:
    """Finds planted styles in images; matches `xpert.protocols.Summarizer` and ``TextEncoder``."""

    name = "fake-images:7"
    instruction = "quantities of pixels"
    words = tuple(FAKE_LOOKS)
    carriers = ("{word}",)
    fingerprint = "fake-images"
    width = len(IMAGE_MEASURED)
    defaults = SummarizerDefaults(eps_orth=0.9, subvectors="described", centering="none")

    def encode(self, texts: Sequence[str]) -> Array:
        """``(N, D)``: what the styles that a text names do to pictures."""
        rows = [sum((_direction(word) for word in self.words if word in text), np.zeros(self.width)) for text in texts]
        return np.array(rows, np.float32).reshape(len(rows), self.width)

    def summarize(self, pairs: Sequence[AnswerPair], *, n_candidates: int = 0) -> Summary:
        """Differences of quantities; words by the cosine of what they do with the mean difference."""
        if not pairs:
            raise DataError("expected at least one pair of answers, got none")
        rows = np.stack([_features(open_image(p.other)) - _features(open_image(p.base)) for p in pairs])
        mean = rows.mean(axis=0)
        scores = {word: float(mean @ _direction(word) / np.linalg.norm(_direction(word))) for word in self.words}
        ranked = sorted(self.words, key=lambda word: -scores[word])[:n_candidates]
        return Summary(
            embeddings=rows.astype(np.float32),
            candidates=tuple(Candidate(word=word, score=scores[word]) for word in ranked),
        )

    def close(self) -> None:
        """Nothing to free."""


def _features(image: Any) -> Pixels:
    return np.array(image_quantities(np.asarray(image, np.float64) / 255.0))


@cache
def _direction(word: str) -> Pixels:
    scenes = [f"scene {i}" for i in range(8)]
    moved = [_features(fake_picture(scene, word)) - _features(fake_picture(scene)) for scene in scenes]
    return np.mean(moved, axis=0)
