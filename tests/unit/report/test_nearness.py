from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from xpert.basis import SubvectorBasis
from xpert.report.nearness import directions, nearest_others, plane
from xpert.types import Axis

K = 12


def slanted() -> SubvectorBasis:
    """Axes that are near-dependent, and of different lengths."""
    rng = np.random.default_rng(3)
    vectors = (rng.standard_normal((K, 20)) + 0.7) * rng.uniform(0.5, 2, (K, 1))
    return SubvectorBasis(
        axes=tuple(Axis(word=f"w{i}") for i in range(K)),
        vectors=vectors.astype(np.float32),
        null=np.zeros(20, np.float32),
    )


def drawn(
    basis: SubvectorBasis, mean: np.ndarray, n: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, float]:
    """Coordinates, standard errors and reliability of a mean over n noisy embeddings."""
    rows = mean + 0.6 * rng.standard_normal((n, basis.width))
    z = basis.project(rows)
    embedding = basis.reconstruct(z)
    noise = ((embedding - embedding.mean(axis=0)) ** 2).sum() / (n * (n - 1))
    square = (embedding.mean(axis=0) ** 2).sum()
    return z.mean(axis=0), z.std(axis=0, ddof=1) / np.sqrt(n), float(1 - noise / square)


def test_models_of_one_style_are_hardly_ever_told_apart_and_others_are() -> None:
    basis, rng = slanted(), np.random.default_rng(0)
    style = basis.reconstruct(rng.standard_normal(K).astype(np.float32))
    apart = far = 0
    for _ in range(200):
        parts = [drawn(basis, style, 50, rng), drawn(basis, style, 50, rng)]
        z, errors, shares = (np.array(part) for part in zip(*parts, strict=True))
        apart += nearest_others(basis, z, errors, shares.tolist())[0].told_apart
        other = drawn(
            basis, style + 0.25 * np.linalg.norm(style) * basis.vectors[0] / np.linalg.norm(basis.vectors[0]), 50, rng
        )
        z, errors, shares = (np.array(part) for part in zip(parts[0], other, strict=True))
        far += nearest_others(basis, z, errors, shares.tolist())[0].told_apart
    assert apart <= 20
    assert far >= 190


def test_neighbours_are_the_nearest_by_direction() -> None:
    basis = slanted()
    z = np.random.default_rng(1).standard_normal((7, K)).astype(np.float32)
    unit, lengths = directions(basis, z)
    np.testing.assert_allclose(unit * lengths[:, None], basis.reconstruct(z), atol=1e-4)
    for one in nearest_others(basis, z, np.zeros_like(z), [None] * 7):
        others = [i for i in range(7) if i != one.row]
        found = np.linalg.norm(unit[others] - unit[one.row], axis=1)
        assert one.other == others[int(found.argmin())]
        np.testing.assert_allclose(one.distance, found.min(), atol=1e-6)
        assert one.told_apart
    assert nearest_others(basis, z[:1], z[:1], [None]) == []


def test_a_model_without_any_style_has_a_neighbour_too() -> None:
    z = np.vstack([np.zeros(K), np.ones(K)]).astype(np.float32)
    found = nearest_others(slanted(), z, np.full_like(z, 0.1), [0.5, None])
    assert [one.other for one in found] == [1, 0]
    assert all(np.isfinite([one.distance, one.noise]).all() for one in found)


@settings(max_examples=40)
@given(arrays(np.float64, (6, 4), elements=st.floats(-2, 2, width=16)))
def test_no_plane_makes_models_further_apart(rows: np.ndarray) -> None:
    at, beside, shares = plane(rows, rows[:2])
    np.testing.assert_allclose(beside, at[:2], atol=1e-9)
    assert 0 <= shares[1] <= shares[0] <= 1 + 1e-9
    flat = np.linalg.norm(at[:, None] - at[None], axis=2)
    assert (flat <= np.linalg.norm(rows[:, None] - rows[None], axis=2) + 1e-6).all()


def test_a_flat_pool_is_drawn_as_it_is() -> None:
    rows = np.zeros((5, 6))
    rows[:, 1], rows[:, 4] = [3, 1, 0, -1, -2], [0, 1, 0, 0.5, 0]
    at, _, shares = plane(rows)
    assert sum(shares) > 0.999999
    np.testing.assert_allclose(np.linalg.norm(at[0] - at[4]), 5, atol=1e-9)
    assert plane(rows[:1])[0].tolist() == [[0, 0]]
