"""Searching a pool by losses, on planted pools: who is found, and what it costs."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from xpert.baselines.bayesian import BayesianBaseline
from xpert.baselines.exhaustive import ExhaustiveBaseline
from xpert.baselines.hyperband import HyperbandBaseline
from xpert.errors import MissingDependencyError, SettingsError
from xpert.protocols import CostedMethod
from xpert.registry import BASELINES
from xpert.testing.checks_selection import check_costed_method
from xpert.testing.fake_pool import PlantedPool
from xpert.types import Example

MINE = [Example(prompt=f"question {i}", response=f"answer {i}") for i in range(27)]
NAMES = [f"model-{i}" for i in range(12)]


def planted(best: str, *, spread: float = 0.04) -> PlantedPool:
    """Losses 2.0, 2.1, 2.2 ... in an order of their own, and one of 1.9."""
    losses = {name: 2.0 + 0.1 * (7 * i % len(NAMES)) for i, name in enumerate(NAMES)}
    return PlantedPool(losses | {best: 1.9}, spread=spread)


def needs_optuna() -> None:
    pytest.importorskip("optuna", reason="needs the extra 'eval'")


SEARCHES: dict[str, Callable[[PlantedPool], CostedMethod]] = {
    "exhaustive": ExhaustiveBaseline,
    "tpe": lambda pool: BayesianBaseline(pool, sampler="tpe"),
    "gp": lambda pool: BayesianBaseline(pool, sampler="gp"),
    "hyperband": HyperbandBaseline,
}


@pytest.mark.parametrize("best", NAMES[::4])
@pytest.mark.parametrize("name", list(SEARCHES))
def test_searches_keep_the_contract_and_find_the_planted_best(name: str, best: str) -> None:
    if name != "exhaustive":
        needs_optuna()
    found = check_costed_method(lambda: SEARCHES[name](planted(best)), MINE, NAMES, expected=best)
    assert found.cost.models == len(NAMES)
    assert found.cost.downloaded_bytes == 1000 * len(NAMES)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("make", [BayesianBaseline, partial(BayesianBaseline, sampler="gp"), HyperbandBaseline])
def test_at_a_budget_of_all_the_best_is_found_whatever_the_seed(make: Any, seed: int) -> None:
    needs_optuna()
    pool = planted(NAMES[seed])
    assert make(pool, seed=seed).select(MINE).best == NAMES[seed]
    assert len(pool.asked) == len(NAMES)


@pytest.mark.parametrize("name", ["exhaustive", "tpe", "gp"])
def test_where_single_samples_disagree_the_mean_over_all_decides(name: str) -> None:
    if name != "exhaustive":
        needs_optuna()
    pool, counted = planted("model-3", spread=0.6), planted("model-3", spread=0.6)
    losses: dict[str, Any] = {}
    for model in NAMES:
        with counted.scoring(model) as loss:
            losses[model] = loss(MINE)
    best_of_sample = {min(NAMES, key=lambda model: losses[model][i]) for i in range(len(MINE))}
    assert len(best_of_sample) > 3
    best = min(NAMES, key=lambda model: sum(losses[model]))
    assert SEARCHES[name](pool).select(MINE).best == best
    assert pool.asked == counted.asked == dict.fromkeys(NAMES, 27)


def test_exhaustive_search_asks_every_model_for_every_sample() -> None:
    pool = planted("model-3")
    found = ExhaustiveBaseline(pool).run(MINE)
    assert found.cost.inferences == 12 * 27
    assert pool.asked == dict.fromkeys(NAMES, 27)
    assert found.why == (
        f"model-3 has the lowest loss on the data, {found.selection.ranking[0][1]:.3f} nats a token, of all 12 models.",
        f"The next, model-0, has {found.selection.ranking[1][1]:.3f}.",
    )


@pytest.mark.parametrize("sampler", ["tpe", "gp"])
@pytest.mark.parametrize("budget", [1, 5, 12])
def test_bayesian_optimization_pays_for_different_models_only(sampler: Any, budget: int) -> None:
    needs_optuna()
    pool = planted("model-3")
    found = BayesianBaseline(pool, sampler=sampler, budget=budget).run(MINE)
    assert found.cost.models == len(pool.asked) == budget
    assert found.cost.inferences == budget * 27
    assert set(pool.asked.values()) == {27}
    assert found.cost.downloaded_bytes == 1000 * budget
    assert {name for name, _ in found.selection.ranking[:budget]} == set(pool.asked)
    assert min(pool.losses[name] for name in pool.asked) == pool.losses[found.selection.best]


def test_hyperband_pays_for_the_samples_that_each_model_saw() -> None:
    needs_optuna()
    pool = planted("model-3")
    found = HyperbandBaseline(pool, least=3).run(MINE)
    assert found.cost.inferences == sum(pool.asked.values()) < 12 * 27
    assert set(pool.asked.values()) <= {3, 9, 27}
    assert pool.asked["model-3"] == 27
    assert {name for name, n in pool.asked.items() if n == 3}, "nobody was stopped at the first rung"
    order = [pool.asked[name] for name, _ in found.selection.ranking]
    assert order == sorted(order, reverse=True)


def test_hyperband_looks_into_no_more_models_than_its_budget() -> None:
    needs_optuna()
    pool = planted("model-3")
    found = HyperbandBaseline(pool, budget=4, seed=2).run(MINE)
    assert found.cost.models == len(pool.asked) == 4
    assert found.selection.best in pool.asked


def test_one_sample_is_enough_for_all_searches() -> None:
    needs_optuna()
    for make in SEARCHES.values():
        pool = planted("model-5")
        assert make(pool).run(MINE[:1]).cost.inferences == 12
        assert make(pool).select(MINE[:1]).best == "model-5"


def test_a_model_is_let_go_after_an_error() -> None:
    class Broken(PlantedPool):
        def _losses(self, name: str, examples: Any) -> Any:
            raise OSError("disk")

    pool = Broken({"a": 1.0})
    with pytest.raises(OSError, match="disk"):
        ExhaustiveBaseline(pool).select(MINE)
    assert not pool.held


def test_optuna_speaks_as_loud_afterwards_as_before() -> None:
    optuna = pytest.importorskip("optuna", reason="needs the extra 'eval'")
    before = optuna.logging.get_verbosity()
    BayesianBaseline(planted("model-3"), budget=2).select(MINE)
    assert optuna.logging.get_verbosity() == before


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda pool: BayesianBaseline(pool, budget=0), "budget: expected 1 to 12"),
        (lambda pool: HyperbandBaseline(pool, budget=13), "budget: expected 1 to 12"),
        (lambda pool: BayesianBaseline(pool, sampler="cma"), "sampler: expected tpe or gp"),
        (lambda pool: HyperbandBaseline(pool, least=28), "expected 1 to 27 samples"),
        (lambda pool: HyperbandBaseline(pool, reduction=1), "2 or more"),
        (lambda pool: ExhaustiveBaseline(pool, phone="pixel-8"), "phone: expected one of"),
    ],
)
def test_settings_are_checked_before_the_work(make: Any, message: str) -> None:
    pool = planted("model-3")
    with pytest.raises(SettingsError, match=message):
        make(pool).select(MINE)
    assert not pool.asked


@pytest.mark.parametrize("make", [BayesianBaseline, HyperbandBaseline])
def test_without_optuna_the_extra_is_named(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xpert.baselines.studies.find_spec", lambda name: None)
    pool = planted("model-3")
    with pytest.raises(MissingDependencyError, match=r"xpert\[eval\]"):
        make(pool).select(MINE)
    assert not pool.asked


def test_a_phone_is_an_estimate_beside_what_was_measured() -> None:
    cost = ExhaustiveBaseline(planted("model-3"), phone="pixel-7").run(MINE).cost
    (phone,) = [one for one in cost.energy if one.kind == "estimated"]
    assert phone.joules == pytest.approx(3.2 * cost.seconds)


def test_the_registry_names_them() -> None:
    assert BASELINES.get("exhaustive") is ExhaustiveBaseline
    assert BASELINES.get("bayesian") is BayesianBaseline
    assert BASELINES.get("hyperband") is HyperbandBaseline
