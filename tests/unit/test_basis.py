from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xpert.basis import SubvectorBasis
from xpert.decompose import algorithm1, coefficients, naming_weights, relative_residual, residual_directions, span_norm
from xpert.errors import SettingsError, WeightsError
from xpert.types import Array, Axis


def orthogonal(rng: np.random.Generator, k: int, d: int) -> np.ndarray:
    """Orthogonal rows of different lengths."""
    return np.linalg.qr(rng.normal(size=(d, k)))[0].T * rng.uniform(0.5, 3.0, size=(k, 1))


class Source:
    """A dictionary of sub-vectors that remembers what it was asked for."""

    def __init__(self, rows: dict[str, np.ndarray]) -> None:
        self.rows, self.asked = rows, []

    def __call__(self, words: Sequence[str]) -> Array:
        self.asked.append(list(words))
        return np.stack([self.rows[word] for word in words]).astype(np.float32)


def basis_of(vectors: np.ndarray, **options: object) -> SubvectorBasis:
    axes = tuple(Axis(word=f"w{i}") for i in range(len(vectors)))
    null = np.zeros(vectors.shape[1], np.float32)
    return SubvectorBasis(axes=axes, vectors=vectors.astype(np.float32), null=null, **options)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), k=st.integers(1, 8), m=st.integers(1, 6))
def test_planted_subvectors_and_coefficients_are_recovered(seed: int, k: int, m: int) -> None:
    rng = np.random.default_rng(seed)
    rows = orthogonal(rng, k, 24)
    planted = rng.uniform(0.5, 2.0, size=(m, k)) * rng.choice([-1, 1], size=(m, k))
    words = [f"w{i}" for i in range(k)]
    decoys = {f"decoy{i}": rows[i % k] + 0.5 * rng.normal(size=24) for i in range(3)}
    source = Source(dict(zip(words, rows, strict=True)) | decoys)
    found = algorithm1(planted @ rows, [[*words, *decoys]] * m, source, eps_orth=0.1, eps_dec=1e-4)
    assert found.words == tuple(words)
    assert found.converged == (True,) * m
    np.testing.assert_allclose(coefficients(found.vectors, planted @ rows), planted, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(coefficients(found.vectors, planted @ rows, "projection"), planted, rtol=1e-4, atol=1e-4)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), eps=st.sampled_from([0.05, 0.1, 0.3, 0.6]))
def test_accepted_axes_keep_the_orthogonality_rule_and_rejected_ones_break_it(seed: int, eps: float) -> None:
    rng = np.random.default_rng(seed)
    rows = {f"w{i}": np.append(row, 0.0) for i, row in enumerate(rng.normal(size=(20, 6)))}
    found = algorithm1(rng.normal(size=(2, 7)), [list(rows)] * 2, Source(rows), eps_orth=eps, eps_dec=1e-9)
    unit = found.vectors / np.linalg.norm(found.vectors, axis=1, keepdims=True)
    cosines = np.abs(unit @ unit.T)
    assert (cosines[~np.eye(len(unit), dtype=bool)] <= eps + 1e-6).all()
    assert found.n_examined == 20
    for word in set(rows) - set(found.words):
        earlier = [w for w in found.words if list(rows).index(w) < list(rows).index(word)]
        own = rows[word] / np.linalg.norm(rows[word])
        assert max(abs(own @ (rows[w] / np.linalg.norm(rows[w]))) for w in earlier) > eps - 1e-6


def test_stop_rule_is_tried_first_with_the_subvectors_so_far() -> None:
    eye = np.eye(4)
    source = Source({f"w{i}": eye[i] for i in range(4)})
    models = [[1.0, 0, 0, 0], [2.0, 0.1, 0, 0], [0.0, 1.0, 1.0, 0]]
    found = algorithm1(models, [["w0", "w3"], ["w3"], ["w1", "w2", "w3"]], source, eps_orth=0.1, eps_dec=0.2, chunk=1)
    assert found.words == ("w0", "w1", "w2")
    assert source.asked == [["w0"], ["w1"], ["w2"]]
    assert found.n_examined == 3


