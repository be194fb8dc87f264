"""Personal images as what a pipeline learns from: captions, pixels, crops and flips. All chance comes from a seed."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch

from xpert.errors import DataError
from xpert.images import is_image, open_image
from xpert.types import Example

__all__ = ["Cut", "Picture", "draw_cut", "pictures_digest", "pictures_of", "pixels", "row_generator"]

_OPEN = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """An image with its caption.

    Attributes:
        image: Path or data URI.
        caption: What it shows.
        width: Of the image, in pixels.
        height: Likewise.
        digest: SHA-256 of its pixels in RGB.
    """

    image: str
    caption: str
    width: int
    height: int
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """Which square of a resized image is seen, and how.

    Attributes:
        top: Rows above it.
        left: Columns left of it.
        flipped: Whether it is mirrored, left to right.
    """

    top: int
    left: int
    flipped: bool


def pictures_of(examples: Sequence[Example], captions: Sequence[str]) -> list[Picture]:
    """Open every image once, so that a broken one is told before training begins.

    Args:
        examples: Their responses are images: paths or data URIs.
        captions: One each.

    Raises:
        xpert.errors.DataError: No examples, a text among them, an image that cannot be read or is tiny.
    """
    if not examples:
        raise DataError("no training examples: expected at least one image")
    pictures: list[Picture] = []
    for number, (example, caption) in enumerate(zip(examples, captions, strict=True), start=1):
        if not is_image(example.response):
            raise DataError(
                f"example {number} of {len(examples)}: expected an image (a path or a data URI), its response is a text: "
                "a pipeline is trained on images"
            )
        image = open_image(example.response)
        digest = hashlib.sha256(f"{image.size}".encode() + image.tobytes()).hexdigest()
        width, height = image.size
        pictures.append(Picture(image=example.response, caption=caption, width=width, height=height, digest=digest))
    return pictures


def resized(width: int, height: int, resolution: int) -> tuple[int, int]:
    """Width and height of an image whose shorter side becomes ``resolution``.

    >>> resized(640, 480, 512)
    (682, 512)
    """
    if width <= height:
        return resolution, int(resolution * height / width)
    return int(resolution * width / height), resolution


def draw_cut(
    picture: Picture, resolution: int, generator: torch.Generator | None, *, center_crop: bool, random_flip: bool
) -> Cut:
    """The square to see of a picture: its centre or a place drawn evenly, mirrored half of the times.

    Args:
        picture: Which picture.
        resolution: Side of the square.
        generator: Where chance comes from, three numbers each time; None: the centre, never mirrored.
        center_crop: Take the centre all the same.
        random_flip: Mirror half of the times.
    """
    width, height = resized(picture.width, picture.height, resolution)
    down, right, mirror = (0.5, 0.5, 1.0) if generator is None else torch.rand(3, generator=generator).tolist()
    if center_crop or generator is None:
        top, left = round((height - resolution) / 2), round((width - resolution) / 2)
    else:
        top, left = int(down * (height - resolution + 1)), int(right * (width - resolution + 1))
    return Cut(top=top, left=left, flipped=random_flip and mirror < 0.5)


def pixels(picture: Picture, resolution: int, cut: Cut) -> torch.Tensor:
    """``(3, resolution, resolution)`` float32 in -1 to 1: resized (bilinear), cut out, mirrored."""
    from PIL import Image

    size = resized(picture.width, picture.height, resolution)
    image: Any = _opened(picture.image).resize(size, Image.Resampling.BILINEAR)
    image = image.crop((cut.left, cut.top, cut.left + resolution, cut.top + resolution))
    values = torch.from_numpy(np.asarray(image, np.float32).copy()).permute(2, 0, 1) / 127.5 - 1
    return values.flip(2) if cut.flipped else values


def row_generator(seed: int, *place: int | str) -> torch.Generator:
    """A generator for one row of one step: the row depends neither on the batch nor on the process that it is in."""
    name = ":".join(map(str, (seed, *place)))
    number = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") >> 1
    return torch.Generator().manual_seed(number)


def pictures_digest(*parts: Sequence[Picture]) -> str:
    """SHA-256 over pixels and captions, in their order."""
    digest = hashlib.sha256()
    for pictures in parts:
        digest.update(repr([(picture.digest, picture.caption) for picture in pictures]).encode())
    return digest.hexdigest()


@lru_cache(maxsize=_OPEN)
def _opened(image: str) -> Any:
    return open_image(image)
