"""Explainer: many personalized models of one base -> a Catalog (on the server)."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import KW_ONLY, dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from xpert.assembly import assemble
from xpert.axes import anchored, embedded, word_axes
from xpert.basis import SubvectorBasis, check_thresholds
from xpert.cache import Cache, open_cache
from xpert.catalog import Catalog
from xpert.catalog_pairs import PairRows
from xpert.decompose import CandidateOrder, CoefficientRule
from xpert.embedding import embed_pairs, joined, null_embedding, open_summarizer
from xpert.errors import SettingsError
from xpert.growing import (
    check_base,
    check_options,
    check_settings,
    check_source,
    check_summarizer,
    grown_names,
    options_of,
    rows_of,
    weight_of,
)
from xpert.modalities import load_modality, modality_of, settings_of
from xpert.probing import (
    Probes,
    ProbeTask,
    base_fingerprint,
    check_names,
    choose_prompts,
    model_answers,
    prompts_digest,
    run_probes,
)
from xpert.protocols import Modality, Prober, SubvectorContext, SubvectorSource, Summarizer
from xpert.provenance import Provenance
from xpert.registry import SUBVECTORS
from xpert.remember import CachedSummaries, fingerprint_of, remembered_source
from xpert.summarizers.aspects import InstructionLike, find_instruction
from xpert.types import N_SAID, Array, Example, Generation, ModelCard

__all__ = ["Explainer"]


@dataclass(frozen=True, slots=True)
class Explainer:
    """Explains models in words with numbers; the object is the configuration, `explain` does the work.

    Attributes:
        base: Reference of the base model.
        summarizer: A summarizer's name, or an object (which stays the caller's to close).
        prompts: What is asked. None: a seeded sample of the prompts that base and models share (recorded models, or a base that
            ships its prompts), else of the shipped general set.
        n_prompts: How many, where ``prompts`` is None.
        seed: Of prompts, answers and styled texts; two runs with one seed give the same catalog.
        eps_orth: Largest ``|cos|`` between two word axes, but those a source begins with (`anchors`). None: the summarizer's own.
        eps_dec: Residual, as a fraction of the norm, at which a model's decomposition stops. None: the summarizer's own.
        centering: ``null`` subtracts the null embedding (two answers of the base itself), ``none`` is the paper as written.
            None: the summarizer's own.
        subvectors: Name of a sub-vector source, or an object. None: the summarizer's own.
        coefficients: ``least-squares``, or the paper's ``projection`` (Eq. 2).
        candidate_order: ``given`` by the summarizer, or re-ranked by the ``residual``.
        measured_weight: Weight of the measured quantities beside the summarizer (see `xpert.embedding.measured_scale`); 0
            leaves them out of the space. Which words a summarizer says is its own: words by example depend on length all the same.
        unnamed: Whether directions that no word covers become axes.
        max_unnamed: How many at most.
        max_candidates: Candidate words examined a model. None: the summarizer's own.
        generation: How models answer. None: greedy, 128 new tokens.
        device: Where base and summarizer compute. None: they choose.
        dtype: Their number type. None: they choose.
        modality: A registered modality's name (``text``, ``diffusion``), or an object, which may have options. None: told from the
            base's reference.
        cache: A folder in which answers, embeddings and sub-vectors of the models are kept (`xpert.cache`), so that an interrupted
            run goes on where it was and a repeated one computes nothing; ``"default"`` is the user's cache folder. None: nothing
            stays on disk. Answers of recorded models are never stored.
        instruction: The aspect that is explained: a shipped instruction's name (``domain``, ``tone`` ...), a JSON file, or an
            `Instruction`. None: the wording that the summarizer was trained on, else ``language-style``.

    Source: Wang et al. 2025 (arXiv 2504.13938), sections 3.1 and 4. Ours: null-centering, least squares, measured and unnamed
        axes, each with its switch.
    """

    base: str
    summarizer: str | Summarizer
    _: KW_ONLY
    prompts: Sequence[str] | None = None
    n_prompts: int = 50
    seed: int = 0
    eps_orth: float | None = None
    eps_dec: float | None = None
    centering: Literal["null", "none"] | None = None
    subvectors: str | SubvectorSource | None = None
    coefficients: CoefficientRule = "least-squares"
    candidate_order: CandidateOrder = "given"
    measured_weight: float = 0.5
    unnamed: bool = True
    max_unnamed: int = 32
    max_candidates: int | None = None
    generation: Generation | None = None
    device: str | None = None
    dtype: str | None = None
    modality: str | Modality | None = None
    cache: str | Path | None = None
    instruction: InstructionLike | None = None

    def __post_init__(self) -> None:
        """Check options before anything is loaded.

        Raises:
            xpert.errors.SettingsError: One is out of range.
            xpert.errors.ReferenceNotFoundError: No such instruction.
        """
        check_thresholds(1.0 if self.eps_orth is None else self.eps_orth, 1.0 if self.eps_dec is None else self.eps_dec)
        if self.centering not in (None, "null", "none"):
            raise SettingsError(f"centering: expected 'null' or 'none', got {self.centering!r}")
        if self.candidate_order not in ("given", "residual"):
            raise SettingsError(f"candidate_order: expected 'given' or 'residual', got {self.candidate_order!r}")
        if not 0 <= self.measured_weight < float("inf"):
            raise SettingsError(f"measured_weight: expected a number from 0, got {self.measured_weight!r}")
        for name, value in (("n_prompts", self.n_prompts), ("max_candidates", self.max_candidates)):
            if value is not None and value < 1:
                raise SettingsError(f"{name}: expected 1 or more, got {value}")
        if self.max_unnamed < 0:
            raise SettingsError(f"max_unnamed: expected 0 or more, got {self.max_unnamed}")
        if self.instruction is not None:
            find_instruction(self.instruction)
            if not isinstance(self.summarizer, str):
                raise SettingsError("instruction was given beside a summarizer object: set it on the object")

    @classmethod
    def for_catalog(cls, catalog: Catalog, **options: Any) -> Explainer:
        """The explainer that a catalog's header describes, to extend it.

        ``unnamed``, ``max_unnamed`` and ``max_candidates`` are not in a header: they are as given, else as usual.

        Args:
            catalog: Read from the server's folder.
            options: What the header does not say (``cache``, ``device``, an object for ``summarizer``), or says otherwise than
                is right here (the folder that ``base`` is in now).

        Raises:
            xpert.errors.CatalogError: The catalog has no pair rows.
            xpert.errors.SettingsError: An option that there is not.
        """
        if unknown := sorted(set(options) - {field.name for field in fields(cls)}):
            raise SettingsError(f"Explainer has no option {unknown[0]!r}")
        return cls(**options_of(catalog) | options)

    def explain(self, models: Mapping[str, str]) -> Catalog:
        """Probe, summarize, embed, decompose: a catalog of the models, in their order.

        The answers of one group of models, and one model's rows, are in memory at a time. With a cache, what was finished before an interruption is not
        computed again.

        Args:
            models: Name to reference.

        Raises:
            xpert.errors.SettingsError: No models, or a name that cannot be one.
            xpert.errors.DataError: Fewer shared prompts than needed, or recorded answers that cannot be read.
            xpert.errors.ReferenceNotFoundError: A model, summarizer or source that does not exist.
            xpert.errors.IncompatibleModelError: A model of another base.
            xpert.errors.WeightsError: Weights or results that are not finite.
        """
        check_names(list(models))
        with self._chosen() as choices:
            with self._opened(choices) as prober:
                prompts = choose_prompts(
                    prober, list(models.values()), self.prompts, n_prompts=self.n_prompts, seed=self.seed
                )
                cards = [prober.card(name, reference) for name, reference in models.items()]
                centred = choices.centering == "null"
                settings = settings_of(prober)
                probes = run_probes(prober, self._task(prompts, choices), choices.cache, second=centred)
                summaries = CachedSummaries(choices.summarizer, choices.cache)
                null = null_embedding(summaries, probes.null())
                pairs = self._rows(len(models), len(prompts), base_fingerprint(prober), choices)
                names = list(models)
                candidates = self._embed(prober, models, probes, choices, names=names, null=null, pairs=pairs)
            beside = embed_pairs(summaries, probes.opposites(self.seed), null=null, measured=choices.measured)
            cards = [replace(card, candidates=said[:N_SAID]) for card, said in zip(cards, candidates, strict=True)]
            placed = embedded(pairs, null, weight=self.measured_weight)
            start = SubvectorBasis.empty(placed.null, self.coefficients)
            words, n_examined = self._words(placed.means, candidates, start, probes, choices, null=null)
            header = self._header(probes, choices, settings, n_examined)
        answers = [Example(prompt=p, response=a) for p, a in zip(prompts, probes.base, strict=True)]
        return assemble(
            header,
            cards,
            words,
            placed,
            answers,
            reference=joined(beside, 1.0),
            unnamed=self.unnamed,
            max_unnamed=self.max_unnamed,
        )

    def extend(self, catalog: Catalog, models: Mapping[str, str] | None = None, remove: Sequence[str] = ()) -> Catalog:
        """A catalog with further models, or others of the same name, or fewer; the rest is neither probed nor embedded again.

        Prompts, base answers, null and word axes are the catalog's; words that new models need are added by Algorithm 1. Scale,
        unnamed axes, coordinates, errors, fits and thresholds are computed again for all, from the stored rows: after adding,
        all is as if every model had been explained at once in this order (``n_candidates_examined`` counts a word once a run).
        Words that only a removed or replaced model needed stay.

        Args:
            catalog: Read from the server's folder, or just made; it stays as it is.
            models: Name to reference: new names go to the end, known ones keep their place.
            remove: Names of models that go.

        Raises:
            xpert.errors.SettingsError: An option of this explainer is not the catalog's (`for_catalog` has them), nothing is to be
                done, or no model would be left.
            xpert.errors.CatalogError: The catalog has no pair rows.
            xpert.errors.ReferenceNotFoundError: A name to remove, or a reference, that does not exist.
            xpert.errors.IncompatibleModelError: Another base, or a model of another base.
            xpert.errors.SummarizerError: Another summarizer.
        """
        models = dict(models or {})
        names = grown_names(catalog, models, remove)
        check_options(catalog, {field.name: getattr(self, field.name) for field in fields(self) if field.name != "_"})
        old, weight = rows_of(catalog), weight_of(catalog)
        pairs = PairRows.empty((len(names), *old.shape[1:]), old.made_by)
        for place, name in enumerate(names):
            if name not in models:
                pairs.put(place, old[catalog.names.index(name)])
        cards = {card.name: card for card in catalog.models}
        words, n_examined = catalog.basis.subset(["word"]), catalog.provenance.n_candidates_examined
        if models:
            added, words, n_new = self._added(catalog, models, names, pairs, weight)
            cards, n_examined = cards | added, n_examined + n_new
        return assemble(
            replace(catalog.provenance, n_candidates_examined=n_examined),
            [cards[name] for name in names],
            words,
            embedded(pairs, catalog.basis.null[: catalog.provenance.width], weight=weight),
            catalog.base_answers,
            reference=catalog.reference,
            unnamed=self.unnamed,
            max_unnamed=self.max_unnamed,
        )

    def _added(
        self, catalog: Catalog, models: Mapping[str, str], names: Sequence[str], pairs: PairRows, weight: float
    ) -> tuple[dict[str, ModelCard], SubvectorBasis, int]:
        """Put the new models' rows in their places; their cards, the catalog's words and theirs, and how many were examined."""
        made, answers = catalog.provenance, catalog.base_answers
        null = catalog.basis.null[: made.width]
        probes = Probes(
            prompts=tuple(str(answer.prompt) for answer in answers),
            base=tuple(answer.response for answer in answers),
            second=None,
            null_pairs=made.null_pairs,
        )
        with self._chosen(catalog) as choices:
            with self._opened(choices) as prober:
                check_settings(catalog, settings_of(prober))
                check_base(catalog, prober, self.base, base_fingerprint(prober))
                cards = {
                    name: replace(prober.card(name, reference), base=made.base) for name, reference in models.items()
                }
                candidates = self._embed(prober, models, probes, choices, names=names, null=null, pairs=pairs)
            said = dict(zip(models, candidates, strict=True))
            cards = {name: replace(card, candidates=said[name][:N_SAID]) for name, card in cards.items()}
            means = embedded(pairs, null, weight=weight).means[[names.index(name) for name in models]]
            start = catalog.basis.subset(["word"])
            words, n_examined = self._words(means, candidates, start, probes, choices, null=null)
        return cards, words, n_examined

    @contextmanager
    def _chosen(self, catalog: Catalog | None = None) -> Generator[_Choices, None, None]:
        """The open summarizer, and what was left open, as it or the catalog would have it."""
        asked = self.instruction if catalog is None else self.instruction or catalog.provenance.wording
        with open_summarizer(self.summarizer, device=self.device, dtype=self.dtype, instruction=asked) as summarizer:
            said = fingerprint_of(summarizer)
            if catalog is not None:
                check_summarizer(catalog, summarizer.name, summarizer.instruction, summarizer.width, said)
            choices = self._choices(summarizer, None if catalog is None else catalog.provenance)
            if catalog is not None:
                check_source(catalog, fingerprint_of(choices.source))
            yield choices

    def _choices(self, summarizer: Summarizer, made: Provenance | None) -> _Choices:
        own, source, cache = summarizer.defaults, self.subvectors, open_cache(self.cache)
        if source is None or isinstance(source, str):
            source = SUBVECTORS.make(source or (own.subvectors if made is None else made.subvectors))
        modality = self._modality(made)
        measured = getattr(modality, "measured", ()) if self.measured_weight > 0 else ()
        default = own if made is None else made
        return _Choices(
            summarizer=summarizer,
            eps_orth=default.eps_orth if self.eps_orth is None else self.eps_orth,
            eps_dec=default.eps_dec if self.eps_dec is None else self.eps_dec,
            centering=self.centering or default.centering,
            max_candidates=self.max_candidates or own.max_candidates,
            source=source,
            modality=modality,
            measured=measured if made is None else made.measured,
            generation=self.generation or (Generation(seed=self.seed) if made is None else made.generation),
            cache=cache,
        )

    def _modality(self, made: Provenance | None) -> Modality:
        """The modality asked for, else the catalog's, else the base's; by name with the catalog's settings."""
        if made is not None and (self.modality is None or isinstance(self.modality, str)):
            return load_modality(self.modality or made.modality, made.settings)
        return load_modality(self.modality or modality_of(self.base))

    def _opened(self, choices: _Choices) -> AbstractContextManager[Prober]:
        return choices.modality.open(self.base, device=self.device, dtype=self.dtype)

    def _task(self, prompts: Sequence[str], choices: _Choices) -> ProbeTask:
        """The base's own task; a model's differs in its reference."""
        return ProbeTask(
            base=self.base,
            prompts=tuple(prompts),
            generation=choices.generation,
            modality=choices.modality,
            device=self.device,
            dtype=self.dtype,
        )

    def _rows(self, n_models: int, n_pairs: int, base_says: str | None, choices: _Choices) -> PairRows:
        says = {
            "base": base_says,
            "summarizer": fingerprint_of(choices.summarizer),
            "subvectors": fingerprint_of(choices.source),
        }
        width = choices.summarizer.width + len(choices.measured)
        return PairRows.empty((n_models, n_pairs, width), {what: said for what, said in says.items() if said})

    def _embed(
        self,
        prober: Prober,
        models: Mapping[str, str],
        probes: Probes,
        choices: _Choices,
        *,
        names: Sequence[str],
        null: Array,
        pairs: PairRows,
    ) -> list[tuple[str, ...]]:
        """Put every model's rows in its name's place among ``names``; its candidate words, in the order of ``models``."""
        summaries, task = CachedSummaries(choices.summarizer, choices.cache), self._task(probes.prompts, choices)
        candidates: dict[str, tuple[str, ...]] = {}
        for name, answers in model_answers(prober, task, models, choices.cache):
            found = embed_pairs(
                summaries,
                probes.pairs(answers.texts),
                null=null,
                measured=choices.measured,
                n_candidates=choices.max_candidates,
            )
            pairs.put(names.index(name), np.concatenate([found.hidden, found.measured], axis=1))
            candidates[name] = tuple(candidate.word for candidate in found.candidates)
        return [candidates[name] for name in models]

    def _words(
        self,
        embeddings: Array,
        candidates: Sequence[Sequence[str]],
        start: SubvectorBasis,
        probes: Probes,
        choices: _Choices,
        *,
        null: Array,
    ) -> tuple[SubvectorBasis, int]:
        """The word axes that the embeddings need beside those of ``start``; and how many words were examined."""
        context = SubvectorContext(
            summarizer=choices.summarizer,
            prompts=probes.prompts,
            base_answers=probes.base,
            null=null,
            seed=self.seed,
        )
        source = remembered_source(choices.source, choices.summarizer, choices.cache)
        anchors = getattr(choices.source, "anchors", None)
        if anchors is not None and not len(start):
            start = anchored(start, anchors(context), source, context)
        words, found = word_axes(
            embeddings,
            candidates,
            start,
            source,
            context,
            eps_orth=choices.eps_orth,
            eps_dec=choices.eps_dec,
            order=self.candidate_order,
        )
        return words, found.n_examined

    def _header(self, probes: Probes, choices: _Choices, settings: Mapping[str, Any], n_examined: int) -> Provenance:
        return Provenance(
            base=self.base,
            modality=choices.modality.name,
            settings=settings,
            summarizer=choices.summarizer.name,
            instruction=choices.summarizer.instruction,
            width=choices.summarizer.width,
            measured=tuple(choices.measured),
            measured_scale=0.0,
            n_prompts=len(probes.prompts),
            prompts_sha256=prompts_digest(probes.prompts),
            seed=self.seed,
            generation=choices.generation,
            eps_orth=choices.eps_orth,
            eps_dec=choices.eps_dec,
            centering=choices.centering,
            null_pairs=probes.null_pairs,
            subvectors=choices.source.name,
            coefficients=self.coefficients,
            candidate_order=self.candidate_order,
            n_candidates_examined=n_examined,
            fits={},
            match_thresholds={},
            wording=getattr(choices.summarizer, "wording", None),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Choices:
    """The options that depend on the summarizer, decided."""

    summarizer: Summarizer
    eps_orth: float
    eps_dec: float
    centering: str
    max_candidates: int
    source: SubvectorSource
    modality: Modality
    measured: Sequence[str]
    generation: Generation
    cache: Cache | None
