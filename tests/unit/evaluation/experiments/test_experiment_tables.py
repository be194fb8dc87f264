"""Planted pools: every row of the tables is known beforehand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from xpert.errors import DataError
from xpert.evaluation.experiments import axes_against_models, n_prompts, prompt_domains, thresholds
from xpert.evaluation.experiments.decomposing import Settings, word_basis
from xpert.evaluation.experiments.pool import ProbedPool, UserRows
from xpert.evaluation.experiments.tables import markdown
from xpert.evaluation.suite import explanations
from xpert.measured import MEASURED

WIDTH, F = 32, len(MEASURED)
SETTING = Settings(name="planted", eps_orth=0.3, eps_dec=0.05)


def planted(
    directions: np.ndarray, *, noise: float = 0.0, n_prompts: int = 40, common: float = 0.0, seed: int = 0
) -> ProbedPool:
    """A model a direction ``(M, WIDTH)``; its words are ``w<m>`` and a synonym that is nearly the same; all offer all."""
    rng = np.random.default_rng(seed)
    m = len(directions)
    null = np.zeros((n_prompts, WIDTH))
    null[:, -1] = common
    rows = directions[:, None] + null + noise * rng.normal(size=(m, n_prompts, WIDTH))
    near = directions + 0.05 * np.eye(m, WIDTH, k=m)
    words = tuple(word for i in range(m) for word in (f"w{i}", f"near{i}"))
    vectors = np.stack([row for pair in zip(directions, near, strict=True) for row in pair])
    return ProbedPool(
        summarizer="planted",
        models=tuple(f"m{i}" for i in range(m)),
        prompts=tuple(f"prompt {p}" for p in range(n_prompts)),
        base_answers=("",) * n_prompts,
        rows=rows.astype(np.float32),
        null=null.astype(np.float32),
        measured=np.zeros((m, n_prompts, F), np.float32),
        candidates=tuple((*words[2 * i :], *words[: 2 * i]) for i in range(m)),
        words=words,
        vectors=vectors.astype(np.float32),
    )


def users_of(pool: ProbedPool) -> UserRows:
    """A user at each model's place."""
    return UserRows(
        styles=pool.models,
        hidden=pool.rows.mean(axis=1) * 1.0,
        measured=np.zeros((len(pool.models), F), np.float32),
    )


def test_a_domain_that_turns_the_embedding_is_told_from_one_that_does_not() -> None:
    plain = np.eye(2, WIDTH)
    turned = plain + np.eye(2, WIDTH, k=4)  # by 45 degrees
    rows = prompt_domains.prompt_domains(
        {"a": planted(plain), "b": planted(plain), "c": planted(turned, n_prompts=20)}, n_prompts=20
    )
    by = {(row.kind, row.compared, row.model): row for row in rows}
    assert by["domains", ("a", "b"), "m0"].centred == pytest.approx(0, abs=1e-6)
    assert by["domains", ("a", "c"), "m1"].centred == pytest.approx(1 - np.sqrt(0.5), abs=1e-6)
    assert by["halves", ("a", "a"), "m0"].centred == pytest.approx(0, abs=1e-6)
    assert by["models", ("a", "other models"), "m0"].centred == pytest.approx(1, abs=1e-6)
    assert ("halves", ("c", "c"), "m0") not in by  # too few prompts for a second set
    assert prompt_domains.to_table(rows).splitlines()[2] == "| a against b | 0.000 | 0.000 |"


def test_a_common_direction_hides_differences_until_it_is_subtracted() -> None:
    rows = prompt_domains.prompt_domains({"a": planted(np.eye(2, WIDTH), common=10.0)}, n_prompts=20)
    models = next(row for row in rows if row.kind == "models")
    assert models.raw == pytest.approx(1 / 101, abs=1e-6)
    assert models.centred == pytest.approx(1, abs=1e-6)


def test_halves_tell_the_noise() -> None:
    quiet, loud = (
        [
            row.centred
            for row in prompt_domains.prompt_domains({"a": planted(np.eye(2, WIDTH), noise=noise)}, n_prompts=20)
            if row.kind == "halves"
        ]
        for noise in (0.05, 0.5)
    )
    assert max(quiet) < 0.02 < min(loud)


def test_domains_need_the_same_models_and_enough_prompts() -> None:
    pool = planted(np.eye(3, WIDTH))
    with pytest.raises(DataError, match="expected the models"):
        prompt_domains.prompt_domains({"a": pool, "b": pool.of_models([1, 0, 2])}, n_prompts=20)
    with pytest.raises(DataError, match="expected 50 prompts, got 40"):
        prompt_domains.prompt_domains({"a": pool})


def test_the_error_is_what_the_scatter_predicts_and_none_for_all_prompts() -> None:
    pool = planted(np.eye(3, WIDTH), noise=0.15, n_prompts=200, common=3.0)
    rows = n_prompts.error_by_n_prompts(pool, n_draws=100)
    for row in rows[:-1]:
        assert row.centred == pytest.approx(row.predicted, rel=0.15)
        square = 0.15**2 * (WIDTH - 1) * (1 / row.n_prompts - 1 / 200)
        assert row.predicted == pytest.approx(1 - 1 / np.sqrt(1 + square), rel=0.15)
        assert row.raw < 0.3 * row.centred
        assert row.centred <= row.centred_worst
        assert row.predicted < row.predicted_endless
    assert rows[-1].n_prompts == 200
    assert rows[-1].centred == pytest.approx(0, abs=1e-9)
    assert rows[-1].predicted == pytest.approx(0)
    assert len(n_prompts.to_table(rows).splitlines()) == len(rows) + 2


