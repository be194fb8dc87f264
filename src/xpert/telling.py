"""An explanation as people read it: the axes in order, and the length of a text among the words, by a word of its own."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from xpert.basis import FIRST, SubvectorBasis
from xpert.types import Array

__all__ = ["CLEARLY", "POLES", "SAYS", "adjectives", "by_axis", "kinds_told", "told"]

POLES: Mapping[str, tuple[str, str]] = {"longer": ("lengthy", "brief")}
"""A measured quantity that has an adjective in either direction: what more of it is called, and what less of it is."""

CLEARLY = math.log(1.25)
"""From a quarter longer, or four fifths of the length, a text is called lengthy or brief."""

_LENGTHY = """
informative detailed thorough comprehensive elaborate extensive exhaustive expansive lengthy long wordy verbose long-winded
explanatory descriptive complete in-depth
"""
_BRIEF = """
concise brief terse short succinct compact pithy condensed laconic telegraphic compressed minimal abridged curt summarized
"""
SAYS: Mapping[str, frozenset[str]] = {
    "lengthy": frozenset(_LENGTHY.split()),
    "brief": frozenset(_BRIEF.split()),
}
"""Words that say of a text what its length says: where one stands among the first, the length need not."""


def told(basis: SubvectorBasis, coordinates: Array, said: Sequence[str] = ()) -> tuple[tuple[int, str, float], ...]:
    """Every axis once, for people to read: its place in the basis, the word that it is told by, and its value.

    As `SubvectorBasis.order` has them; but a text that is clearly longer or shorter is told so by an adjective, with a positive
    value: among the first `FIRST` words, unless one of them says so already (then right behind them). Where a word axis has that adjective for its name, the axis keeps it, and
    length is told as the measured quantity that it is. No encoder sees how long a text is, and a language model that reads its beginning
    does not either.

    Args:
        basis: The axes.
        coordinates: ``(K,)``.
        said: Words that the summarizer gave for the embedding, the surest first; none: not known.
    """
    z, order = np.asarray(coordinates, np.float64), list(basis.order(coordinates, said))
    names, values = list(basis.words), z.tolist()
    for i, pole in adjectives(basis, z, CLEARLY).items():
        names[i], values[i] = pole, abs(float(z[i]))
        order.remove(i)
        first = [j for j in order[:FIRST] if basis.axes[j].kind == "word"]
        is_said = any(z[j] > 0 and basis.axes[j].word in SAYS[pole] for j in first)
        order.insert(min(len(first), FIRST if is_said else FIRST - 1), i)
    return tuple((i, names[i], values[i]) for i in order)


def kinds_told(basis: SubvectorBasis) -> dict[str, str]:
    """Every word that an explanation may tell an axis by, to the axis's kind: ``word``, ``measured`` or ``unnamed``.

    Args:
        basis: The axes.
    """
    kinds: dict[str, str] = {axis.word: axis.kind for axis in basis.axes}
    poles = {pole: kinds[word] for word, both in POLES.items() if word in kinds for pole in both}
    return poles | kinds


def adjectives(basis: SubvectorBasis, coordinates: ArrayLike, at_least: float = 0.0) -> dict[int, str]:
    """Places of measured axes to the adjective that says of coordinates ``(K,)`` what they do; none that is a word axis' name.

    Args:
        basis: The axes.
        coordinates: ``(K,)``, or what two places differ by.
        at_least: None where there is less.
    """
    z, found = np.asarray(coordinates, np.float64), dict[int, str]()
    for i in basis.where(["measured"]):
        poles = POLES.get(basis.axes[i].word)
        if poles is not None and abs(z[i]) >= at_least and (pole := poles[int(z[i] < 0)]) not in basis.words:
            found[i] = pole
    return found


def by_axis(words: Iterable[tuple[int, str, float]]) -> tuple[tuple[str, float], ...]:
    """What `told` gives, without the places: ``(word, value)``."""
    return tuple((word, value) for _, word, value in words)