@pytest.mark.parametrize(("residual", "converged"), [(0.199, True), (0.201, False)])
def test_the_stop_threshold_is_a_fraction_of_the_norm(residual: float, converged: bool) -> None:
    embedding = 7.0 * np.array([np.sqrt(1 - residual**2), residual, 0])
    found = algorithm1(embedding, [["a"]], Source({"a": np.array([3.0, 0, 0])}), eps_orth=0.1, eps_dec=0.2)
    assert found.converged == (converged,)
    assert relative_residual(found.vectors, embedding) == pytest.approx(residual, abs=1e-6)


def test_subvectors_are_asked_for_in_chunks_and_never_twice() -> None:
    rng = np.random.default_rng(0)
    rows = {f"w{i}": row for i, row in enumerate(rng.normal(size=(20, 40)))}
    source = Source(rows)
    algorithm1(rng.normal(size=(2, 40)), [list(rows)[:12], list(rows)], source, eps_orth=0.01, eps_dec=0.01, chunk=5)
    asked = [word for words in source.asked for word in words]
    assert max(map(len, source.asked)) <= 5
    assert len(asked) == len(set(asked)) == 20


def test_words_without_a_subvector_are_passed_over() -> None:
    source = Source({"nothing": np.zeros(2), "x": np.array([1.0, 0])})
    found = algorithm1([[1.0, 0]], [["nothing", "x"]], source, eps_orth=0.1, eps_dec=0.1)
    assert found.words == ("x",)
    assert found.n_examined == 2


def test_order_by_residual_takes_the_word_that_covers_most() -> None:
    rows = {"weak": np.array([0.05, 1.0, 0]), "strong": np.array([1.0, 0.1, 0])}
    embedding = [[1.0, 0.05, 0]]
    given_ = algorithm1(embedding, [list(rows)], Source(rows), eps_orth=0.5, eps_dec=0.1)
    by_residual = algorithm1(embedding, [list(rows)], Source(rows), eps_orth=0.5, eps_dec=0.1, order="residual")
    assert given_.words == ("weak", "strong")
    assert by_residual.words == ("strong",)


def test_nonfinite_or_misshapen_subvectors_are_errors() -> None:
    with pytest.raises(WeightsError, match="'x' is not finite"):
        algorithm1([[1.0, 0]], [["x"]], Source({"x": np.array([np.nan, 0])}), eps_orth=0.1, eps_dec=0.1)
    with pytest.raises(WeightsError, match="expected shape"):
        algorithm1([[1.0, 0]], [["x"]], Source({"x": np.ones(3)}), eps_orth=0.1, eps_dec=0.1)


def test_projection_is_equation_2_and_least_squares_reconstructs() -> None:
    rng = np.random.default_rng(3)
    vectors, embedding = rng.normal(size=(3, 8)), rng.normal(size=8)
    expected = [embedding @ v / (v @ v) for v in vectors]
    np.testing.assert_allclose(basis_of(vectors, coefficients="projection").project(embedding), expected, rtol=1e-5)
    inside = np.array([1.0, -2.0, 0.5]) @ vectors
    np.testing.assert_allclose(basis_of(vectors).project(inside), [1.0, -2.0, 0.5], rtol=1e-4)
    assert basis_of(vectors).residual(inside) < 1e-5
    assert basis_of(vectors, coefficients="projection").residual(inside) > 0.01


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), gap=st.floats(1e-4, 1e-2))
def test_near_dependent_axes_still_reconstruct(seed: int, gap: float) -> None:
    rng = np.random.default_rng(seed)
    first = rng.normal(size=10)
    vectors = np.stack([first, first + gap * rng.normal(size=10)])
    embedding = np.array([0.7, 0.4]) @ vectors
    assert relative_residual(vectors, embedding) < 1e-5


