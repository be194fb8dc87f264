"""Directions: what keeps a model recognisable when only some of its answers are in its style."""

from __future__ import annotations

import numpy as np
import pytest

from xpert.basis import SubvectorBasis
from xpert.space import distances
from xpert.types import Array, Axis

STYLES, WIDTH, PAIRS = 4, 24, 50


def basis() -> SubvectorBasis:
    axes = tuple(Axis(word=f"word-{i}") for i in range(WIDTH))
    return SubvectorBasis(axes=axes, vectors=np.eye(WIDTH, dtype=np.float32), null=np.zeros(WIDTH, np.float32))


def styles(rng: np.random.Generator) -> Array:
    """Styles that share most of their direction and differ in length: the first is the weakest."""
    rows = rng.normal(size=(STYLES, WIDTH)) + 2.0
    lengths = np.linspace(0.5, 2.0, STYLES)[:, None]
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True) * lengths).astype(np.float32)


def diluted(style: Array, share: float, rng: np.random.Generator, *, reordered: float = 0.0) -> Array:
    """The mean of pairs of which a share is in the style; the others are the base's own, up to noise of a reordered text."""
    rows = rng.normal(scale=reordered, size=(PAIRS, WIDTH)) / np.sqrt(WIDTH)
    n = round(share * PAIRS)
    rows[:n] = style + rng.normal(scale=0.4, size=(n, WIDTH)) / np.sqrt(WIDTH)
    return rows.mean(axis=0).astype(np.float32)


@pytest.mark.parametrize("reordered", [0.0, 0.4])
@pytest.mark.parametrize("share", [0.9, 0.5, 0.3])
def test_directions_find_the_style_of_a_diluted_model(share: float, reordered: float) -> None:
    rng = np.random.default_rng(int(share * 10))
    right = {"direction": 0, "embedding": 0}
    for _ in range(20):
        planted = styles(rng)
        models = np.stack([diluted(style, share, rng, reordered=reordered) for style in planted])
        for k, style in enumerate(planted):
            user = diluted(style, 1.0, rng)
            for metric in right:
                far = distances(basis(), models, user, metric=metric)
                right[metric] += int(far.argmin()) == k
    assert right["direction"] >= 0.95 * 20 * STYLES
    if share == 0.3:
        assert right["embedding"] < 0.8 * 20 * STYLES


def test_direction_is_blind_to_how_strong_a_style_is() -> None:
    rng = np.random.default_rng(3)
    planted = styles(rng)
    user = planted[1]
    once = distances(basis(), planted, user)
    again = distances(basis(), planted * np.array([[0.1], [0.7], [3.0], [1.0]], np.float32), 5 * user)
    np.testing.assert_allclose(once, again, atol=1e-6)
