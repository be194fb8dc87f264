from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("PIL")
from PIL import Image

from xpert.errors import DataError
from xpert.images import image_uri, is_image, open_image, read_image_uri

PIXELS = np.arange(16 * 12 * 3, dtype=np.uint8).reshape(12, 16, 3)


def test_an_image_survives_as_a_string() -> None:
    image = Image.fromarray(PIXELS)
    uri = image_uri(image)
    assert is_image(uri)
    assert uri == image_uri(image)
    assert np.array_equal(np.asarray(open_image(uri)), PIXELS)


def test_a_file_and_its_uri_are_the_same_image(tmp_path: Path) -> None:
    Image.fromarray(PIXELS).save(tmp_path / "a.png")
    uri = read_image_uri(tmp_path / "a.png")
    assert np.array_equal(np.asarray(open_image(uri)), np.asarray(open_image(str(tmp_path / "a.png"))))


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "LA", "1", "CMYK", "I;16", "I", "F"])
def test_every_mode_becomes_rgb(tmp_path: Path, mode: str) -> None:
    name = tmp_path / ("a.tiff" if mode in ("CMYK", "F", "I", "I;16") else "a.png")
    if mode == "I;16":
        Image.fromarray(PIXELS[..., 0].astype(np.uint16) * 257).save(name)
    elif mode in ("I", "F"):
        Image.fromarray(PIXELS[..., 0]).convert(mode).save(name)
    else:
        Image.fromarray(PIXELS).convert(mode).save(name)
    image = open_image(str(name))
    assert image.mode == "RGB"
    assert image.size == (16, 12)
    if mode in ("L", "I;16"):
        grey = np.asarray(image)
        assert np.array_equal(grey[..., 0], grey[..., 1])
    if mode == "I;16":
        assert np.abs(np.asarray(image)[..., 0].astype(int) - PIXELS[..., 0]).max() <= 1


def test_transparency_lies_on_white() -> None:
    clear = Image.new("RGBA", (16, 16), (0, 0, 0, 0))
    path_pixels = np.asarray(open_image(image_uri_of_rgba(clear)))
    assert (path_pixels == 255).all()


def image_uri_of_rgba(image: Image.Image) -> str:
    import base64
    from io import BytesIO

    buffer = BytesIO()
    image.save(buffer, format="PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("just words", "expected an image"),
        ("data:image/png;base64,@@", "not base64"),
        ("data:image/png;base64,aGVsbG8=", "not an image that can be read"),
        ("nowhere.png", "nowhere.png: cannot be read"),
    ],
)
def test_what_is_no_image_is_told(answer: str, said: str) -> None:
    with pytest.raises(DataError, match=said):
        open_image(answer)


def test_tiny_and_truncated_images_are_told(tmp_path: Path) -> None:
    Image.fromarray(PIXELS[:4]).save(tmp_path / "tiny.png")
    with pytest.raises(DataError, match="16 x 4 pixels"):
        open_image(str(tmp_path / "tiny.png"))
    Image.fromarray(PIXELS.repeat(20, 0).repeat(20, 1)).save(tmp_path / "whole.png")
    data = (tmp_path / "whole.png").read_bytes()
    (tmp_path / "half.png").write_bytes(data[: len(data) // 2])
    with pytest.raises(DataError, match=r"half\.png: not an image"):
        open_image(str(tmp_path / "half.png"))