def test_exactly_dependent_axes_share_the_coefficient() -> None:
    vectors = np.array([[1.0, 0], [1.0, 0]])
    np.testing.assert_allclose(coefficients(vectors, [2.0, 0.0]), [1.0, 1.0], atol=1e-9)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_residual_directions_take_up_the_rest(seed: int) -> None:
    rng = np.random.default_rng(seed)
    vectors, embeddings = rng.normal(size=(3, 20)), rng.normal(size=(5, 20))
    rest = residual_directions(vectors, embeddings, energy=1.0, negligible=0.0)
    np.testing.assert_allclose(rest @ rest.T, np.eye(len(rest)), atol=1e-8)
    np.testing.assert_allclose(rest @ vectors.T, 0, atol=1e-7)
    both = np.concatenate([vectors, rest])
    assert max(relative_residual(both, e) for e in embeddings) < 1e-6
    assert (rest[np.arange(len(rest)), np.abs(rest).argmax(axis=1)] > 0).all()


def test_residual_directions_stop_at_their_limits() -> None:
    vectors, embeddings = np.eye(1, 6), np.diag([9.0, 5.0, 4.0, 3.0, 0.01, 0.01])
    assert len(residual_directions(vectors, embeddings, energy=0.995)) == 3
    assert len(residual_directions(vectors, embeddings, most=2)) == 2
    assert len(residual_directions(np.eye(6), embeddings)) == 0
    assert len(residual_directions(vectors, np.diag([9.0, 0.05, 0.0, 0.0, 0.0, 0.0]))) == 0
    assert len(residual_directions(vectors, np.diag([9.0, 0.2, 0.0, 0.0, 0.0, 0.0]))) == 1
    assert len(residual_directions(vectors, np.eye(1, 6))) == 0


def test_zero_embedding_and_empty_basis() -> None:
    empty = SubvectorBasis.empty(np.zeros(4, np.float32))
    assert empty.residual(np.ones(4)) == 1.0
    assert empty.residual(np.zeros(4)) == 0.0
    assert empty.project(np.ones((3, 4))).shape == (3, 0)
    assert span_norm(np.zeros((0, 4)), np.ones(4)) == 0.0


def test_words_are_ranked_by_contribution_not_by_coefficient() -> None:
    basis = basis_of(np.diag([10.0, 1.0, 1.0]))
    assert basis.ranked(np.array([0.5, 2.0, 3.0], np.float32)) == (
        ("w0", pytest.approx(0.5)),
        ("w2", pytest.approx(3.0)),
        ("w1", pytest.approx(2.0)),
    )


@pytest.mark.parametrize("rule", ["least-squares", "projection"])
def test_words_that_would_be_taken_away_do_not_name(rule: str) -> None:
    # "wrong" lies near the difference of the two: least squares of their sum and a little noise gives it a large share
    first, second, up = np.eye(3)
    vectors = np.stack([first, first + 0.2 * second, second, -first + 0.1 * up])
    basis = basis_of(vectors, coefficients=rule)
    e = 1.0 * first - 0.05 * second + 0.2 * up
    ranked = basis.ranked(basis.project(e))
    assert ranked[0][0] == "w0"
    assert ranked[-1][0] == "w2", "what would be taken away names it last"
    assert dict(ranked) == pytest.approx(dict(zip(basis.words, basis.project(e).tolist(), strict=True)))


def test_words_of_coordinates_that_are_not_finite() -> None:
    ranked = basis_of(np.eye(2, 3)).ranked(np.array([np.nan, 1.0], np.float32))
    assert sorted(word for word, _ in ranked) == ["w0", "w1"]


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_naming_weights_are_the_best_nonnegative_ones(seed: int) -> None:
    rng = np.random.default_rng(seed)
    vectors, e = rng.normal(size=(8, 12)) * rng.uniform(0.1, 5, size=(8, 1)), rng.normal(size=12)
    weights = naming_weights(vectors, vectors @ e)
    slope = vectors @ (e - weights @ vectors)  # zero where a weight is in use, not positive elsewhere
    assert (weights >= 0).all()
    np.testing.assert_allclose(slope[weights > 0], 0, atol=1e-8)
    assert (slope <= 1e-8).all()


