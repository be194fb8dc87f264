"""Explainer: many personalized models of one base -> a Catalog (on the server)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Literal

import numpy as np

from xpert import __version__
from xpert.axes import Embedded, embedded, fit, thresholds, with_measured_axes, with_unnamed_axes, word_axes
from xpert.basis import SubvectorBasis, check_thresholds
from xpert.catalog import Catalog
from xpert.decompose import CandidateOrder, CoefficientRule
from xpert.embedding import embed_pairs, open_summarizer, standard_error
from xpert.errors import SettingsError
from xpert.measured import MEASURED
from xpert.probing import Probes, check_names, choose_prompts, prompts_digest, run_probes
from xpert.progress import track
from xpert.protocols import Modality, SubvectorContext, SubvectorSource, Summarizer
from xpert.provenance import Provenance
from xpert.registry import MODALITIES, SUBVECTORS
from xpert.summarizers.aspects import InstructionLike, find_instruction
from xpert.types import Example, Generation

__all__ = ["Explainer"]

_PACKAGES = ("numpy", "torch", "transformers", "peft", "sentence-transformers")


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
        eps_orth: Largest ``|cos|`` between two word axes. None: the summarizer's own default.
        eps_dec: Residual, as a fraction of the norm, at which a model's decomposition stops. None: the summarizer's own.
        centering: ``null`` subtracts the null embedding (two answers of the base itself), ``none`` is the paper as written.
            None: the summarizer's own.
        subvectors: Name of a sub-vector source, or an object. None: the summarizer's own.
        coefficients: ``least-squares``, or the paper's ``projection`` (Eq. 2).
        candidate_order: ``given`` by the summarizer, or re-ranked by the ``residual``.
        measured_weight: Weight of the measured quantities beside the summarizer (see `xpert.embedding.measured_scale`); 0
            leaves them out.
        unnamed: Whether directions that no word covers become axes.
        max_unnamed: How many at most.
        max_candidates: Candidate words examined a model. None: the summarizer's own.
        generation: How models answer. None: greedy, 128 new tokens.
        device: Where base and summarizer compute. None: they choose.
        dtype: Their number type. None: they choose.
        modality: ``text``, another registered modality's name, or an object.
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
    modality: str | Modality = "text"
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

    def explain(self, models: Mapping[str, str]) -> Catalog:
        """Probe, summarize, embed, decompose: a catalog of the models, in their order.

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
        with open_summarizer(
            self.summarizer, device=self.device, dtype=self.dtype, instruction=self.instruction
        ) as summarizer:
            choices = self._choices(summarizer)
            probes = self._probe(models, choices)
            embedded = self._embed(probes, choices)
            basis, n_examined = self._find_axes(probes, embedded, choices)
            return self._catalog(probes, embedded, basis, n_examined, choices)

    def _choices(self, summarizer: Summarizer) -> _Choices:
        """What was left open, as the summarizer would have it."""
        own, source = summarizer.defaults, self.subvectors
        if source is None or isinstance(source, str):
            source = SUBVECTORS.get(source or own.subvectors)()
        modality = MODALITIES.get(self.modality)() if isinstance(self.modality, str) else self.modality
        return _Choices(
            summarizer=summarizer,
            eps_orth=own.eps_orth if self.eps_orth is None else self.eps_orth,
            eps_dec=own.eps_dec if self.eps_dec is None else self.eps_dec,
            centering=self.centering or own.centering,
            max_candidates=self.max_candidates or own.max_candidates,
            source=source,
            modality=modality,
            measured=MEASURED if self.measured_weight > 0 and modality.name == "text" else (),
            generation=self.generation or Generation(seed=self.seed),
        )

    def _probe(self, models: Mapping[str, str], choices: _Choices) -> Probes:
        with choices.modality.open(self.base, device=self.device, dtype=self.dtype) as prober:
            prompts = choose_prompts(
                prober, list(models.values()), self.prompts, n_prompts=self.n_prompts, seed=self.seed
            )
            return run_probes(prober, models, prompts, choices.generation, second=choices.centering == "null")

    def _embed(self, probes: Probes, choices: _Choices) -> Embedded:
        summarizer, base_pairs = choices.summarizer, probes.null()
        null = np.zeros(summarizer.width, np.float32)
        if base_pairs is not None:
            null = embed_pairs(summarizer, base_pairs).hidden.mean(axis=0, dtype=np.float64).astype(np.float32)
        pairs = [
            embed_pairs(
                summarizer,
                probes.pairs(name),
                null=null,
                measured=choices.measured,
                n_candidates=choices.max_candidates,
            )
            for name in track(list(probes.models), "Summarizing")
        ]
        return embedded(pairs, null, weight=self.measured_weight)

    def _find_axes(self, probes: Probes, models: Embedded, choices: _Choices) -> tuple[SubvectorBasis, int]:
        """Words by Algorithm 1, then measured quantities, then unnamed directions; and how many words were examined."""
        context = SubvectorContext(
            summarizer=choices.summarizer,
            prompts=probes.prompts,
            base_answers=probes.base,
            null=models.null[: models.width],
            seed=self.seed,
        )
        basis, found = word_axes(
            models,
            SubvectorBasis.empty(models.null, self.coefficients),
            choices.source,
            context,
            eps_orth=choices.eps_orth,
            eps_dec=choices.eps_dec,
            order=self.candidate_order,
        )
        basis = with_measured_axes(basis, models, choices.measured)
        if self.unnamed:
            basis = with_unnamed_axes(basis, models, most=self.max_unnamed)
        return basis, found.n_examined

    def _catalog(
        self,
        probes: Probes,
        models: Embedded,
        basis: SubvectorBasis,
        n_examined: int,
        choices: _Choices,
    ) -> Catalog:
        coordinates = basis.project(models.means)
        fits = [fit(basis, mean, width=models.width, eps_dec=choices.eps_dec) for mean in models.means]
        provenance = Provenance(
            base=self.base,
            modality=choices.modality.name,
            summarizer=choices.summarizer.name,
            instruction=choices.summarizer.instruction,
            width=models.width,
            measured=tuple(choices.measured),
            measured_scale=models.scale,
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
            fits=dict(zip(probes.models, fits, strict=True)),
            match_thresholds=thresholds(basis, coordinates, models.rows),
            versions=_versions(),
            wording=getattr(choices.summarizer, "wording", None),
        )
        answers = zip(probes.prompts, probes.base, strict=True)
        return Catalog(
            basis=basis,
            models=probes.cards,
            coordinates=coordinates,
            stderr=np.stack([standard_error(basis.project(rows)) for rows in models.rows]),
            provenance=provenance,
            base_answers=tuple(Example(prompt=prompt, response=answer) for prompt, answer in answers),
            embeddings=models.means,
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


def _versions() -> dict[str, str]:
    found = {"xpert": __version__}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
