"""Images as answers: a string that is the path of an image file, or the image itself as a ``data:image/png;base64,`` URI.

An answer stays a string on every seam (ADR 7), so that probing, caches and catalogs treat it as they treat a text. Pillow is
imported where an image is opened.
"""

from __future__ import annotations

import base64
import binascii
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xpert.errors import DataError, MissingDependencyError

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["SMALLEST_SIDE", "SUFFIXES", "image_uri", "is_image", "open_image", "read_image_uri"]

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff"})
"""File names that end so name images."""

SMALLEST_SIDE = 8
"""Images with a shorter side, in pixels, hold nothing to compare."""

_SCHEME = "data:image/"
_LONGEST_PATH = 4096


def is_image(answer: str) -> bool:
    r"""Whether an answer is an image: a data URI, or one line that ends like the name of an image file.

    >>> is_image("data:image/png;base64,iVBO"), is_image("cats/1.PNG"), is_image("A cat.\nSee a.png")
    (True, True, False)
    """
    if answer.startswith(_SCHEME):
        return True
    return len(answer) < _LONGEST_PATH and "\n" not in answer and Path(answer).suffix.lower() in SUFFIXES


def open_image(answer: str) -> Image:
    """The image of an answer, in RGB: as its EXIF data turn it, transparency on white, greyscale and palettes converted.

    Raises:
        xpert.errors.DataError: It is no image, cannot be read, or has a side of fewer than 8 pixels.
        xpert.errors.MissingDependencyError: Pillow is not installed.
    """
    pil, ops = _pillow()
    where, data = _bytes(answer)
    try:
        with pil.open(BytesIO(data)) as opened:
            image = ops.exif_transpose(opened)
            image.load()
    except Exception as error:  # Pillow's decoders raise what they like on broken files
        raise DataError(f"{where}: not an image that can be read ({error}): expected PNG, JPEG or WebP") from None
    if min(image.size) < SMALLEST_SIDE:
        raise DataError(
            f"{where}: {image.size[0]} x {image.size[1]} pixels: expected sides of at least {SMALLEST_SIDE}"
        )
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        above = image.convert("RGBA")
        image = pil.new("RGBA", above.size, (255, 255, 255, 255))
        image.alpha_composite(above)
    elif image.mode.startswith("I") or image.mode == "F":
        image = _eight_bits(image)
    return image.convert("RGB")


def image_uri(image: Image) -> str:
    """The image as a data URI, PNG without loss: the same pixels give the same string."""
    buffer = BytesIO()
    image.convert("RGB").save(buffer, format="PNG")
    return f"{_SCHEME}png;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"


def read_image_uri(path: str | Path) -> str:
    """An image file as a data URI, in RGB and without loss: what stays when the file does not.

    Raises:
        xpert.errors.DataError: As `open_image`.
    """
    return image_uri(open_image(str(path)))


def _bytes(answer: str) -> tuple[str, bytes]:
    """What to call the image in messages, and its encoded bytes."""
    if answer.startswith(_SCHEME):
        where = f"image {answer[:32]}..."
        try:
            return where, base64.b64decode(answer.partition(",")[2], validate=True)
        except binascii.Error as error:
            raise DataError(f"{where}: not base64 ({error}): write the image again") from None
    if not is_image(answer):
        raise DataError(f"expected an image (a path or a data URI), got the text {answer[:60]!r}")
    try:
        return answer, Path(answer).read_bytes()
    except OSError as error:
        raise DataError(f"image {answer}: cannot be read ({error.strerror}): check the path") from None


def _eight_bits(image: Any) -> Any:
    """A greyscale image of more than 8 bits a pixel, scaled to 8: 16-bit files by 256, others by their own range."""
    import numpy as np

    pil, _ = _pillow()
    values = np.asarray(image, np.float64)
    top = 65535.0 if image.mode.startswith("I") and values.max() > 255 else max(float(values.max()), 1.0)
    return pil.fromarray((values.clip(0, None) / top * 255).round().astype(np.uint8))


def _pillow() -> tuple[Any, Any]:
    try:
        from PIL import Image, ImageOps
    except ModuleNotFoundError:
        raise MissingDependencyError.of("Pillow", "diffusion", "an image answer") from None
    return Image, ImageOps
