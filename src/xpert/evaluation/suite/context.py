"""What the experiments of one run share: the preset, a folder that keeps what was computed, and pools that were probed once."""

from __future__ import annotations

import json
import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from xpert.catalog import Catalog
from xpert.evaluation.cast import Cast, ZooCast
from xpert.evaluation.demo_users import DemoUser
from xpert.evaluation.experiments.pool import ProbedPool, base_answers, probed_pool, with_words
from xpert.evaluation.presets import Preset
from xpert.evaluation.results import Chart, Table
from xpert.evaluation.setting import USUAL, ZOO, Setting
from xpert.evaluation.sources import Source
from xpert.evaluation.suite.once import read_once
from xpert.evaluation.suite.weights import weights_of
from xpert.explainer import Explainer
from xpert.modalities import load_modality, modality_of
from xpert.probing import choose_prompts
from xpert.prompts import shipped_prompts
from xpert.protocols import SubvectorSource, Summarizer
from xpert.references import describe
from xpert.selector import Selector
from xpert.space import AXES, AxesName
from xpert.subvectors.contrastive import ContrastiveSubvectors
from xpert.tensors.files import write_text
from xpert.types import Generation
from xpert.zoo import adapter_names

__all__ = ["N_CANDIDATES", "SUMMARIZER", "Context", "Findings", "selectors_of"]

SUMMARIZER = "zoo:summarizer"
N_CANDIDATES = 128
"""Words a model that the pools have, as many as the paper's rule may examine."""

