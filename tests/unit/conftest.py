"""A planted image-text encoder: features are colours, so what differs between two images is known beforehand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

COLOURS = ("red", "green", "blue")


class ColourModel:
    """Image features: mean red, green, blue and a constant; text features: which of these words the text has, and another constant."""

    max_tokens = 64

    def __init__(self, *_: Any, **__: Any) -> None:
        from xpert.testing.tiny_clip import word_tokenizer

        self.tokenizer = word_tokenizer([*COLOURS, "crimson", "a", "picture", "photo", "of"], max_tokens=64)
        means = {"red": 0, "green": 1, "blue": 2, "crimson": 0}
        self._means = {self.tokenizer.convert_tokens_to_ids(word): place for word, place in means.items()}

    def width(self) -> int:
        return 5

    def image_features(self, images: Sequence[str]) -> np.ndarray:
        from xpert.images import open_image

        means = [np.asarray(open_image(image), np.float32).mean(axis=(0, 1)) / 255 for image in images]
        return np.stack([[*mean, 1.0, 0.0] for mean in means]).astype(np.float32)

    def text_features(self, chunks: Sequence[Sequence[int]]) -> np.ndarray:
        rows = np.zeros((len(chunks), 5), np.float32)
        rows[:, 4] = 2.0
        for row, chunk in zip(rows, chunks, strict=True):
            for token in chunk:
                if token in self._means:
                    row[self._means[token]] += 1
        return rows


@pytest.fixture
def colour_encoder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Any]:
    """Makes an `ImageEncoderSummarizer` whose model is planted; the usual options, three colours as words."""
    pytest.importorskip("PIL", reason="needs the extra 'diffusion'")
    from xpert.summarizers import image_encoder

    monkeypatch.setattr(image_encoder, "ImageTextModel", ColourModel)

    folder = tmp_path / "colours"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"planted")

    def make(**options: Any) -> Any:
        return image_encoder.ImageEncoderSummarizer(folder, **{"words": COLOURS, **options})

    return make


@pytest.fixture
def picture() -> Callable[..., str]:
    """A picture of one colour, as a data URI."""
    pytest.importorskip("PIL", reason="needs the extra 'diffusion'")
    from PIL import Image

    from xpert.images import image_uri

    def draw(red: int = 128, green: int = 128, blue: int = 128, *, size: tuple[int, int] = (16, 16)) -> str:
        return image_uri(Image.new("RGB", size, (red, green, blue)))

    return draw
