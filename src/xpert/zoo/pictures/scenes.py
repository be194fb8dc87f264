"""Scenes: what a picture shows, as a caption and a geometry, drawn from a small grammar by a seed.

A caption has one of three forms: one thing ("a big red house on a field"), several alike ("three blue stars in the snow"), or two
in a relation ("a red circle above a blue square at night"). Captions fall into splits by their hash, so that no caption is in two.
"""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass
from typing import Literal

__all__ = ["COLOURS", "KINDS", "PLACES", "SPLITS", "Place", "Scene", "Split", "Thing", "scenes", "split_of"]

Split = Literal["train", "models", "users", "probes"]

SPLITS: dict[Split, range] = {
    "train": range(60),
    "models": range(60, 75),
    "users": range(75, 90),
    "probes": range(90, 100),
}
"""Hash values (0..99) of the captions of each split: the base's, the personalized models', the users', the probe prompts'."""

KINDS = ("circle", "square", "triangle", "star", "heart", "house", "tree", "boat", "flower", "car")

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (214, 44, 40),
    "blue": (40, 84, 204),
    "green": (30, 136, 56),
    "yellow": (248, 210, 36),
    "purple": (132, 56, 172),
    "orange": (244, 128, 24),
    "white": (252, 252, 252),
    "black": (28, 28, 32),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A background: how a caption says it, the colours of sky and ground, and the colours that things there do not have."""

    phrase: str
    sky: tuple[int, int, int]
    ground: tuple[int, int, int]
    without: tuple[str, ...] = ()


PLACES: dict[str, Place] = {
    "field": Place(phrase="on a field", sky=(156, 208, 246), ground=(118, 190, 84), without=("green",)),
    "beach": Place(phrase="on the beach", sky=(176, 224, 250), ground=(240, 218, 164), without=("yellow",)),
    "sea": Place(phrase="on the sea", sky=(204, 228, 240), ground=(44, 124, 176), without=("blue",)),
    "snow": Place(phrase="in the snow", sky=(176, 190, 208), ground=(236, 242, 250), without=("white",)),
    "night": Place(phrase="at night", sky=(22, 28, 76), ground=(36, 62, 60), without=("black", "blue")),
    "mountains": Place(phrase="by the mountains", sky=(196, 222, 240), ground=(138, 160, 104)),
    "desert": Place(phrase="in the desert", sky=(250, 206, 146), ground=(206, 144, 84), without=("orange",)),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Thing:
    """One thing of a scene: its kind and colour, its centre and half width as shares of the picture's side."""

    kind: str
    colour: str
    x: float
    y: float
    size: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A caption and the geometry that it leaves open: place, height of the horizon (share of the side), things back to front."""

    caption: str
    place: str
    horizon: float
    things: tuple[Thing, ...]


_SIZES = {"": 0.25, "big ": 0.34, "small ": 0.15}
_RELATIONS = {
    "above": ((0.5, 0.27), (0.5, 0.74)),
    "below": ((0.5, 0.74), (0.5, 0.27)),
    "left of": ((0.27, 0.54), (0.74, 0.54)),
    "right of": ((0.74, 0.54), (0.27, 0.54)),
}
_COUNTS = {"two": ((0.27, 0.54), (0.73, 0.54)), "three": ((0.22, 0.66), (0.5, 0.32), (0.78, 0.66))}


def split_of(caption: str) -> Split:
    """The one split that a caption belongs to, by its hash."""
    value = int.from_bytes(hashlib.sha256(caption.encode()).digest()[:4], "big") % 100
    return next(split for split, values in SPLITS.items() if value in values)


def scenes(split: Split, n: int, seed: int, *, distinct: bool = True) -> list[Scene]:
    """Scenes of one split, drawn by the seed.

    Args:
        split: Whose captions.
        n: How many scenes.
        seed: Draws captions and geometry.
        distinct: No caption twice; else captions may come again with another geometry.

    Raises:
        ValueError: There is no such split.
    """
    if split not in SPLITS:
        raise ValueError(f"scenes: expected a split of {', '.join(SPLITS)}, got {split!r}.")
    rng = random.Random(f"scenes {split} {seed}")
    out: list[Scene] = []
    seen: set[str] = set()
    while len(out) < n:
        scene = _scene(rng)
        if split_of(scene.caption) == split and scene.caption not in seen:
            out.append(scene)
            if distinct:
                seen.add(scene.caption)
    return out


def _scene(rng: random.Random) -> Scene:
    place = rng.choice(list(PLACES))
    form = rng.random()
    if form < 0.4:
        caption, things = _one(rng, place)
    elif form < 0.6:
        caption, things = _several(rng, place)
    else:
        caption, things = _two(rng, place)
    return Scene(
        caption=f"{caption} {PLACES[place].phrase}",
        place=place,
        horizon=0.6 + rng.uniform(-0.03, 0.03),
        things=tuple(things),
    )


def _one(rng: random.Random, place: str) -> tuple[str, list[Thing]]:
    kind, colour, size = rng.choice(KINDS), _colour(rng, place), rng.choice(list(_SIZES))
    article = "an" if not size and colour[0] in "aeiou" else "a"
    return f"{article} {size}{colour} {kind}", [_thing(rng, kind, colour, (0.5, 0.54), _SIZES[size])]


def _several(rng: random.Random, place: str) -> tuple[str, list[Thing]]:
    kind, colour, count = rng.choice(KINDS), _colour(rng, place), rng.choice(list(_COUNTS))
    spots = _COUNTS[count]
    return f"{count} {colour} {kind}s", [_thing(rng, kind, colour, spot, 0.52 / (len(spots) + 0.6)) for spot in spots]


def _two(rng: random.Random, place: str) -> tuple[str, list[Thing]]:
    relation = rng.choice(list(_RELATIONS))
    first, second = rng.sample(KINDS, 2)
    colours = [_colour(rng, place) for _ in range(2)]
    names = [
        f"{'an' if colour[0] in 'aeiou' else 'a'} {colour} {kind}"
        for kind, colour in zip((first, second), colours, strict=True)
    ]
    things = [
        _thing(rng, kind, colour, spot, 0.19)
        for kind, colour, spot in zip((first, second), colours, _RELATIONS[relation], strict=True)
    ]
    return f"{names[0]} {relation} {names[1]}", things


def _colour(rng: random.Random, place: str) -> str:
    return rng.choice([colour for colour in COLOURS if colour not in PLACES[place].without])


def _thing(rng: random.Random, kind: str, colour: str, spot: tuple[float, float], size: float) -> Thing:
    return Thing(
        kind=kind,
        colour=colour,
        x=round(spot[0] + rng.uniform(-0.03, 0.03), 4),
        y=round(spot[1] + rng.uniform(-0.03, 0.03), 4),
        size=round(size * rng.uniform(0.93, 1.07), 4),
    )
