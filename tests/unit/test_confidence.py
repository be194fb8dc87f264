from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xpert.basis import SubvectorBasis
from xpert.confidence import nearest_shares
from xpert.errors import SettingsError
from xpert.space import AXES, METRICS, distances
from xpert.types import Axis

KINDS: tuple[Any, ...] = ("word", "word", "word", "measured", "unnamed")


def basis_of(rng: np.random.Generator, k: int = 5, d: int = 12) -> SubvectorBasis:
    axes = tuple(Axis(word=f"a{i}", kind=KINDS[i % 5]) for i in range(k))
    vectors = rng.normal(size=(k, d)).astype(np.float32)
    return SubvectorBasis(axes=axes, vectors=vectors, null=np.zeros(d, np.float32))


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("axes", AXES)
def test_without_scatter_the_nearest_has_all(metric: Any, axes: Any) -> None:
    rng = np.random.default_rng(1)
    basis, models, user = basis_of(rng), rng.normal(size=(6, 5)), rng.normal(size=5)
    shares = nearest_shares(basis, models, np.tile(user, (4, 1)), n_probes=50, metric=metric, axes=axes)
    assert shares is not None
    assert shares.argmax() == distances(basis, models, user, metric=metric, axes=axes).argmin()
    assert shares.max() == 1.0


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), n=st.integers(2, 40), metric=st.sampled_from(METRICS))
def test_shares_sum_to_one_and_do_not_depend_on_the_axes_that_span_the_space(seed: int, n: int, metric: str) -> None:
    rng = np.random.default_rng(seed)
    basis, models, rows = basis_of(rng), rng.normal(size=(6, 5)), rng.normal(size=(n, 5))
    shares = nearest_shares(basis, models, rows, n_probes=50, metric=metric)
    assert shares is not None
    assert shares.sum() == pytest.approx(1, abs=1e-5)
    assert (shares >= 0).all()
    np.testing.assert_array_equal(shares, nearest_shares(basis, models, rows, n_probes=50, metric=metric))
    if metric == "coordinates":
        return
    turn = rng.normal(size=(5, 5))  # other axes of the same space: e = z V = (z T^-1) (T V)
    turned = SubvectorBasis(axes=basis.axes, vectors=(turn @ basis.vectors).astype(np.float32), null=basis.null)
    back = np.linalg.inv(turn)
    again = nearest_shares(turned, models @ back, rows @ back, n_probes=50, metric=metric)
    np.testing.assert_allclose(shares, again, atol=0.01)


def test_a_draw_between_two_is_a_half_and_twins_share() -> None:
    rng = np.random.default_rng(0)
    basis = SubvectorBasis(
        axes=(Axis(word="a"), Axis(word="b")), vectors=np.eye(2, dtype=np.float32), null=np.zeros(2, np.float32)
    )
    rows = rng.normal(size=(50, 2))
    rows += [0.0, 3.0] - rows.mean(axis=0)
    shares = nearest_shares(basis, [[1, 3], [-1, 3], [0, -3]], rows, n_probes=50)
    assert shares is not None
    assert shares[:2] == pytest.approx([0.5, 0.5], abs=0.08)
    twins = nearest_shares(basis, [[1, 3], [1, 3]], rows, n_probes=50)
    assert twins is not None
    assert twins.tolist() == [0.5, 0.5]
    nobody = nearest_shares(basis, [[1, 3], [-1, 3]], np.zeros((5, 2)), n_probes=50)
    assert nobody is not None
    assert nobody.tolist() == [0.5, 0.5]