def test_large_angles_are_predicted_too() -> None:
    row = n_prompts.error_by_n_prompts(planted(np.eye(3, WIDTH), noise=1.0, n_prompts=400), numbers=[10])[0]
    assert row.centred > 0.4
    assert row.predicted == pytest.approx(row.centred, rel=0.15)


def test_scatter_along_the_embedding_turns_nothing() -> None:
    pool = planted(np.eye(2, WIDTH))
    strength = np.linspace(0.5, 1.5, 40)[None, :, None]
    swaying = replace(pool, rows=(pool.rows * strength).astype(np.float32))
    row = n_prompts.error_by_n_prompts(swaying, numbers=[5])[0]
    assert row.centred == pytest.approx(0, abs=1e-9)
    assert row.predicted == pytest.approx(0, abs=1e-9)


def test_more_prompts_than_there_are_is_an_error() -> None:
    with pytest.raises(DataError, match="from 1 to 40"):
        n_prompts.error_by_n_prompts(planted(np.eye(2, WIDTH)))


def test_orthogonal_styles_need_an_axis_each_and_synonyms_are_examined_in_vain() -> None:
    pool = planted(np.eye(8, WIDTH))
    rows = axes_against_models.axes_against_models(pool, [SETTING], counts=(2, 4, 8), n_orders=3)
    assert [set(row.n_subvectors) for row in rows] == [{2}, {4}, {8}]
    assert all(row.converged == 1 and row.residual < 1e-6 for row in rows)
    loose = axes_against_models.axes_against_models(
        pool, [Settings(name="tight", eps_orth=0.3, eps_dec=1e-9)], counts=(8,), n_orders=2
    )
    assert set(loose[0].n_subvectors) == {8}
    assert max(loose[0].n_examined) <= loose[0].n_offered[0] == 16
    assert "| planted | 4 | 4 |" in axes_against_models.to_table(rows)


def test_fewer_candidates_are_the_first_ones() -> None:
    pool = planted(np.eye(4, WIDTH))
    found = word_basis(pool, Settings(name="one", eps_orth=0.3, eps_dec=0.05, max_candidates=1))
    assert found.n_offered == 4
    assert set(found.basis.words) == {"w0", "w1", "w2", "w3"}


def test_sizes_that_the_pool_has_not_are_an_error() -> None:
    with pytest.raises(DataError, match="from 1 to 2"):
        axes_against_models.axes_against_models(planted(np.eye(2, WIDTH)), [SETTING])


def test_a_threshold_that_drops_words_costs_words_alone_their_users() -> None:
    oblique = np.eye(4, WIDTH) + 0.5 * np.eye(1, WIDTH, k=9)  # cosines of 0.2
    pool = planted(oblique, common=2.0)
    users = users_of(pool)
    rows = thresholds.orthogonality_threshold(pool, users, SETTING, values=(0.1,))
    strict, loose = rows
    assert (strict.settings.eps_orth, loose.settings.eps_orth) == (0.1, 0.3)
    assert (strict.n_subvectors, loose.n_subvectors) == (1, 4)
    assert strict.n_examined == strict.n_offered == 8
    assert loose.accuracy == {"all": 1, "named": 1, "named+measured": 1}
    assert strict.accuracy["all"] == 1  # unnamed axes take up what words leave
    assert strict.accuracy["named"] < 1
    assert (strict.converged, loose.converged) == (0.25, 1)
    chart = explanations.threshold_chart({"Users of one kind": rows}, "eps_orth")
    assert {line.name: (line.x, line.y) for line in chart.series} == {
        "right by all axes: users of one kind": ([0.1, 0.3], [100, 100]),
        "right by words alone: users of one kind": ([0.1, 0.3], [100 * strict.accuracy["named"], 100]),
        "models within eps_dec": ([0.1, 0.3], [25, 100]),
    }


def test_a_stop_rule_that_is_loose_examines_less_and_leaves_more() -> None:
    axes = planted(np.eye(8, WIDTH))
    half = axes.of_models(range(4))
    mixed = 0.8 * axes.rows[:4] + 0.6 * axes.rows[4:]
    words = tuple((f"w{i}", f"w{i + 4}") for i in range(4))
    pool = replace(half, rows=mixed, candidates=words)
    rows = thresholds.decomposition_threshold(pool, users_of(pool), SETTING, values=(0.7,))
    tight, loose = rows
    assert (tight.n_examined, loose.n_examined) == (8, 4)
    assert (tight.n_subvectors, loose.n_subvectors) == (8, 4)
    assert tight.residual == pytest.approx(0, abs=1e-6)
    assert loose.residual == pytest.approx(0.6, abs=1e-6)
    assert tight.converged == loose.converged == 1
    table = thresholds.to_table(rows)
    assert table.splitlines()[0].endswith("right: all axes | right: words alone | right: words, measured |")


def test_a_word_without_a_subvector_is_named() -> None:
    pool = planted(np.eye(2, WIDTH))
    with pytest.raises(DataError, match="'strange'"):
        pool.vectors_of(["strange"])


def test_a_row_of_another_length_is_an_error() -> None:
    with pytest.raises(ValueError, match="expected 2 cells"):
        markdown(["a", "b"], [[1]])
