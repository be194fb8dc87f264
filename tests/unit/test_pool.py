"""The nearest of many models: as brute force has them, whatever is stored and however axes lean on each other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from xpert import pool
from xpert.basis import SubvectorBasis
from xpert.pool import PackedRows, nearest_rows, packed, row_norms
from xpert.space import METRICS, distances
from xpert.types import Array, Axis

M, K, D = 3000, 12, 40


@pytest.fixture(autouse=True, params=[512, 2048])
def _small_blocks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks that are one product, and blocks that are several."""
    monkeypatch.setattr(pool, "BLOCK", request.param)
    monkeypatch.setattr(pool, "_PASS", request.param)


def basis(*, leaning: bool = False) -> SubvectorBasis:
    vectors = np.random.default_rng(0).normal(size=(K, D))
    if leaning:
        vectors[1:] = vectors[0] + 1e-2 * vectors[1:]
    axes = (*(Axis(word=str(i)) for i in range(K - 1)), Axis(word="unnamed-1", kind="unnamed"))
    return SubvectorBasis(axes=axes, vectors=vectors.astype(np.float32), null=np.zeros(D, np.float32))


def rows(made: SubvectorBasis, z: Array, dtype: str = "float32") -> PackedRows:
    stored, scale = packed(z, dtype)
    told = PackedRows(z.shape, lambda: (stored, scale, np.zeros(len(z), np.float32)))[:]
    return PackedRows(z.shape, lambda: (stored, scale, row_norms(made, told)))


@pytest.mark.parametrize("leaning", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float16", "int8"])
def test_the_top_is_brute_force(dtype: str, leaning: bool) -> None:
    made, rng = basis(leaning=leaning), np.random.default_rng(1)
    held = rows(made, rng.normal(size=(M, K)).astype(np.float32), dtype)
    for n in (1, 5, 100):
        user = rng.normal(size=K)
        far = distances(made, held[:], user)
        found, told = nearest_rows(made, held, user, n)
        np.testing.assert_array_equal(told, np.sort(far)[:n])
        assert found.tolist() == np.argsort(far, kind="stable")[:n].tolist()


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("axes", ["all", "named"])
def test_any_other_comparison_is_exact_too(metric: Any, axes: Any) -> None:
    made, rng = basis(), np.random.default_rng(2)
    held, user = rows(made, rng.normal(size=(M, K)).astype(np.float32)), rng.normal(size=K)
    far = distances(made, held[:], user, metric=metric, axes=axes)
    found, told = nearest_rows(made, held, user, 7, metric=metric, axes=axes)
    assert found.tolist() == np.argsort(far, kind="stable")[:7].tolist()
    np.testing.assert_allclose(told, np.sort(far)[:7], rtol=1e-6)


def test_equals_and_zeros() -> None:
    made = basis()
    z = np.tile(np.arange(1, K + 1, dtype=np.float32), (1500, 1))
    z[700] = 0
    held = rows(made, z)
    assert nearest_rows(made, held, z[0], 3)[0].tolist() == [0, 1, 2]
    assert nearest_rows(made, held, np.zeros(K), 2)[0].tolist() == [700, 0]
    assert nearest_rows(made, held, z[0], 5000)[0].shape == (1500,)


@pytest.mark.parametrize("nearest_first", [True, False])
def test_models_in_the_order_of_their_distance(nearest_first: bool) -> None:
    made, rng = basis(), np.random.default_rng(5)
    z, user = rng.normal(size=(M, K)).astype(np.float32), rng.normal(size=K)
    order = np.argsort(distances(made, z, user), kind="stable")
    held = rows(made, z[order if nearest_first else order[::-1]])
    found, _ = nearest_rows(made, held, user, 4)
    assert found.tolist() == ([0, 1, 2, 3] if nearest_first else [M - 1, M - 2, M - 3, M - 4])


def test_more_asked_than_a_block_holds() -> None:
    made, rng = basis(), np.random.default_rng(3)
    held, user = rows(made, rng.normal(size=(1100, K)).astype(np.float32)), rng.normal(size=K)
    found, _ = nearest_rows(made, held, user, 600)
    assert found.tolist() == np.argsort(distances(made, held[:], user), kind="stable")[:600].tolist()


def test_packing_errs_by_half_a_step() -> None:
    z = np.random.default_rng(4).normal(size=(200, K)).astype(np.float32)
    made = basis()
    step = np.abs(z).max(axis=0) / 127
    assert (np.abs(rows(made, z, "int8")[:] - z) <= 0.5001 * step).all()
    assert np.abs(rows(made, z, "float16")[:] - z).max() <= 2**-11 * np.abs(z).max()
    np.testing.assert_array_equal(np.asarray(rows(made, z)), z)
    assert rows(made, np.zeros((3, K), np.float32), "int8")[1].tolist() == [0.0] * K
