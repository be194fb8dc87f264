"""Shapes: a scene as a map of parts (each part has one colour) at four times the picture's side."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from xpert.errors import MissingDependencyError
from xpert.zoo.pictures.scenes import COLOURS, PLACES, Scene, Thing

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw

__all__ = ["CANVAS", "SIDE", "parts"]

SIDE = 64
"""Side of a picture, pixels."""

CANVAS = 4 * SIDE
"""Side of the canvas that scenes are drawn on, pixels; pictures are its means over 4 x 4."""

Colour = tuple[int, int, int]
_WOOD: Colour = (120, 78, 44)
_DARK: Colour = (52, 54, 64)
_GLASS: Colour = (206, 230, 244)


class _Canvas:
    """Parts painted one over another: a map of part numbers and one colour a part."""

    def __init__(self, draw: ImageDraw) -> None:
        self.draw = draw
        self.colours: list[Colour] = []

    def polygon(self, points: list[tuple[float, float]], colour: Colour) -> None:
        self.draw.polygon([(x * CANVAS, y * CANVAS) for x, y in points], fill=self._part(colour))

    def ellipse(self, x: float, y: float, rx: float, ry: float, colour: Colour) -> None:
        box = [(x - rx) * CANVAS, (y - ry) * CANVAS, (x + rx) * CANVAS, (y + ry) * CANVAS]
        self.draw.ellipse(box, fill=self._part(colour))

    def box(self, left: float, top: float, right: float, bottom: float, colour: Colour) -> None:
        self.polygon([(left, top), (right, top), (right, bottom), (left, bottom)], colour)

    def _part(self, colour: Colour) -> int:
        self.colours.append(colour)
        return len(self.colours) - 1


def parts(scene: Scene) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """The map of a scene's parts and their colours.

    Returns:
        Part numbers ``(CANVAS, CANVAS)``, and colours ``(n_parts, 3)`` in 0..255.

    Raises:
        xpert.errors.MissingDependencyError: Pillow is not installed.
    """
    try:
        from PIL import Image, ImageDraw
    except ModuleNotFoundError:
        raise MissingDependencyError.of("Pillow", "diffusion", "a picture of the zoo") from None
    image = Image.new("L", (CANVAS, CANVAS))
    canvas = _Canvas(ImageDraw.Draw(image))
    _background(canvas, scene)
    for thing in scene.things:
        _DRAWN[thing.kind](canvas, thing, COLOURS[thing.colour])
    return np.asarray(image), np.asarray(canvas.colours, np.float32)


def _background(canvas: _Canvas, scene: Scene) -> None:
    place = PLACES[scene.place]
    canvas.box(0, 0, 1, 1, place.sky)
    if scene.place == "night":
        canvas.ellipse(0.86, 0.14, 0.08, 0.08, (244, 240, 206))
    elif scene.place == "beach":
        canvas.ellipse(0.86, 0.14, 0.09, 0.09, (255, 190, 60))
    elif scene.place == "mountains":
        top = scene.horizon
        canvas.polygon([(-0.1, top), (0.22, top - 0.42), (0.54, top)], (134, 138, 156))
        canvas.polygon([(0.4, top), (0.76, top - 0.5), (1.12, top)], (112, 116, 136))
    canvas.box(0, scene.horizon, 1, 1, place.ground)


def _circle(canvas: _Canvas, thing: Thing, colour: Colour) -> None:
    canvas.ellipse(thing.x, thing.y, thing.size, thing.size, colour)


def _square(canvas: _Canvas, thing: Thing, colour: Colour) -> None:
    side = thing.size * 0.9
    canvas.box(thing.x - side, thing.y - side, thing.x + side, thing.y + side, colour)


def _triangle(canvas: _Canvas, thing: Thing, colour: Colour) -> None:
    canvas.polygon(_at(thing, [(0, -1), (1.08, 0.86), (-1.08, 0.86)]), colour)


def _star(canvas: _Canvas, thing: Thing, colour: Colour) -> None:
    turn = [math.pi * (i / 5 - 0.5) for i in range(10)]
    reach = [1.15 if i % 2 == 0 else 0.48 for i in range(10)]
    canvas.polygon(_at(thing, [(r * math.cos(a), r * math.sin(a)) for r, a in zip(reach, turn, strict=True)]), colour)


def _heart(canvas: _Canvas, thing: Thing, colour: Colour) -> None:
    angles = [2 * math.pi * i / 60 for i in range(60)]
    wave = [13 * math.cos(a) - 5 * math.cos(2 * a) - 2 * math.cos(3 * a) - math.cos(4 * a) for a in angles]
    points = [(math.sin(a) ** 3 * 1.05, -y / 15.5 - 0.1) for a, y in zip(angles, wave, strict=True)]
    canvas.polygon(_at(thing, points), colour)


def _house(canvas: _Canvas, thing: Thing, colour: Colour) -> None:
    canvas.polygon(_at(thing, [(-0.85, -0.15), (0.85, -0.15), (0.85, 1), (-0.85, 1)]), colour)
    canvas.polygon(_at(thing, [(0, -1.05), (1.1, -0.12), (-1.1, -0.12)]), _shade(colour))
    canvas.polygon(_at(thing, [(-0.22, 0.35), (0.22, 0.35), (0.22, 1), (-0.22, 1)]), _WOOD)


def _tree(canvas: _Canvas, thing: Thing, colour: Colour) -> None:
    canvas.polygon(_at(thing, [(-0.18, 0.2), (0.18, 0.2), (0.18, 1.1), (-0.18, 1.1)]), _WOOD)
    canvas.ellipse(thing.x, thing.y - 0.3 * thing.size, 0.82 * thing.size, 0.8 * thing.size, colour)


def _boat(canvas: _Canvas, thing: Thing, colour: Colour) -> None:
    canvas.polygon(_at(thing, [(-0.06, -1), (0.06, -1), (0.06, 0.5), (-0.06, 0.5)]), _DARK)
    canvas.polygon(_at(thing, [(0.12, -0.98), (0.95, 0.3), (0.12, 0.3)]), colour)
    canvas.polygon(_at(thing, [(-1.1, 0.42), (1.1, 0.42), (0.7, 0.98), (-0.7, 0.98)]), _WOOD)


def _flower(canvas: _Canvas, thing: Thing, colour: Colour) -> None:
    canvas.polygon(_at(thing, [(-0.08, 0.1), (0.08, 0.1), (0.08, 1.15), (-0.08, 1.15)]), (40, 110, 50))
    for i in range(5):
        angle = 2 * math.pi * i / 5 - math.pi / 2
        x, y = thing.x + 0.52 * thing.size * math.cos(angle), thing.y + thing.size * (0.52 * math.sin(angle) - 0.25)
        canvas.ellipse(x, y, 0.4 * thing.size, 0.4 * thing.size, colour)
    middle = (250, 226, 90) if colour != COLOURS["yellow"] else _WOOD
    canvas.ellipse(thing.x, thing.y - 0.25 * thing.size, 0.27 * thing.size, 0.27 * thing.size, middle)


def _car(canvas: _Canvas, thing: Thing, colour: Colour) -> None:
    canvas.polygon(_at(thing, [(-0.6, -0.6), (0.5, -0.6), (0.75, 0.05), (-0.75, 0.05)]), _shade(colour))
    canvas.polygon(_at(thing, [(-0.45, -0.42), (0.38, -0.42), (0.52, 0), (-0.52, 0)]), _GLASS)
    canvas.polygon(_at(thing, [(-1.15, 0), (1.15, 0), (1.15, 0.55), (-1.15, 0.55)]), colour)
    for side in (-0.62, 0.62):
        canvas.ellipse(
            thing.x + side * thing.size, thing.y + 0.58 * thing.size, 0.3 * thing.size, 0.3 * thing.size, _DARK
        )


_DRAWN = {
    "circle": _circle,
    "square": _square,
    "triangle": _triangle,
    "star": _star,
    "heart": _heart,
    "house": _house,
    "tree": _tree,
    "boat": _boat,
    "flower": _flower,
    "car": _car,
}


def _at(thing: Thing, points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    return [(thing.x + x * thing.size, thing.y + y * thing.size) for x, y in points]


def _shade(colour: Colour) -> Colour:
    """A darker tone of a colour (a lighter one of black)."""
    if sum(colour) < 150:
        return (86, 86, 94)
    return (int(colour[0] * 0.68), int(colour[1] * 0.68), int(colour[2] * 0.68))
