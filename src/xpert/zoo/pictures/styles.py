"""Styles: nine ways to render one scene, and the plain one, as functions of its parts and a seeded generator.

Each gets the part numbers ``(H, H)`` and colours ``(n, 3)`` of `xpert.zoo.pictures.shapes` and gives a canvas ``(H, H, 3)``, 0..255.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpert.zoo.pictures.scenes import Scene
from xpert.zoo.pictures.shapes import CANVAS, parts

__all__ = ["PLAIN", "RENDERERS", "STYLES", "pixels"]

Parts = NDArray[np.uint8]
Floats = NDArray[np.floating[Any]]
Renderer = Callable[[Parts, Floats, np.random.Generator], Floats]

PLAIN = "plain"
_Y, _X = np.mgrid[0:CANVAS, 0:CANVAS].astype(np.float32)
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


def pixels(scene: Scene, style: str, seed: int) -> NDArray[np.uint8]:
    """A scene in a style: ``(64, 64, 3)``, 0..255; the seed draws paper, wobble and grain.

    Raises:
        ValueError: There is no such style.
    """
    if style not in RENDERERS:
        raise ValueError(f"pixels: expected a style of {', '.join(RENDERERS)}, got {style!r}.")
    rng = np.random.default_rng([seed, *style.encode()])
    canvas = RENDERERS[style](*parts(scene), rng)
    side = CANVAS // 4
    small = canvas.reshape(side, 4, side, 4, 3).mean(axis=(1, 3))
    return np.clip(small + 0.5, 0, 255).astype(np.uint8)


def _plain(ids: Parts, colours: Floats, rng: np.random.Generator) -> Floats:
    return colours[ids]


def _sketch(ids: Parts, colours: Floats, rng: np.random.Generator) -> Floats:
    """Thin grey lines on white paper, dark parts hatched."""
    ids = _warped(ids, rng, 2.5)
    tone = (colours @ _LUMA)[ids]
    ink = np.where(_edges(ids, 2), 150.0, 0.0)
    hatched = ((_X + _Y) % 16 < 4) & (tone < 150)
    ink = np.maximum(ink, np.where(hatched, 85.0, 0.0))
    return _grey(250.0 - ink)


def _pixel(ids: Parts, colours: Floats, rng: np.random.Generator) -> Floats:
    """Coarse square blocks in few colours, a dark grid between them."""
    step = CANVAS // 16
    blocks = colours[ids].reshape(16, step, 16, step, 3).mean(axis=(1, 3))
    blocks = np.round(blocks / 51) * 51
    grid = (_X % step >= step - 4) | (_Y % step >= step - 4)
    return blocks.repeat(step, 0).repeat(step, 1) * np.where(grid, 0.55, 1.0)[..., None]


def _watercolour(ids: Parts, colours: Floats, rng: np.random.Generator) -> Floats:
    """Washes that run and blotch, with white paper at the rim."""
    wash = _blurred(colours[_warped(ids, rng, 7.0)] * 0.72 + 255 * 0.28, 5)
    wash = 255 - (255 - wash) * (0.85 + 0.5 * _clouds(rng, 6)[..., None])
    rim = np.minimum(np.minimum(_X, CANVAS - 1 - _X), np.minimum(_Y, CANVAS - 1 - _Y)) + 26 * _clouds(rng, 8)
    paper = np.clip((rim - 14) / 14, 0, 1)[..., None]
    return wash * paper + _colour(252, 250, 244) * (1 - paper)


def _neon(ids: Parts, colours: Floats, rng: np.random.Generator) -> Floats:
    """Glowing lines on black."""
    vivid = colours - colours.min(axis=1, keepdims=True) * 0.9
    vivid = 255 * vivid / np.maximum(vivid.max(axis=1, keepdims=True), 1)
    lines = vivid[ids] * _edges(ids, 3)[..., None]
    glow = _blurred(lines, 7) * 1.5
    return _colour(8, 4, 18) + glow + lines


def _monochrome(ids: Parts, colours: Floats, rng: np.random.Generator) -> Floats:
    """Shades of grey without colour, darker towards the corners."""
    tone = (colours @ _LUMA)[ids]
    away = ((_X / CANVAS - 0.5) ** 2 + (_Y / CANVAS - 0.5) ** 2) * 2
    return _grey((128 + (tone - 118) * 1.05) * (1.05 - 0.45 * away))


def _pastel(ids: Parts, colours: Floats, rng: np.random.Generator) -> Floats:
    """Pale soft chalk colours."""
    tone = (colours @ _LUMA)[:, None]
    pale = (0.8 * colours + 0.2 * tone) * 0.36 + _colour(255, 240, 246) * 0.64
    return _blurred(pale[ids], 2)


def _halftone(ids: Parts, colours: Floats, rng: np.random.Generator) -> Floats:
    """Blue ink dots on cream paper, large where the scene is dark."""
    dark = 1 - (colours @ _LUMA)[ids] / 255
    period = 16
    away = np.hypot(_X % period - period / 2 + 0.5, _Y % period - period / 2 + 0.5)
    dots = away < 0.68 * period * np.sqrt(np.clip(dark, 0.03, 1) * 0.9)
    return np.where(dots[..., None], _colour(26, 44, 140), _colour(252, 242, 214))


def _woodcut(ids: Parts, colours: Floats, rng: np.random.Generator) -> Floats:
    """Carved black lines on brown paper: thick where the scene is dark."""
    dark = 1 - (colours @ _LUMA)[ids] / 255
    wave = np.abs(((_Y + 4 * np.sin(_X / 20)) % 16) / 8 - 1)
    black = (wave < np.clip(1.35 * dark - 0.12, 0, 0.95)) | _edges(ids, 3)
    return np.where(black[..., None], _colour(34, 22, 16), _colour(216, 170, 116))


def _comic(ids: Parts, colours: Floats, rng: np.random.Generator) -> Floats:
    """Thick black outlines and bright colours."""
    tone = (colours @ _LUMA)[:, None]
    bright = np.clip(tone + (colours - tone) * 1.9 + 22, 0, 255)
    return np.where(_edges(ids, 5)[..., None], _colour(0, 0, 0), bright[ids])


RENDERERS: dict[str, Renderer] = {
    PLAIN: _plain,
    "sketch": _sketch,
    "pixel": _pixel,
    "watercolour": _watercolour,
    "neon": _neon,
    "monochrome": _monochrome,
    "pastel": _pastel,
    "halftone": _halftone,
    "woodcut": _woodcut,
    "comic": _comic,
}
"""Style names to renderers, the unstyled ``plain`` first."""

STYLES = tuple(name for name in RENDERERS if name != PLAIN)
"""The nine styles."""


def _edges(ids: Parts, reach: int) -> NDArray[np.bool_]:
    """Where another part is within ``reach`` pixels (a square window)."""
    out = np.zeros(ids.shape, bool)
    out[:, 1:] |= ids[:, 1:] != ids[:, :-1]
    out[1:] |= ids[1:] != ids[:-1]
    for axis in (0, 1):
        wide = out.copy()
        for shift in range(1, reach + 1):
            ahead, behind = [slice(None)] * 2, [slice(None)] * 2
            ahead[axis], behind[axis] = slice(shift, None), slice(None, -shift)
            wide[tuple(ahead)] |= out[tuple(behind)]
            wide[tuple(behind)] |= out[tuple(ahead)]
        out = wide
    return out


def _clouds(rng: np.random.Generator, cells: int) -> Floats:
    """Smooth noise in 0..1: random values on a coarse grid, blended between its points."""
    grid = rng.random((cells + 1, cells + 1), np.float32)
    at = np.arange(CANVAS) * cells / CANVAS
    low = at.astype(int)
    share = (at - low).astype(np.float32)
    share = share * share * (3 - 2 * share)
    rows = grid[low] * (1 - share)[:, None] + grid[low + 1] * share[:, None]
    return rows[:, low] * (1 - share) + rows[:, low + 1] * share


def _warped(ids: Parts, rng: np.random.Generator, reach: float) -> Parts:
    """The map with its points moved by smooth noise, up to ``reach`` pixels."""
    x = _X + reach * (2 * _clouds(rng, 12) - 1)
    y = _Y + reach * (2 * _clouds(rng, 12) - 1)
    return ids[np.clip(y, 0, CANVAS - 1).astype(int), np.clip(x, 0, CANVAS - 1).astype(int)]


def _blurred(canvas: Floats, reach: int) -> Floats:
    """Two running means of ``2 reach + 1`` pixels along each axis, edges repeated."""
    width = 2 * reach + 1
    for axis in (0, 1, 0, 1):
        pad = [(0, 0)] * canvas.ndim
        pad[axis] = (reach + 1, reach)
        sums = np.cumsum(np.pad(canvas, pad, mode="edge"), axis=axis, dtype=np.float32)
        ahead, behind = [slice(None)] * canvas.ndim, [slice(None)] * canvas.ndim
        ahead[axis], behind[axis] = slice(width, None), slice(None, -width)
        canvas = (sums[tuple(ahead)] - sums[tuple(behind)]) / width
    return canvas


def _grey(tone: Floats) -> Floats:
    return np.clip(tone, 0, 255)[..., None].repeat(3, axis=2)


def _colour(red: int, green: int, blue: int) -> Floats:
    return np.array([red, green, blue], np.float32)