def test_naming_weights_of_equal_no_and_zero_words() -> None:
    rows = np.array([[1.0, 0], [1.0, 0], [0, 0]])
    weights = naming_weights(rows, rows @ [2.0, 1.0])
    assert weights[:2].sum() == pytest.approx(2.0)
    assert naming_weights(np.zeros((0, 3)), np.zeros(0)).shape == (0,)
    assert naming_weights(np.zeros((2, 3)), np.zeros(2)).tolist() == [0, 0]


def test_measured_axes_keep_their_sign() -> None:
    basis = basis_of(np.eye(1, 3)).appended([Axis(word="longer", kind="measured")], np.eye(1, 3, k=2))
    assert basis.ranked(np.array([-1.0, -0.5], np.float32)) == (("w0", -1.0), ("longer", -0.5))
    assert basis.order(np.array([-1.0, -0.5], np.float32)) == (0, 1)


def test_subset_append_extend() -> None:
    basis = basis_of(np.eye(2, 5)).appended([Axis(word="longer", kind="measured")], np.eye(1, 5, k=4))
    assert basis.words == ("w0", "w1", "longer")
    assert basis.subset(["measured"]).words == ("longer",)
    with pytest.raises(SettingsError, match="only word axes"):
        basis.extend([[0.0] * 5], [[]], Source({}), eps_orth=0.1, eps_dec=0.1)
    more, found = basis.subset(["word"]).extend(
        [[0.0, 0, 3, 0, 0]], [["w9"]], Source({"w9": np.eye(5)[2]}), eps_orth=0.1, eps_dec=0.1
    )
    assert more.words == ("w0", "w1", "w9")
    assert found.converged == (True,)
    assert more.project([0.0, 0, 3, 0, 0]).tolist() == [0, 0, 3]


@pytest.mark.parametrize("eps", [0.0, -0.1, 1.5, float("nan")])
def test_thresholds_out_of_range(eps: float) -> None:
    with pytest.raises(SettingsError, match="eps_orth"):
        basis_of(np.eye(2)).extend([[0.0, 0]], [[]], Source({}), eps_orth=eps, eps_dec=0.1)


def test_shapes_and_values_are_checked() -> None:
    axes = (Axis(word="a"),)
    with pytest.raises(SettingsError, match=r"expected vectors \(1, D\)"):
        SubvectorBasis(axes=axes, vectors=np.zeros((2, 3), np.float32), null=np.zeros(3, np.float32))
    with pytest.raises(WeightsError):
        SubvectorBasis(axes=axes, vectors=np.full((1, 3), np.nan, np.float32), null=np.zeros(3, np.float32))
    with pytest.raises(SettingsError, match="expected width 3"):
        basis_of(np.eye(3)).project(np.ones(4))
    with pytest.raises(SettingsError, match="least-squares"):
        basis_of(np.eye(3), coefficients="guess")


def test_words_that_the_summarizer_said_come_first_by_coefficient() -> None:
    basis = basis_of(np.eye(4, 5))
    z = np.array([3.0, 0.5, 1.0, -2.0], np.float32)
    assert [word for word, _ in basis.ranked(z)][:1] == ["w0"]
    assert [word for word, _ in basis.ranked(z, ["w1", "w2", "w3", "unknown"])] == ["w2", "w1", "w0", "w3"]


def test_the_surest_three_words_stand_before_stronger_ones_that_were_said_later() -> None:
    basis = basis_of(np.eye(6))
    z = np.array([0.1, 0.3, -1.0, 0.2, 2.0, 1.0], np.float32)
    said = ["unknown", "w0", "w2", "w1", "w3", "w5", "w4"]
    assert [word for word, _ in basis.ranked(z, said)] == ["w1", "w3", "w0", "w4", "w5", "w2"]
