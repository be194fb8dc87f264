"""Likeness freed of noise, planted: users of a style pass and others do not, however few pairs there are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from xpert.basis import SubvectorBasis
from xpert.matching import LEAST, calibrate, distance_limit, opposite, outside, reliability
from xpert.space import distances
from xpert.types import Array, Axis

WIDTH, P = 40, 50


def basis(width: int = WIDTH) -> SubvectorBasis:
    axes = tuple(Axis(word=str(i)) for i in range(width))
    return SubvectorBasis(axes=axes, vectors=np.eye(width, WIDTH, dtype=np.float32), null=np.zeros(WIDTH, np.float32))


def styles(n: int = 5, near: float = 0.6, seed: int = 0) -> Array:
    """Unit vectors whose cosine with each other is ``near``."""
    rng = np.random.default_rng(seed)
    orthogonal = np.linalg.qr(rng.normal(size=(WIDTH, n + 1)))[0].T
    return (np.sqrt(near) * orthogonal[0] + np.sqrt(1 - near) * orthogonal[1:]).astype(np.float32)


def drawn(style: Array, n: int, rng: np.random.Generator, noise: float = 0.4) -> Array:
    return (style + noise * rng.normal(size=(n, WIDTH))).astype(np.float32)


def pools(found: Array, rng: np.random.Generator, noise: float = 0.4) -> list[Array]:
    return [drawn(style, P, rng, noise) for style in found]


def likeness(user: Array, model: Array) -> float:
    cosine = 1 - float(distances(basis(), model.mean(axis=0)[None], user.mean(axis=0))[0]) ** 2 / 2
    return cosine / np.sqrt(reliability(user.astype(float)) * reliability(model.astype(float)))


@pytest.mark.parametrize("n", [10, 20, 50])
def test_likeness_does_not_fall_with_the_number_of_pairs(n: int) -> None:
    rng, style = np.random.default_rng(1), styles(1)[0]
    told = [likeness(drawn(style, n, rng), drawn(style, P, rng)) for _ in range(200)]
    assert np.mean(told) == pytest.approx(1.0, abs=0.04)
    plain = [
        1 - float(distances(basis(), drawn(style, P, rng).mean(0)[None], drawn(style, n, rng).mean(0))[0]) ** 2 / 2
    ]
    assert plain[0] < 0.95


def test_reliability_of_planted_noise() -> None:
    rng = np.random.default_rng(2)
    told = [reliability(drawn(styles(1)[0], 25, rng).astype(float)) for _ in range(300)]
    noise = 0.4**2 * WIDTH / 25
    assert np.mean(told) == pytest.approx(1 - noise / (1 + noise), abs=0.02)
    assert reliability(np.ones((1, 3))) == reliability(np.ones((4, 3))) == 1.0
    assert reliability(rng.normal(size=(20, 200))) < 0.4
    assert reliability(np.zeros((4, 3))) == 1.0


def test_limits_lie_between_a_models_own_halves_and_its_nearest_other() -> None:
    rng, found = np.random.default_rng(3), styles(near=0.6)
    rows = pools(found, rng, noise=0.1)
    places = np.stack([row.mean(axis=0) for row in rows])
    noise = calibrate(basis(), places, rows, None, seed=0)
    assert noise.limits["all:paired"] == pytest.approx(0.8, abs=0.04)
    assert noise.limits["all:unpaired"] == noise.limits["all:paired"]
    assert [share["all"] for share in noise.reliability] == [
        pytest.approx(reliability(row.astype(float)), abs=1e-6) for row in rows
    ]


def test_users_pass_and_strangers_do_not() -> None:
    rng, found = np.random.default_rng(4), styles(6, near=0.5)
    rows = pools(found[:5], rng)
    limit = calibrate(basis(), np.stack([r.mean(axis=0) for r in rows]), rows, None, seed=0).limits["all:paired"]
    own = [likeness(drawn(found[i % 5], 20, rng), rows[i % 5]) >= limit for i in range(200)]
    strange = [max(likeness(drawn(found[5], 20, rng), row) for row in rows) < limit for _ in range(40)]
    assert np.mean(own) > 0.95
    assert np.mean(strange) > 0.9


def test_an_unpaired_reference_moves_the_limit() -> None:
    """Where the reference's shift lies in the models' own direction, unpaired users are less like, and the limit follows."""
    rng, found = np.random.default_rng(5), styles(near=0.9)
    rows = pools(found, rng)
    places = np.stack([row.mean(axis=0) for row in rows])
    away = np.tile(np.linalg.qr(np.vstack([found, rng.normal(size=WIDTH)]).T)[0].T[-1], (P, 1)).astype(np.float32)
    limits = calibrate(basis(), places, rows, away, seed=0).limits
    assert limits["all:paired"] > 0.9
    assert limits["all:unpaired"] == pytest.approx(limits["all:paired"] / np.sqrt(2), abs=0.08)


def test_noise_lowers_the_limit_but_not_below_the_least() -> None:
    rng, found = np.random.default_rng(6), styles(near=0.95)
    rows = [drawn(style, 8, rng, noise=3.0) for style in found]
    limits = calibrate(basis(), np.stack([r.mean(axis=0) for r in rows]), rows, None, seed=0).limits
    assert limits["all:paired"] == LEAST


def test_too_few_pairs_have_no_limit_and_one_model_has_no_other() -> None:
    rng, style = np.random.default_rng(7), styles(1)
    few = calibrate(basis(), style, [drawn(style[0], 3, rng)], None, seed=0)
    assert few.limits == {}
    one = calibrate(basis(), style, [drawn(style[0], P, rng, noise=0.05)], None, seed=0)
    assert one.limits["all:paired"] == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize(("n", "alone"), [(6, 0), (7, 1), (1, 1), (0, 0)])
def test_opposites_are_two_and_two(n: int, alone: int) -> None:
    found = opposite(n, 3)
    assert all(found[j] == i for i, j in enumerate(found))
    assert sum(i == j for i, j in enumerate(found)) == alone
    assert found == opposite(n, 3)


def test_a_limit_as_a_distance() -> None:
    u, m = np.array([3.0, 0, 4.0]), np.array([0, 0, 2.0])
    three = SubvectorBasis(axes=basis().axes[:3], vectors=np.eye(3, dtype=np.float32), null=np.zeros(3, np.float32))
    assert distance_limit(0.8, 1.0, 1.0) == pytest.approx(float(distances(three, m[None], u)[0]), abs=1e-6)
    assert distance_limit(0.8, 0.5, 0.5) > distance_limit(0.8, 1.0, 1.0)


def test_what_lies_outside_of_all_axes() -> None:
    rng = np.random.default_rng(8)
    found: Sequence[float | None] = [
        outside(basis(3), drawn(np.eye(WIDTH)[0] + np.eye(WIDTH)[k], 400, rng, noise=0.05)) for k in (1, 20)
    ]
    assert found == [pytest.approx(0.0, abs=0.01), pytest.approx(0.5, abs=0.02)]
    assert outside(basis(3), np.ones((1, WIDTH), np.float32)) is None
