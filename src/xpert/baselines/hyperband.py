"""HyperBand: many models see a few samples, the better ones see more (Optuna)."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any

import numpy as np

from xpert.baselines.pool import SearchedPool
from xpert.baselines.ranked import check_data
from xpert.baselines.searching import Search, check_budget, check_phone, searched, told
from xpert.baselines.studies import STUDY, check_optuna, optuna_quiet
from xpert.errors import SettingsError
from xpert.types import CostedSelection, Example, Selection

__all__ = ["HyperbandBaseline"]


@dataclass(frozen=True, slots=True)
class HyperbandBaseline:
    """Stops models early that foresee the first samples worse than others; matches `xpert.protocols.CostedMethod`.

    A trial is a model, in an order drawn by the seed, none twice; its resource are samples of the user's data. At ``least``,
    ``least * reduction``, ``least * reduction**2`` ... samples the pruner says whether it goes on.

    Attributes:
        pool: The models (`xpert.baselines.pool.ModelPool`).
        budget: How many models are looked into; None: all.
        least: Samples that every model sees; None: a ninth of the data, so that there are three brackets at a reduction of 3.
        reduction: One of so many models goes on.
        seed: Of the order.
        phone: Also estimate the energy on this phone (`xpert.energy.PROFILES`).

    Source: Li et al. 2018 (JMLR 18, 185), asynchronous as in Optuna's ``HyperbandPruner``; the baseline of Wang et al. 2025 (arXiv
        2504.13938), section 7. The finite pool without repetition is ours.
    """

    pool: SearchedPool
    _: KW_ONLY
    budget: int | None = None
    least: int | None = None
    reduction: int = 3
    seed: int = 0
    phone: str | None = None

    def select(
        self, examples: Sequence[Example], base_answers: Sequence[str] | Sequence[Example] | None = None
    ) -> Selection:
        """The model with the lowest loss of those that saw all samples; then those that were stopped, the later the better.

        Raises:
            xpert.errors.DataError: No examples, one that cannot be foreseen, or another number of base answers.
            xpert.errors.SettingsError: Budget, least or reduction are out of range.
            xpert.errors.MissingDependencyError: Optuna is not installed.
            xpert.errors.XpertError: Whatever loading models raises.
        """
        return self.run(examples, base_answers).selection

    def run(
        self, examples: Sequence[Example], base_answers: Sequence[str] | Sequence[Example] | None = None
    ) -> CostedSelection:
        """The same, with its cost: inferences are the samples that each model saw, summed."""
        check_data(examples, base_answers)
        check_phone(self.phone)
        budget, n = check_budget(self.budget, self.pool), len(examples)
        least = max(1, n // 9) if self.least is None else self.least
        if not 1 <= least <= n or self.reduction < 2:
            raise SettingsError(
                f"least and reduction: expected 1 to {n} samples and 2 or more, got {least} and {self.reduction}"
            )
        check_optuna("HyperBand")
        with searched(self.pool) as (search, meter), optuna_quiet() as optuna:
            self._search(optuna, search, examples, budget, least)
        how = f"of the {len(search.losses)} of {budget} models that saw all {n} samples"
        return told(search, meter, self.pool, n_samples=len(examples), phone=self.phone, how=how)

    def _search(self, optuna: Any, search: Search, examples: Sequence[Example], budget: int, least: int) -> None:
        n, names = len(examples), list(self.pool.names)
        pruner = optuna.pruners.HyperbandPruner(min_resource=least, max_resource=n, reduction_factor=self.reduction)
        sampler = optuna.samplers.RandomSampler(seed=self.seed)
        study = optuna.create_study(study_name=STUDY, direction="minimize", sampler=sampler, pruner=pruner)
        for name in random.Random(self.seed).sample(names, budget):
            study.enqueue_trial({"model": name})
        steps = _steps(least, self.reduction, n)

        def objective(trial: Any) -> float:
            name, seen = trial.suggest_categorical("model", names), np.zeros(0, np.float32)
            with search.scoring(name) as losses:
                for step in steps:
                    seen = np.concatenate([seen, losses(examples[len(seen) : step])])
                    mean = float(seen.mean())
                    trial.report(mean, step)
                    if step < n and trial.should_prune():
                        search.stopped[name] = step, mean
                        raise optuna.TrialPruned
            search.losses[name] = float(seen.mean())
            return search.losses[name]

        study.optimize(objective, n_trials=budget)


def _steps(least: int, reduction: int, n: int) -> list[int]:
    """Numbers of samples at which a trial reports: every rung below ``n``, and ``n``."""
    found = [least]
    while found[-1] * reduction < n:
        found.append(found[-1] * reduction)
    return found if found[-1] == n else [*found, n]
