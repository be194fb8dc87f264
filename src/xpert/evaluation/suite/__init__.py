"""The experiments by name: what each is, what the paper has, and the function that runs it."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from xpert.errors import MissingDependencyError, SettingsError, did_you_mean
from xpert.evaluation.presets import Preset
from xpert.evaluation.setting import Setting
from xpert.evaluation.suite.context import Context, Findings

__all__ = ["ALL", "EXPERIMENTS", "Experiment", "experiments_of"]

ALL = "all"
"""What names all experiments together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """One experiment.

    Attributes:
        name: As the command line has it.
        title: As the page of results has it.
        paper: What the paper reports.
        here: What differs in the setting.
        function: ``module:attribute`` of what runs it, within this package; imported at use.
        spec: From the preset: what it is run on.
        trains: Whether it trains pools, as the preset ``paper`` has them; else it is for the other presets.
        elsewhere: What differs from the paper on other data than the zoo's, or by another summarizer; empty: it runs on the zoo alone.
        needs: Packages beside the core's, and the extra that brings them.
    """

    name: str
    title: str
    paper: str
    here: str
    function: str
    spec: Callable[[Preset], Mapping[str, Any]]
    needs: Mapping[str, str]
    elsewhere: str = ""
    trains: bool = False

    def check_preset(self, preset: Preset) -> None:
        """Whether it is one of a preset's.

        Raises:
            xpert.errors.SettingsError: It is not.
        """
        if self.trains != (preset.pools is not None):
            told = (
                "trains pools, as the preset paper has them"
                if self.trains
                else "runs on the zoo, at the presets tiny and small"
            )
            raise SettingsError(f"{self.name} {told}: it cannot run at the preset {preset.name}")

    def check_setting(self, setting: Setting) -> None:
        """Whether it runs in a setting.

        Raises:
            xpert.errors.SettingsError: It runs on the zoo alone.
        """
        if not setting.is_usual and not self.elsewhere:
            others = ", ".join(one.name for one in EXPERIMENTS.values() if one.elsewhere)
            raise SettingsError(
                f"{self.name} runs on the zoo and by its summarizer alone, got {setting.told}: leave data and summarizer out, "
                f"or ask for {others}"
            )

    def check(self) -> None:
        """Whether what it needs is installed.

        Raises:
            xpert.errors.MissingDependencyError: It is not.
        """
        for package, extra in self.needs.items():
            if find_spec(package) is None:
                raise MissingDependencyError.of(package.replace("_", "-"), extra, f"the experiment {self.name}")

    def run(self, context: Context) -> Findings:
        """Run it."""
        module, attribute = self.function.split(":")
        return getattr(importlib.import_module(f"{__name__}.{module}"), attribute)(context)


def _models(preset: Preset) -> dict[str, Any]:
    return {"models": len(preset.styles), "summarizer": "zoo:summarizer"}


_POOLED = "The zoo: a base of 3 million parameters, its adapters, the zoo's summarizer. Directions can be compared with the paper's, absolute numbers cannot."

_TRAINED = (
    "An adapter a style, trained on a mixture of so many percent of its style (the paper trains all parameters); models are probed with the shipped prompts, the base answers the users' own where they "
    "have any. Fine-tuning time, energy and data saved are not measured."
)


def _trained(preset: Preset) -> dict[str, Any]:
    pools = preset.pools
    if pools is None:
        return {}
    sizes = {
        "bases": [Path(base).name for base in pools.bases],
        "examples": pools.training,
        "steps": pools.steps,
        "batch_size": pools.batch_size,
        "prompts": pools.prompts,
    }
    counts = {"draws": preset.draws, "users_a_style_and_draw": preset.users_a_style}
    return sizes | counts | {"similarities": list(preset.similarities)}


