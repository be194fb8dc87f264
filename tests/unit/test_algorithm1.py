"""The vectorised Algorithm 1 against a plain loop of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xpert.decompose import algorithm1, coefficients, orthogonalised, relative_residual
from xpert.types import Array


def plain_loop(
    embeddings: np.ndarray,
    candidates: Sequence[Sequence[str]],
    rows: dict[str, np.ndarray],
    *,
    eps_orth: float,
    eps_dec: float,
    rule: str = "least-squares",
    order: str = "given",
    axes: str = "found",
    start: tuple[Sequence[str], np.ndarray] | None = None,
) -> tuple[list[str], np.ndarray, list[bool], int]:
    """Algorithm 1 word by word: axes as a list, residuals by `relative_residual`."""
    words, kept = (list(start[0]), [np.asarray(v, float) for v in start[1]]) if start else ([], [])
    examined, converged = set(words), []

    def axis(word: str) -> np.ndarray:
        vector = np.asarray(rows[word], float)
        if axes == "orthogonalised":
            for one in [*kept, *kept]:
                vector = vector - (vector @ one) / (one @ one) * one
        return vector

    def admissible(word: str) -> bool:
        vector = np.asarray(rows[word], float)
        norm = np.linalg.norm(vector)
        if norm < 1e-8 or (axes == "orthogonalised" and np.linalg.norm(axis(word)) < 1e-6 * norm):
            return False
        return all(abs(vector @ one) / norm / np.linalg.norm(one) <= eps_orth + 1e-12 for one in kept)

    def done(e: np.ndarray) -> bool:
        return relative_residual(np.array(kept).reshape(-1, len(e)), e, rule) <= eps_dec

    for e, listed in zip(embeddings, candidates, strict=True):
        new = [word for word in dict.fromkeys(listed) if word not in examined]
        met = done(e)
        if order == "residual" and not met:
            examined.update(new)
        while new and not met:
            word = new[0]
            if order == "residual":
                axes_ = np.array(kept).reshape(-1, len(e))
                rest = e - coefficients(axes_, e, rule) @ axes_
                new = [w for w in new if admissible(w)]
                if not new:
                    break
                aligned = [abs(rows[w] @ rest) / np.linalg.norm(rows[w]) for w in new]
                word = next(w for w, a in zip(new, aligned, strict=True) if a >= max(aligned) * (1 - 1e-9))
            new.remove(word)
            examined.add(word)
            if admissible(word):
                vector = axis(word)
                words.append(word)
                kept.append(vector)
                met = done(e)
        converged.append(met)
    return words, np.array(kept), converged, len(examined) - (len(start[0]) if start else 0)


class Table:
    def __init__(self, rows: dict[str, np.ndarray]) -> None:
        self.rows, self.asked = rows, []

    def __call__(self, words: Sequence[str]) -> Array:
        self.asked.append(len(words))
        return np.stack([self.rows[word] for word in words])


def a_problem(seed: int, *, n_words: int, width: int, n_embeddings: int) -> tuple[np.ndarray, list, dict]:
    """Words with a shared direction, duplicates, sums and a zero; embeddings that a few words make up, and noise."""
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(n_words, width)) + rng.uniform(0, 1.5) * rng.normal(size=width)
    vectors[3], vectors[5], vectors[7] = vectors[0], vectors[1] - 2 * vectors[2], 0
    vectors *= rng.uniform(0.1, 10, size=(n_words, 1))
    rows = {f"w{i}": row for i, row in enumerate(vectors)}
    embeddings = []
    for _ in range(n_embeddings):
        few = rng.choice(n_words, size=3, replace=False)
        noise = rng.uniform(0, 0.4) * rng.normal(size=width)
        embeddings.append(rng.normal(size=3) @ vectors[few] + noise * np.linalg.norm(vectors[few[0]]) / width**0.5)
    lists = [[f"w{i}" for i in rng.permutation(n_words)[: rng.integers(1, n_words + 1)]] for _ in range(n_embeddings)]
    return np.array(embeddings), lists, rows


@pytest.mark.parametrize("axes", ["found", "orthogonalised"])
@pytest.mark.parametrize("order", ["given", "residual"])
@pytest.mark.parametrize("rule", ["least-squares", "projection"])
@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 10_000),
    eps_orth=st.sampled_from([0.1, 0.3, 0.6, 1.0]),
    eps_dec=st.sampled_from([0.02, 0.2, 0.6]),
    chunk=st.sampled_from([1, 8, 500]),
)
def test_equals_a_plain_loop(
    rule: str, order: str, axes: str, seed: int, eps_orth: float, eps_dec: float, chunk: int
) -> None:
    embeddings, lists, rows = a_problem(seed, n_words=30, width=20, n_embeddings=6)
    options = {"eps_orth": eps_orth, "eps_dec": eps_dec, "rule": rule, "order": order, "axes": axes}
    words, vectors, converged, n_examined = plain_loop(embeddings, lists, rows, **options)
    found = algorithm1(embeddings, lists, Table(rows), chunk=chunk, **options)
    assert found.words == tuple(words)
    assert found.converged == tuple(converged)
    assert found.n_examined == n_examined
    np.testing.assert_allclose(found.vectors, vectors.reshape(found.vectors.shape), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("rule", ["least-squares", "projection"])
@pytest.mark.parametrize(("eps_orth", "spread"), [(0.3, False), (0.12, False), (0.3, True)])
def test_equals_a_plain_loop_over_several_panels(rule: str, eps_orth: float, spread: bool) -> None:
    rng = np.random.default_rng(5)
    vectors = rng.normal(size=(260, 300)).astype(np.float32)
    rows = {f"w{i}": row for i, row in enumerate(vectors)}
    lists = [[f"w{i}" for i in rng.permutation(260)] for _ in range(40)]
    embeddings = rng.normal(size=(40, 300))
    if spread:  # each embedding needs two words that stand first in its list
        embeddings = np.array([rows[one[0]] + 0.5 * rows[one[1]] for one in lists])
    options = {"eps_orth": eps_orth, "eps_dec": 0.25, "rule": rule}
    words, vectors_, converged, n_examined = plain_loop(embeddings, lists, rows, **options)
    found = algorithm1(embeddings, lists, Table(rows), chunk=500, **options)
    assert (found.words, found.converged, found.n_examined) == (tuple(words), tuple(converged), n_examined)
    assert len(words) > 64 or eps_orth == 0.12
    ours = coefficients(found.vectors, embeddings, rule)
    np.testing.assert_allclose(ours, coefficients(vectors_, embeddings, rule), atol=1e-4)


def test_residual_order_over_several_panels() -> None:
    rng = np.random.default_rng(6)
    rows = {f"w{i}": row for i, row in enumerate(rng.normal(size=(200, 250)))}
    embeddings, lists = rng.normal(size=(2, 250)), [list(rows)] * 2
    options = {"eps_orth": 0.3, "eps_dec": 0.3, "order": "residual"}
    words, _, converged, n_examined = plain_loop(embeddings, lists, rows, **options)
    found = algorithm1(embeddings, lists, Table(rows), **options)
    assert (found.words, found.converged, found.n_examined) == (tuple(words), tuple(converged), n_examined)
    assert len(words) > 64


@pytest.mark.parametrize("axes", ["found", "orthogonalised"])
def test_going_on_from_a_basis_is_the_run_that_was_not_interrupted(axes: str) -> None:
    embeddings, _, rows = a_problem(11, n_words=30, width=20, n_embeddings=6)
    lists = [list(rows)] * 6
    options = {"eps_orth": 0.5, "eps_dec": 0.1, "axes": axes}
    whole = algorithm1(embeddings, lists, Table(rows), **options)
    first = algorithm1(embeddings[:2], lists[:2], Table(rows), **options)
    more = algorithm1(embeddings[2:], lists[2:], Table(rows), start=(first.words, first.vectors), **options)
    assert more.words == whole.words
    assert first.converged + more.converged == whole.converged
    np.testing.assert_allclose(more.vectors, whole.vectors, atol=1e-4)


def test_dependent_words_add_nothing_and_break_nothing() -> None:
    rng = np.random.default_rng(0)
    base = rng.normal(size=(4, 12))
    rows = {f"w{i}": rng.normal(size=4) @ base for i in range(40)}  # forty words in four dimensions
    embedding = np.append(rng.normal(size=4) @ base, 0)[:12] + 0.3 * rng.normal(size=12)
    found = algorithm1(embedding, [list(rows)], Table(rows), eps_orth=1.0, eps_dec=0.01)
    assert len(found.words) == 40
    assert found.converged == (False,)
    four = list(rows)[:4]
    left = relative_residual(np.stack([rows[w] for w in four]), embedding)
    exact = algorithm1(embedding, [list(rows)], Table(rows), eps_orth=1.0, eps_dec=left + 1e-5)
    assert (exact.words, exact.converged) == (tuple(four), (True,))
    apart = algorithm1(embedding, [list(rows)], Table(rows), eps_orth=1.0, eps_dec=0.01, axes="orthogonalised")
    assert apart.words == tuple(four)


def test_orthogonalised_axes_span_the_same_and_make_both_rules_agree() -> None:
    rng = np.random.default_rng(1)
    vectors, e = rng.normal(size=(6, 30)), rng.normal(size=30)
    axes = orthogonalised(vectors)
    gram = axes @ axes.T
    np.testing.assert_allclose(gram - np.diag(np.diag(gram)), 0, atol=1e-10)
    np.testing.assert_allclose(axes[0], vectors[0])
    assert (np.einsum("kd,kd->k", axes, vectors) > 0).all()
    assert relative_residual(axes, e, "projection") == pytest.approx(relative_residual(vectors, e))


def test_a_cheap_source_is_asked_once() -> None:
    rng = np.random.default_rng(2)
    table = Table({f"w{i}": row for i, row in enumerate(rng.normal(size=(300, 50)))})
    algorithm1(rng.normal(size=(1, 50)), [list(table.rows)], table, eps_orth=0.1, eps_dec=0.01, chunk=1024)
    assert table.asked == [300]


@pytest.mark.parametrize("rule", ["least-squares", "projection"])
def test_products_in_float32_find_the_same(rule: str) -> None:
    rng = np.random.default_rng(7)
    vectors = rng.normal(size=(300, 400)).astype(np.float32)
    rows = {f"w{i}": row for i, row in enumerate(vectors)}
    lists = [[f"w{i}" for i in rng.permutation(300)] for _ in range(30)]
    embeddings = np.array([rows[one[0]] + 0.5 * rows[one[1]] for one in lists]) + 0.05 * rng.normal(size=(30, 400))
    options = {"eps_orth": 0.3, "eps_dec": 0.25, "rule": rule}
    words, _, converged, n_examined = plain_loop(embeddings, lists, rows, **options)
    found = algorithm1(embeddings, lists, Table(rows), chunk=500, products="float32", **options)
    assert (found.words, found.converged, found.n_examined) == (tuple(words), tuple(converged), n_examined)


@pytest.mark.parametrize("products", ["float32", "float64"])
def test_near_dependence_is_decided_in_float64_and_nobody_is_asked_twice(products: str) -> None:
    rng = np.random.default_rng(8)
    first, second, third = rng.normal(size=(3, 50))
    near = first + second + 1e-5 * third  # new by a part that float32 cannot see
    table = Table({"a": first, "b": second, "c": near})
    found = algorithm1(third, [["a", "b", "c"]], table, eps_orth=0.99, eps_dec=0.1, products=products)
    assert found.words == ("a", "b", "c")
    assert found.converged == (True,)
    assert table.asked == [3]
