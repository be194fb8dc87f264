"""Pictures of scenes, and folders of them with captions."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import TYPE_CHECKING

from xpert.zoo.pictures.scenes import Scene, Split, scenes
from xpert.zoo.pictures.styles import PLAIN, pixels

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["draw", "mixed_styles", "write_dataset"]


def draw(scene: Scene, style: str = PLAIN, seed: int = 0) -> Image:
    """A scene as a 64 x 64 RGB picture in a style; the seed draws paper, wobble and grain.

    Raises:
        ValueError: There is no such style.
        xpert.errors.MissingDependencyError: Pillow is not installed.
    """
    drawn = pixels(scene, style, seed)
    from PIL import Image

    return Image.fromarray(drawn)


def mixed_styles(style: str, similarity: float, n: int, seed: int) -> list[str]:
    """Styles of ``n`` pictures: a share of exactly ``similarity`` (rounded) in the style, the others plain, in a seeded order.

    Raises:
        ValueError: The similarity is not within 0..1.
    """
    if not 0 <= similarity <= 1:
        raise ValueError(f"mixed_styles: expected a similarity within 0..1, got {similarity}.")
    styled = round(similarity * n)
    styles = [style] * styled + [PLAIN] * (n - styled)
    random.Random(f"styles {seed}").shuffle(styles)
    return styles


def write_dataset(
    folder: str | Path, style: str, similarity: float = 1.0, n: int = 100, seed: int = 0, *, split: Split = "users"
) -> Path:
    """A folder of pictures with captions that do not name the style.

    It holds the PNG files, ``metadata.jsonl`` (``file_name``, ``text``: an image folder of ``datasets``) and ``data.jsonl``
    (``prompt``, ``image``: personal data of this library).

    Args:
        folder: Made if it is missing.
        style: The style of the styled pictures.
        similarity: Their share; the others are plain.
        n: How many pictures.
        seed: Draws the scenes, the order of the styles, and the pictures' grain.
        split: Whose scenes.

    Raises:
        ValueError: No such style or split, or a similarity outside 0..1.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    image_folder, personal = [], []
    kinds = mixed_styles(style, similarity, n, seed)
    for i, (scene, kind) in enumerate(zip(scenes(split, n, seed), kinds, strict=True)):
        name = f"{i:05d}.png"
        draw(scene, kind, seed * 1_000_003 + i).save(folder / name)
        image_folder.append({"file_name": name, "text": scene.caption})
        personal.append({"prompt": scene.caption, "image": name})
    for name, rows in (("metadata.jsonl", image_folder), ("data.jsonl", personal)):
        (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return folder
