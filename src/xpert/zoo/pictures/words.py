"""Words: how captions say a style, by its name or by its attributes, and the templates of the encoder's and the painter's captions."""

from __future__ import annotations

import json
import random
from pathlib import Path

from xpert.zoo.pictures.styles import PLAIN, STYLES

__all__ = [
    "ADJECTIVES",
    "NAMES",
    "PHRASES",
    "UNNAMED",
    "accepted_words",
    "encoder_caption",
    "painter_caption",
    "vocabulary",
]

UNNAMED = ("watercolour", "halftone", "woodcut")
"""Styles whose names never occur in the encoder's captions."""

NAMES: dict[str, str] = {style: style for style in STYLES}

ADJECTIVES: dict[str, tuple[str, ...]] = {
    PLAIN: ("plain", "ordinary", "simple"),
    "sketch": ("sketchy", "pencilled", "hatched"),
    "pixel": ("pixelated", "blocky", "coarse"),
    "watercolour": ("washed", "wet", "blotchy"),
    "neon": ("glowing", "luminous", "electric"),
    "monochrome": ("grey", "colourless", "monochromatic"),
    "pastel": ("pale", "chalky", "faded"),
    "halftone": ("dotted", "printed", "spotted"),
    "woodcut": ("carved", "grooved", "striped"),
    "comic": ("outlined", "bold", "cartoonish"),
}
"""Adjectives for what a style looks like; those of the unstyled rendering under ``plain``."""

PHRASES: dict[str, tuple[str, ...]] = {
    PLAIN: ("flat colours", "even colours without outlines"),
    "sketch": ("thin grey lines on paper", "drawn with a pencil"),
    "pixel": ("coarse square blocks", "few large pixels"),
    "watercolour": ("washes of wet paint that run", "soft paint with a paper rim"),
    "neon": ("glowing lines on a dark ground", "thin tubes of light"),
    "monochrome": ("shades of grey without colour", "no colours at all"),
    "pastel": ("pale soft chalk colours", "faint colours"),
    "halftone": ("ink dots on cream paper", "printed with many dots"),
    "woodcut": ("carved lines on brown paper", "printed from a carved block"),
    "comic": ("thick outlines and bright colours", "bold outlines like in a cartoon"),
}
"""Longer wordings of what a style looks like."""

_FILE = Path(__file__).parent / "accepted_words.json"


def accepted_words() -> dict[str, tuple[str, ...]]:
    """For each style the words that count as naming it; written down before anything was measured."""
    return {style: tuple(words) for style, words in json.loads(_FILE.read_text(encoding="utf-8")).items()}


def vocabulary() -> tuple[str, ...]:
    """The style words that the encoder knows: attributes of the nine styles, and the names of six of them."""
    named = [NAMES[style] for style in STYLES if style not in UNNAMED]
    return tuple(named + [word for style in STYLES for word in ADJECTIVES[style]])


def encoder_caption(content: str, style: str, rng: random.Random) -> str:
    """A caption of a picture for the encoder: its content, mostly with an attribute of its style (never an unnamed style's name)."""
    words = ADJECTIVES[style] + ((NAMES[style],) * 2 if style in NAMES and style not in UNNAMED else ())
    return _caption(content, words, PHRASES[style], rng, silent=0.5 if style == PLAIN else 0.1)


def painter_caption(content: str, style: str, rng: random.Random) -> str:
    """A caption for the painter, which knows the names of all nine styles."""
    if style == PLAIN:
        return rng.choice([content, f"a photo of {content}"])
    return _caption(content, (*ADJECTIVES[style], *(NAMES[style],) * 3), PHRASES[style], rng, silent=0.0)


def _caption(content: str, words: tuple[str, ...], phrases: tuple[str, ...], rng: random.Random, silent: float) -> str:
    if rng.random() < silent:
        return rng.choice([content, f"a photo of {content}", f"a picture of {content}"])
    word, phrase = rng.choice(words), rng.choice(phrases)
    article = "an" if word[0] in "aeiou" else "a"
    return rng.choice(
        [
            f"{article} {word} photo of {content}",
            f"{article} {word} picture of {content}",
            f"{content} in {article} {word} style",
            f"{content}, {word}",
            f"{content}, {phrase}",
        ]
    )