_N_DOMAIN_MODELS = 4
_N_TEXTS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What an experiment's function gives.

    Attributes:
        tables: For people.
        charts: To draw.
        rows: The figures behind them, JSON values.
        weights: Who computed them (`xpert.evaluation.suite.weights.weights_of`).
    """

    tables: Sequence[Table]
    charts: Sequence[Chart] = ()
    rows: Any = None
    weights: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(kw_only=True)
class Context:
    """One run of experiments. Models' answers, embeddings and sub-vectors lie in ``work``; a second run computes what is missing.

    Attributes:
        preset: At which size.
        seed: Of all that is drawn.
        work: The folder.
        setting: On whose texts, and who reads them; only some experiments (`xpert.evaluation.suite.Experiment`) know another than
            the usual one.
        workers: Processes at most that work on independent cells (`xpert.evaluation.suite.workers`).
        processes: How many have, of one thread each; 0: none but this one.
        experiment: The name of the one that runs, for bars.
    """

    preset: Preset
    seed: int
    work: Path
    setting: Setting = USUAL
    workers: int = 1
    processes: int = field(default=0, init=False)
    experiment: str = field(default="", init=False)
    _summarizers: dict[str, Summarizer] = field(default_factory=dict[str, Summarizer], repr=False)

    def __enter__(self) -> Context:
        self.work.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def release(self) -> None:
        """Close the summarizers that are loaded; who asks for one again gets it loaded again."""
        while self._summarizers:
            self._summarizers.popitem()[1].close()

    @property
    def summarizer(self) -> Summarizer:
        """The setting's summarizer, loaded at first use; gone when the context is left."""
        return self.loaded(self.setting.summarizer)

    def loaded(self, summarizer: str) -> Summarizer:
        """A summarizer by name, loaded once; some read nothing twice until the context is left (`xpert.evaluation.suite.once`)."""
        if summarizer not in self._summarizers:
            self._summarizers[summarizer] = read_once(summarizer)
        return self._summarizers[summarizer]

    @cached_property
    def source(self) -> Source:
        """The setting's texts; the zoo's models answer at the preset's size."""
        if self.setting.data != ZOO and self.setting.own is None:
            return self.setting.source()
        return self.cast.source(self.work, self.preset.recorded_prompts)

    @cached_property
    def cast(self) -> Cast:
        """Base, models and users: one's own, or the zoo's."""
        return self.setting.own or ZooCast(self.preset.styles)

    @property
    def cache(self) -> Path:
        """Folder of answers, rows and sub-vectors of models."""
        return self.work / "cache"

    @property
    def models(self) -> dict[str, str]:
        """Name to reference of the models."""
        return dict(self.cast.models)

    @cached_property
    def own_prompts(self) -> Sequence[str]:
        """Fifty of the questions that the zoo's base comes with, or of one's own."""
        told = self.cast.prompts(50, self.seed)
        if told is not None:
            return told
        with load_modality(modality_of(self.cast.base)).open(self.cast.base) as prober:
            return choose_prompts(prober, [], None, n_prompts=50, seed=self.seed)

    @cached_property
    def domains(self) -> Mapping[str, ProbedPool]:
        """Four models at most, that the seed draws, by the prompts of each shipped domain."""
        n = min(_N_DOMAIN_MODELS, len(self.models))
        models = {name: self.models[name] for name in random.Random(self.seed).sample(list(self.models), n)}
        return {
            domain: probed_pool(
                self.cast.base,
                models,
                self.summarizer,
                shipped_prompts(domain, n, self.seed),
                seed=self.seed,
                generation=self.cast.generation,
                cache=self.cache,
            )
            for domain, n in zip(("general", "law", "science"), self.preset.domain_prompts, strict=True)
        }

    @cached_property
    def pool(self) -> ProbedPool:
        """All models by the base's own prompts, with candidate words and their sub-vectors."""
        probed = probed_pool(
            self.cast.base,
            self.models,
            self.summarizer,
            self.own_prompts,
            n_candidates=N_CANDIDATES,
            seed=self.seed,
            generation=self.cast.generation,
            cache=self.cache,
        )
        return with_words(probed, self.summarizer, self.subvectors, seed=self.seed, cache=self.cache)

    @cached_property
    def whole_catalog(self) -> Catalog:
        """All shipped models of the zoo in words, whatever the preset's styles: a user may write in any. Probed once a work folder."""
        explainer = Explainer(self.cast.base, self.summarizer, n_prompts=50, seed=self.seed, cache=self.cache)
        return explainer.explain({name: f"zoo:{name}" for name in adapter_names()})

    @property
    def subvectors(self) -> SubvectorSource | None:
        """Of the setting's summarizer (`subvectors_of`)."""
        return self.subvectors_of(self.summarizer)

    def subvectors_of(self, summarizer: Summarizer) -> SubvectorSource | None:
        """Sub-vectors from as many texts a word as the preset has; None, its own way, for a summarizer that writes none."""
        contrastive = summarizer.defaults.subvectors == "contrastive"
        return ContrastiveSubvectors(n_prompts=self.preset.styled_texts) if contrastive else None

    def weights(self, models: Collection[str] | None = None) -> dict[str, str]:
        """Who computed, of an experiment on the cast: base, models (None: all of the cast's), and the setting's summarizer."""
        own = self.models.values() if models is None else models
        return weights_of(base=self.cast.base, models=own, summarizers=[self.setting.summarizer])

    def users(self, similarity: float = 1.0, n_texts: int = _N_TEXTS) -> list[DemoUser]:
        """One of each style, with texts that no model saw; those that are not in the style are unstyled."""
        return self.cast.users(self.seed, n_texts, similarity, self.said_by_base)

    def said_by_base(
        self, users: Sequence[DemoUser], base: str | None = None, generation: Generation | None = None
    ) -> dict[str, str]:
        """A base's answers to the prompts of users who are nobody, the corpus' or one's own texts': kept in a file.

        New ones are written by one process at a time: before workers begin, all that they will ask for must have been.

        Args:
            users: Whose prompts.
            base: Which; None: the cast's.
            generation: How it answers, by the run's seed; None: as the cast's.
        """
        base, how = base or self.cast.base, replace(generation or self.cast.generation, seed=self.seed)
        sampled = replace(how, seed=0) != Generation()
        mark = f"-t{how.temperature}-p{how.top_p}-{how.max_new_tokens}-{how.seed}" if sampled else ""
        file = self.work / f"base-answers-{describe(base).sha256[:8]}{mark}.json"
        kept: dict[str, str] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
        asked = [example for user in users for example in user.examples if str(example.prompt) not in kept]
        if asked:
            asking = DemoUser(name="all", style="", examples=tuple({str(e.prompt): e for e in asked}.values()))
            kept |= base_answers(base, [asking], seed=self.seed, generation=how)
            write_text(file, json.dumps(kept, indent=0) + "\n")
        return kept


def selectors_of(catalog: Catalog, summarizer: Summarizer) -> dict[AxesName, Selector]:
    """A selector for each choice of axes."""
    return {axes: Selector(catalog, summarizer, axes=axes) for axes in AXES}
