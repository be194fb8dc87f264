"""Bayesian optimization: which model to look into next is proposed by what the losses so far say (Optuna)."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any, Literal

from xpert.baselines.pool import SearchedPool
from xpert.baselines.ranked import check_data
from xpert.baselines.searching import Search, check_budget, check_phone, searched, told
from xpert.baselines.studies import STUDY, check_optuna, optuna_quiet
from xpert.errors import SettingsError
from xpert.types import CostedSelection, Example, Selection

__all__ = ["BayesianBaseline"]

_REPEATS = 3
"""After so many proposals in a row of models whose loss is known, an untried one is drawn."""


@dataclass(frozen=True, slots=True)
class BayesianBaseline:
    """Looks into some of the models, each with all of the user's data; matches `xpert.protocols.CostedMethod`.

    The one parameter is categorical, the model. A proposal whose loss is known already is answered with it: that costs no
    inference, and the budget counts different models.

    Attributes:
        pool: The models (`xpert.baselines.pool.ModelPool`).
        sampler: ``tpe`` (tree-structured Parzen estimator) or ``gp`` (Gaussian process).
        budget: How many models are looked into; None: all.
        seed: Of the proposals.
        phone: Also estimate the energy on this phone (`xpert.energy.PROFILES`).

    Source: the baseline of Wang et al. 2025 (arXiv 2504.13938), section 7: selecting a model as the choice of a hyperparameter. Samplers
        by Optuna (Akiba et al. 2019, arXiv 1907.10902); that a known loss is not computed again is ours.
    """

    pool: SearchedPool
    _: KW_ONLY
    sampler: Literal["tpe", "gp"] = "tpe"
    budget: int | None = None
    seed: int = 0
    phone: str | None = None

    def select(
        self, examples: Sequence[Example], base_answers: Sequence[str] | Sequence[Example] | None = None
    ) -> Selection:
        """The model with the lowest loss of those tried; models that were not are last. It never says that nothing matches.

        Raises:
            xpert.errors.DataError: No examples, one that cannot be foreseen, or another number of base answers.
            xpert.errors.SettingsError: Another sampler, or a budget out of range.
            xpert.errors.MissingDependencyError: Optuna is not installed.
            xpert.errors.XpertError: Whatever loading models raises.
        """
        return self.run(examples, base_answers).selection

    def run(
        self, examples: Sequence[Example], base_answers: Sequence[str] | Sequence[Example] | None = None
    ) -> CostedSelection:
        """The same, with its cost: as many inferences as models of the budget x examples."""
        check_data(examples, base_answers)
        check_phone(self.phone)
        budget = check_budget(self.budget, self.pool)
        if self.sampler not in ("tpe", "gp"):
            raise SettingsError(f"sampler: expected tpe or gp, got {self.sampler!r}")
        check_optuna("Bayesian optimization")
        with searched(self.pool) as (search, meter), optuna_quiet() as optuna:
            self._search(optuna, search, examples, budget)
        how = f"of the {budget} of {len(self.pool.names)} models that were looked into"
        return told(search, meter, self.pool, n_samples=len(examples), phone=self.phone, how=how)

    def _search(self, optuna: Any, search: Search, examples: Sequence[Example], budget: int) -> None:
        samplers = optuna.samplers
        sampler = (samplers.TPESampler if self.sampler == "tpe" else samplers.GPSampler)(seed=self.seed)
        study = optuna.create_study(study_name=STUDY, direction="minimize", sampler=sampler)
        rng, names, repeats = random.Random(self.seed), list(self.pool.names), 0
        while len(search.losses) < budget:
            trial = study.ask()
            name = trial.suggest_categorical("model", names)
            repeats = repeats + 1 if name in search.losses else 0
            study.tell(trial, search.losses[name] if repeats else search.whole(name, examples))
            if repeats == _REPEATS:
                study.enqueue_trial({"model": rng.choice([name for name in names if name not in search.losses])})