def test_in_one_dimension_it_is_students_distribution() -> None:
    from scipy.stats import t

    basis = SubvectorBasis(axes=(Axis(word="a"),), vectors=np.ones((1, 1), np.float32), null=np.zeros(1, np.float32))
    rows, n_probes = np.array([[0.1], [0.9], [0.5], [0.3]]), 12
    scatter = rows.std(ddof=1) / 2 * np.sqrt(1 + 4 / n_probes)
    expected = t(3).cdf(rows.mean() / scatter)  # models at -1 and 1: nearer to 1 where the place is above 0
    models = [[-1.0], [1.0]]
    shares = nearest_shares(basis, models, rows, n_probes=n_probes, metric="embedding", n_draws=20_000)
    assert shares is not None
    assert shares[1] == pytest.approx(expected, abs=0.01)
    fewer = nearest_shares(basis, models, rows, n_probes=1, metric="embedding", n_draws=20_000)
    assert fewer is not None
    assert fewer[1] < shares[1] - 0.02


@pytest.mark.parametrize("n", [3, 8, 50])
def test_confidence_is_the_share_that_is_right(n: int) -> None:
    """Users anywhere: among choices that are called c sure, a share c is right, the models' sampling noise included."""
    rng = np.random.default_rng(n)
    k, m, p, n_users = 6, 5, 50, 1500
    noise = 0.5 * np.sqrt(n)
    sure, right = [], []
    for _ in range(n_users):
        basis = basis_of(rng, k)
        models, user = rng.normal(size=(m, k)), rng.normal(size=k)
        scatter = noise * rng.uniform(0.2, 1, size=k)
        seen = models + rng.normal(size=(m, k)) * scatter / np.sqrt(p)
        rows = user + rng.normal(size=(n, k)) * scatter
        shares = nearest_shares(basis, seen, rows, n_probes=p, metric="embedding", n_draws=200)
        assert shares is not None
        best = int(distances(basis, seen, rows.mean(axis=0), metric="embedding").argmin())
        sure.append(float(shares[best]))
        right.append(best == int(distances(basis, models, user, metric="embedding").argmin()))
    told, true = np.array(sure), np.array(right, float)
    assert told.mean() == pytest.approx(true.mean(), abs=0.06)
    for low, high in ((0.4, 0.6), (0.6, 0.8), (0.8, 0.95)):
        inside = (told >= low) & (told < high)
        assert inside.sum() > 60
        assert told[inside].mean() == pytest.approx(true[inside].mean(), abs=0.12)


def test_users_who_are_where_a_model_is_are_right_at_least_as_often_as_told() -> None:
    rng = np.random.default_rng(5)
    sure, right = [], []
    for _ in range(300):
        basis, models = basis_of(rng), rng.normal(size=(5, 5))
        target = int(rng.integers(5))
        rows = models[target] + 3 * rng.normal(size=(10, 5))
        shares = nearest_shares(basis, models, rows, n_probes=50, n_draws=200)
        assert shares is not None
        best = int(distances(basis, models, rows.mean(axis=0)).argmin())
        sure.append(float(shares[best]))
        right.append(best == target)
    assert 0.3 < np.mean(sure) < np.mean(right) < 1


def test_a_single_pair_shows_no_scatter() -> None:
    rng = np.random.default_rng(0)
    assert nearest_shares(basis_of(rng), rng.normal(size=(3, 5)), rng.normal(size=(1, 5)), n_probes=50) is None


def test_it_takes_milliseconds() -> None:
    rng = np.random.default_rng(0)
    basis, models, rows = basis_of(rng, 100, 384), rng.normal(size=(28, 100)), rng.normal(size=(50, 100))
    taken = []
    for _ in range(5):
        began = time.process_time()
        nearest_shares(basis, models, rows, n_probes=50)
        taken.append(time.process_time() - began)
    assert min(taken) < 0.05


def test_options_are_checked() -> None:
    rng = np.random.default_rng(0)
    basis, models, rows = basis_of(rng), rng.normal(size=(3, 5)), rng.normal(size=(4, 5))
    for bad in ({"n_probes": 0}, {"n_probes": 5, "n_draws": 0}, {"n_probes": 5, "metric": "cosine"}):
        with pytest.raises(SettingsError):
            nearest_shares(basis, models, rows, **bad)  # type: ignore[arg-type]
