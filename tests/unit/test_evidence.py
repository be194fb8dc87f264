from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xpert.basis import SubvectorBasis
from xpert.evidence import distance_parts, nearer_by, spoken, strongest, uncovered
from xpert.space import METRICS, distances
from xpert.types import Axis, Coordinates


def random_basis(seed: int) -> SubvectorBasis:
    vectors = np.random.default_rng(seed).normal(size=(4, 7)).astype(np.float32)
    axes = (*(Axis(word=f"a{i}") for i in range(3)), Axis(word="unnamed-1", kind="unnamed"))
    return SubvectorBasis(axes=axes, vectors=vectors, null=np.zeros(7, np.float32))


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000), metric=st.sampled_from(METRICS), axes=st.sampled_from(["all", "named"]))
def test_parts_sum_to_the_difference_of_squared_distances(seed: int, metric: str, axes: str) -> None:
    basis, rng = random_basis(seed), np.random.default_rng(seed + 1)
    user, best, other = rng.normal(size=(3, 4)).astype(np.float32)
    far = distances(basis, np.stack([best, other, np.zeros(4)]), user, metric=metric, axes=axes) ** 2
    against = nearer_by(basis, user, best, other, metric=metric, axes=axes)
    assert sum(part for _, part in against) == pytest.approx(far[1] - far[0], abs=1e-4)
    against = nearer_by(basis, user, best, None, metric=metric, axes=axes)
    assert sum(part for _, part in against) == pytest.approx(far[2] - far[0], abs=1e-4)
    assert distance_parts(basis, user, best, metric=metric, axes=axes)[1].sum() == pytest.approx(far[0], abs=1e-4)


def test_the_axis_that_two_share_speaks_first() -> None:
    basis = SubvectorBasis(
        axes=tuple(Axis(word=word) for word in ("friendly", "concise", "vivid")),
        vectors=np.eye(3, dtype=np.float32),
        null=np.zeros(3, np.float32),
    )
    user, chosen, other = np.array([1, 0.9, 0]), np.array([1, 0.8, 0]), np.array([1, 0, 0.8])
    assert [word for word, _ in strongest(nearer_by(basis, user, chosen, other))] == ["concise", "vivid"]
    assert strongest(nearer_by(basis, user, chosen, None))[0][0] == "friendly"


def test_length_is_spoken_of_as_what_it_changes_to() -> None:
    basis = SubvectorBasis(
        axes=(Axis(word="friendly"), Axis(word="longer", kind="measured")),
        vectors=np.eye(2, dtype=np.float32),
        null=np.zeros(2, np.float32),
    )
    assert spoken(basis, [1.0, -0.7]) == {"longer": ("brief", -1)}
    assert spoken(basis, [-1.0, 0.7]) == {"longer": ("lengthy", 1)}
    assert spoken(basis, [1.0, 0.1]) == {"longer": ("lengthy", 1)}
    assert spoken(basis, [1.0, -0.7], axes="named") == {}


def test_words_that_no_sum_has() -> None:
    basis = SubvectorBasis(
        axes=(Axis(word="friendly"), Axis(word="concise"), Axis(word="vivid"), Axis(word="unnamed-1", kind="unnamed")),
        vectors=np.eye(4, dtype=np.float32),
        null=np.zeros(4, np.float32),
    )
    place = Coordinates(
        values=np.array([1, 0.1, 2, 3], np.float32), stderr=np.array([0.1, 0.2, 0.1, 0.1], np.float32), n_pairs=9
    )
    models = np.array([[1, 0, 0, 0], [0, 0, 1, 0]])
    assert uncovered(basis, place, models, [1.0, 0.0], ["rhymed", "vivid"]) == ("vivid", "rhymed")
    assert uncovered(basis, place, models, [1.0, 2.0]) == ()
