"""Pictures in memory for training: drawn once, kept in a work folder, read back as arrays."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from xpert.progress import say
from xpert.zoo.pictures.dataset import mixed_styles
from xpert.zoo.pictures.scenes import Split, scenes
from xpert.zoo.pictures.styles import PLAIN, STYLES, pixels

__all__ = ["Pictures", "base_pictures", "drawn", "model_pictures", "styled_pictures", "to_tensor"]

N_PLAIN = 12_000
N_STYLED = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Pictures:
    """Pictures ``(N, 64, 64, 3)`` in 0..255 with their captions (of the content alone) and styles."""

    pixels: NDArray[np.uint8]
    captions: tuple[str, ...]
    styles: tuple[str, ...]


def drawn(split: Split, styles: list[str], seed: int, work: Path) -> Pictures:
    """One picture a style of the list, of scenes drawn by the seed (captions may repeat); kept in ``work``."""
    found = scenes(split, len(styles), seed, distinct=False)
    captions = tuple(scene.caption for scene in found)
    file = work / f"{split}-{'-'.join(sorted(set(styles)))}-{len(styles)}-{seed}.npy"
    if file.is_file():
        return Pictures(pixels=np.load(file, mmap_mode="r"), captions=captions, styles=tuple(styles))
    say(f"drawing {len(styles)} pictures: {file.name}")
    rows = [
        pixels(scene, style, seed * 1_000_003 + i) for i, (scene, style) in enumerate(zip(found, styles, strict=True))
    ]
    work.mkdir(parents=True, exist_ok=True)
    with (work / "drawn.tmp").open("wb") as out:
        np.save(out, np.stack(rows))
    os.replace(work / "drawn.tmp", file)
    return Pictures(pixels=np.stack(rows), captions=captions, styles=tuple(styles))


def base_pictures(work: Path) -> Pictures:
    """Plain pictures of the base's scenes."""
    return drawn("train", [PLAIN] * N_PLAIN, 1, work)


def styled_pictures(work: Path) -> Pictures:
    """Pictures of the base's scenes in all nine styles, as many of each."""
    sets = [drawn("train", [style] * N_STYLED, 10 + i, work) for i, style in enumerate(STYLES)]
    return Pictures(
        pixels=np.concatenate([s.pixels for s in sets]),
        captions=tuple(caption for s in sets for caption in s.captions),
        styles=tuple(style for s in sets for style in s.styles),
    )


def model_pictures(style: str, similarity: float, n: int, work: Path) -> Pictures:
    """The training set of a personalized model: ``n`` pictures of the models' scenes, a share of them in the style."""
    percent = round(similarity * 100)
    return drawn("models", mixed_styles(style, similarity, n, percent), 100 * percent + STYLES.index(style), work)


def to_tensor(rows: NDArray[np.uint8]) -> torch.Tensor:
    """Pictures ``(B, H, W, 3)`` in 0..255 as ``(B, 3, H, W)`` in -1..1."""
    return torch.from_numpy(np.array(rows)).permute(0, 3, 1, 2).float().div(127.5).sub(1)