EXPERIMENTS: Mapping[str, Experiment] = {
    one.name: one
    for one in (
        Experiment(
            name="table-1",
            title="Table 1: the domain of the prompts",
            paper="Cosine distance of one model's embeddings by prompts of two domains, Llama / Qwen2 / SmolLM: Alpaca against LegalBench 0.042 / 0.054 / 0.060, LegalBench against "
            "SciQ 0.063 / 0.033 / 0.035, SciQ against Alpaca 0.029 / 0.041 / 0.032.",
            here=_POOLED
            + " Beside them two sets of prompts of one domain (noise) and other models on the same prompts.",
            function="explanations:table_1",
            spec=lambda p: _models(p) | {"models": 4, "prompts_of_a_set": p.set_size},
            needs={},
        ),
        Experiment(
            name="table-2",
            title="Table 2: sub-vectors against models",
            paper="4 / 8 / 16 models gave 12 / 19 / 37 sub-vectors after 92 / 145 / 280 candidate words.",
            here=_POOLED,
            function="explanations:table_2",
            spec=lambda p: _models(p) | {"orders": p.orders, "styled_texts_a_word": p.styled_texts},
            needs={},
        ),
        Experiment(
            name="table-7",
            title="Table 7 and Figure 12: what selecting costs",
            paper="Llama-3.2-1B, 28 models, download / compute / energy: exhaustive search 1.26 h / 48.3 min / 13.1 kJ; Bayesian optimization 1.26 h / 45.5 min / 12.1 kJ; HyperBand 1.26 h / "
            "40.0 min / 10.3 kJ; XPerT 2.7 min / 13.8 min / 3.7 kJ. With more models the baselines grow linearly, XPerT stays flat.",
            here="The shipped zoo (every answer in its style), one user a style whose text no model saw, on this machine: a summarizer of 0.9 million parameters reads 50 pairs, where the paper streams one "
            "of 8 billion. Seconds begin when base or summarizer are in memory, and were taken beside whatever else the machine did. Downloads are bytes. Energy is a Pixel 7's by its power times this machine's "
            "seconds: an estimate.",
            function="costs:table_7",
            spec=lambda p: _models(p) | {"pool_sizes": list(p.pool_sizes), "texts_a_user": 50},
            needs={"optuna": "eval", "sentence_transformers": "encoder"},
        ),
        Experiment(
            name="accuracy",
            title="Accuracy against similarity (the first column of Table 5)",
            paper="Right model, Llama-3.2-1B, 28 models, s = 30 / 50 / 70 / 80 / 90: 25.0 / 53.6 / 85.7 / 96.4 / 96.4%.",
            here="Recorded mixtures of what the zoo's models say: the answers that are not in the style are the base's. Users write in their style alone. The paper trains its models on such mixtures.",
            elsewhere="Recorded mixtures, not trained models: what is not in a model's style is the base's answer or, of passages that answer nothing, a passage of any style that no style has. Users write in their "
            "style alone, on other prompts; where no base answers these, the stored base answers stand beside their texts, unpaired.",
            function="accuracy:accuracy",
            spec=lambda p: (
                _models(p)
                | {"draws": p.draws, "users_a_style_and_draw": p.users_a_style, "similarities": list(p.similarities)}
            ),
            needs={"sentence_transformers": "encoder"},
        ),
        Experiment(
            name="table-8",
            title="Table 8: the orthogonality threshold",
            paper="`eps_orth` 0.01 / 0.1 / 0.5: 372 candidates without convergence at 0.01, 185 at 0.1; accuracy 96.4% at 0.1, 60.7% at 0.5.",
            here=_POOLED,
            function="explanations:table_8",
            spec=lambda p: _models(p) | {"users": len(p.styles)},
            needs={},
        ),
        Experiment(
            name="table-9",
            title="Table 9: the decomposition threshold",
            paper="`eps_dec` 0.02 / 0.2 / 0.6: 372 candidates at 0.02; accuracy 96.4% at 0.2, 14.3% at 0.6.",
            here=_POOLED,
            function="explanations:table_9",
            spec=lambda p: _models(p) | {"users": len(p.styles)},
            needs={},
        ),
        Experiment(
            name="figure-7",
            title="Figure 7: the number of prompts",
            paper="The error to the embedding from 1,000 prompts is negligible at 50.",
            here=_POOLED
            + " The error is to the embedding from all prompts of the preset, beside what the scatter of single rows predicts.",
            function="explanations:figure_7",
            spec=lambda p: _models(p) | {"models": 4, "prompts": p.domain_prompts[0]},
            needs={},
        ),
        Experiment(
            name="figure-15",
            title="Figure 15: graded styles",
            paper="L1 distances between models of four levels of a style, by coordinates: with Llama-3.1-8B as the summarizer they agree with the levels, with Llama-3.2-1B inconsistencies are noticeable.",
            here="Recorded models whose answers are the corpus's, in phrases and on questions that neither models nor the zoo's summarizer saw; that summarizer was trained to tell the levels of other texts apart. "
            "The second summarizer is a general encoder.",
            function="graded:figure_15",
            spec=lambda p: {"scales": 2, "levels": 4, "texts_a_level": 50},
            needs={"sentence_transformers": "encoder"},
        ),
        Experiment(
            name="table-3",
            title="Table 3: prompt-tuned sub-vectors",
            paper="Error for 50 / 100 / 200 / 300 / 400 samples: 10 tokens 0.25 / 0.12 / 0.07 / 0.07 / 0.08, 25 tokens 0.19 / 0.09 / 0.06 / 0.05 / 0.06, "
            "50 tokens 0.29 / 0.15 / 0.07 / 0.07 / 0.05.",
            here="The zoo's summarizer; words that no sample is about.",
            function="tuning:table_3",
            spec=lambda p: {
                "words_a_family": p.tuned_words,
                "texts_a_word": p.tuned_texts,
                "steps": p.tuning_steps,
                "summarizer": "zoo:summarizer",
            },
            needs={},
        ),
        Experiment(
            name="table-5",
            title="Table 5, first column: pools trained at a similarity",
            paper="Right model at s = 90: Llama-3.2-1B 96.4%, Qwen2-0.5B 100%, SmolLM-360M 89.3% (synthetic styles); Llama 96.7%, Qwen2 92.4% (real-world styles). Llama at s = 30 / 50 / 70 / 80: "
            "25.0 / 53.6 / 85.7 / 96.4%.",
            here=_TRAINED,
            elsewhere=_TRAINED,
            function="trained:table_5",
            spec=_trained,
            needs={"datasets": "eval"},
            trains=True,
        ),
    )
}


def experiments_of(name: str, preset: Preset | None = None) -> list[Experiment]:
    """The experiment of a name, or all of them: those of a preset, where one is given.

    Raises:
        xpert.errors.SettingsError: There is none of that name, or it is not one of the preset's.
    """
    if name == ALL:
        return [one for one in EXPERIMENTS.values() if preset is None or one.trains == (preset.pools is not None)]
    if name not in EXPERIMENTS:
        near = did_you_mean(name, [*EXPERIMENTS, ALL])
        raise SettingsError(f"no experiment {name!r}: expected {ALL} or one of {', '.join(EXPERIMENTS)}{near}")
    if preset is not None:
        EXPERIMENTS[name].check_preset(preset)
    return [EXPERIMENTS[name]]
