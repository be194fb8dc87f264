"""Selector: personal data + a Catalog -> the nearest model (on the device)."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass

import numpy as np

from xpert.catalog import Catalog
from xpert.confidence import nearest_shares
from xpert.constraints import Constraints
from xpert.embedding import embed_pairs, joined, open_summarizer, standard_error
from xpert.errors import DataError, SettingsError, SummarizerError
from xpert.evidence import nearer_by, spoken, strongest, uncovered
from xpert.matching import distance_limit, outside, reliability
from xpert.mergers.weights import best_weights
from xpert.pool import PackedRows, nearest_rows
from xpert.protocols import Summarizer
from xpert.space import METRICS, AxesName, Metric, distances, kinds_of, places, restrict
from xpert.telling import by_axis, told
from xpert.types import N_SAID, AnswerPair, Array, Coordinates, Example, Selection

__all__ = ["Selector"]

_N_POOL = 100
"""So many models of a pool are ranked."""
_N_NEAR = 50
"""Among so many nearest models a sum is looked for, when words are missing."""


@dataclass(frozen=True, slots=True)
class Selector:
    """Chooses the model whose style is nearest to a user's own text; the object is the configuration.

    Attributes:
        catalog: The explained models.
        summarizer: A summarizer's name, or an object (trusted to be the catalog's; the caller's to close). None: the one that
            the catalog names.
        axes: Which axes are compared: ``all``, ``named`` (words alone) or ``named+measured``.
        metric: ``direction`` (default: the style apart from its strength), ``embedding``, or ``coordinates`` (the paper's rule).
        threshold: Distance up to which a user counts as matching. None: by directions, the distance that the catalog's least
            likeness is for this user (`xpert.matching`); else, and for older catalogs, the catalog's, for this metric and these axes.
        device: Where the summarizer computes. None: it chooses.
        dtype: Its number type. None: it chooses.
        constraints: Which models may be chosen at all. None: every one.
        top: How many models are ranked. None: all; of a pool (`Catalog.save_pretrained`) the 100 nearest.

    Source: Wang et al. 2025 (arXiv 2504.13938), section 3.2; the metric of the embedding space and directions are ours.
    """

    catalog: Catalog
    summarizer: str | Summarizer | None = None
    _: KW_ONLY
    axes: AxesName = "all"
    metric: Metric = "direction"
    threshold: float | None = None
    device: str | None = None
    dtype: str | None = None
    constraints: Constraints | None = None
    top: int | None = None

    def __post_init__(self) -> None:
        """Check options.

        Raises:
            xpert.errors.SettingsError: Metric or axes are unknown, the catalog has no such axis, or ``top`` is below 1.
        """
        if self.metric not in METRICS:
            raise SettingsError(f"metric: expected one of {', '.join(METRICS)}, got {self.metric!r}")
        if self.top is not None and self.top < 1:
            raise SettingsError(f"top: expected 1 or more, got {self.top}")
        if not self.catalog.basis.where(kinds_of(self.axes)):
            raise SettingsError(f"axes={self.axes!r}: the catalog has no such axis; choose other axes")

    def locate(
        self, examples: Sequence[Example], base_answers: Sequence[str] | Sequence[Example] | None = None
    ) -> Coordinates:
        """A user's place in the catalog's space.

        Args:
            examples: The user's own texts.
            base_answers: The base's answers to the same prompts, in order. None: the catalog's stored base answers serve as
                an unpaired reference (the i-th text beside the i-th of a seeded shuffle of them, again from the start when
                they run out).

        Raises:
            xpert.errors.DataError: No examples, or another number of base answers.
            xpert.errors.SummarizerError: The summarizer is not the catalog's.
        """
        return self._located(self._rows(examples, base_answers)[0])

    def _rows(
        self,
        examples: Sequence[Example],
        base_answers: Sequence[str] | Sequence[Example] | None,
        *,
        n_candidates: int = 0,
    ) -> tuple[Array, tuple[str, ...]]:
        """``(P, D)`` embeddings of the user's pairs, and the first words that the summarizer gives for them."""
        pairs = user_pairs(examples, base_answers, self.catalog.base_answers, seed=self.catalog.provenance.seed)
        made = self.catalog.provenance
        basis = self.catalog.basis
        with open_summarizer(
            self.summarizer or made.summarizer, device=self.device, dtype=self.dtype, instruction=made.wording
        ) as summarizer:
            self._check(summarizer)
            embedded = embed_pairs(
                summarizer, pairs, null=basis.null[: made.width], measured=made.measured, n_candidates=n_candidates
            )
        said = tuple(candidate.word for candidate in embedded.candidates)
        return joined(embedded, made.measured_scale), said

    def _located(self, rows: Array) -> Coordinates:
        basis = self.catalog.basis
        return Coordinates(
            values=basis.project(rows.mean(axis=0, dtype=np.float64)),
            stderr=standard_error(basis.project(rows)),
            n_pairs=len(rows),
        )

    def select(
        self, examples: Sequence[Example], base_answers: Sequence[str] | Sequence[Example] | None = None
    ) -> Selection:
        """The nearest model, every model's distance, how sure the choice is, and the user's text in words.

        Arguments and errors as in `locate`.
        """
        rows, said = self._rows(examples, base_answers, n_candidates=N_SAID)
        return self._ranked(self._located(rows), rows, paired=base_answers is not None, said=said)

    def rank(self, place: Coordinates, *, paired: bool = True) -> Selection:
        """The selection for a place that is known already; without the pairs behind it, how sure it is stays open.

        Raises:
            xpert.errors.SettingsError: No model meets the constraints.
        """
        return self._ranked(place, None, paired=paired)

    def _ranked(self, place: Coordinates, rows: Array | None, *, paired: bool, said: Sequence[str] = ()) -> Selection:
        """The selection for a place and, where they are known, the embeddings ``(P, D)`` of the pairs behind it."""
        catalog = self.catalog
        pairs = None if rows is None else catalog.basis.project(rows)
        ranked, far, excluded = self._nearest(place)
        z, distance = catalog.coordinates[ranked], float(far[0])
        compared, values = restrict(catalog.basis, place.values, self.axes)
        words, errors, names = told(compared, values, said), self._errors(place, pairs), compared.words
        shares = self._shares(z, pairs)
        verdict = self._verdict(place, pairs, ranked[0], distance, paired=paired)
        matched = distance <= verdict.threshold
        return Selection(
            best=catalog.models[ranked[0]].name,
            matched=matched,
            ranking=tuple((catalog.models[row].name, float(d)) for row, d in zip(ranked, far, strict=True)),
            words=by_axis(words),
            coordinates=place,
            threshold=verdict.threshold,
            axes=self.axes,
            paired=paired,
            stderr=tuple(errors[names[i]] for i, _, _ in words) if errors else (),
            probabilities=None if shares is None else tuple(shares.tolist()),
            strength=verdict.strength,
            likeness=verdict.likeness,
            least_likeness=verdict.least_likeness,
            reliability=verdict.reliability,
            outside=None if rows is None else outside(catalog.basis, rows),
            reasons=self._nearer(place, ranked[0], None),
            over_next=self._nearer(place, *ranked[:2]) if len(ranked) > 1 else (),
            missing=() if matched else self._missing(place, ranked, said),
            excluded=excluded,
        )

    def _nearest(self, place: Coordinates) -> tuple[list[int], Array, int]:
        """Rows of the models that may be chosen, nearest first, their distances, and how many were left out.

        Of a pool the nearest only; those left out are counted as far as was looked.
        """
        catalog, given = self.catalog, self.constraints
        models, n = catalog.coordinates, self.top or len(catalog)
        if not isinstance(models, PackedRows):
            far = distances(catalog.basis, models, place.values, metric=self.metric, axes=self.axes)
            order: list[int] = np.argsort(far, kind="stable").tolist()
            allowed = [row for row in order if given is None or given.allow(catalog.models[row])]
            self._check_left(len(allowed))
            return allowed[:n], far[allowed[:n]], len(order) - len(allowed)
        n = asked = min(self.top or _N_POOL, len(catalog))
        while True:
            rows, far = nearest_rows(catalog.basis, models, place.values, asked, metric=self.metric, axes=self.axes)
            found: list[int] = rows.tolist()
            kept = [i for i, row in enumerate(found) if given is None or given.allow(catalog.models[row])]
            if len(kept) >= n or asked == len(catalog):
                self._check_left(len(kept))
                return rows[kept[:n]].tolist(), far[kept[:n]], len(rows) - len(kept)
            asked = min(8 * asked, len(catalog))

    def _check_left(self, n: int) -> None:
        if n == 0 and self.constraints is not None:
            raise SettingsError(
                f"constraints: none of the catalog's {len(self.catalog)} models has {self.constraints.told}: allow more"
            )

    def _verdict(self, place: Coordinates, pairs: Array | None, row: int, distance: float, *, paired: bool) -> _Verdict:
        """How far a match may be, and how like and how strong the user is, as far as the catalog and the pairs tell."""
        catalog, made = self.catalog, self.catalog.provenance
        model = made.fits[catalog.models[row].name].reliability.get(self.axes)
        least = made.match_limits.get(f"{self.axes}:{'paired' if paired else 'unpaired'}")
        lengths = self._lengths(place, row)
        strength = lengths[0] / lengths[1] if lengths[1] > 0 else None
        own = None
        if pairs is not None and len(pairs) > 1:
            own = reliability(places(catalog.basis, pairs, self.axes))
        if model is None or own is None:
            return _Verdict(threshold=self._threshold(), strength=strength, reliability=own)
        known = {"strength": None if strength is None else strength * float(np.sqrt(own / model)), "reliability": own}
        if self.metric != "direction":
            return _Verdict(threshold=self._threshold(), **known)
        known["likeness"] = (1 - distance**2 / 2) / float(np.sqrt(own * model))
        if least is None or self.threshold is not None:
            return _Verdict(threshold=self._threshold(), **known)
        return _Verdict(threshold=distance_limit(least, own, model), least_likeness=least, **known)

    def _lengths(self, place: Coordinates, row: int) -> Sequence[float]:
        """Lengths of the user's embedding and of a model's, by the compared axes."""
        both = np.stack([place.values, self.catalog.coordinates[row]])
        return np.linalg.norm(places(self.catalog.basis, both, self.axes), axis=1).tolist()

    def _nearer(self, place: Coordinates, best: int, other: int | None) -> tuple[tuple[str, float], ...]:
        """The axes by which a model is nearer than another, or than the base; length as what the model's is beside the other's."""
        catalog = self.catalog
        than = None if other is None else catalog.coordinates[other]
        change = catalog.coordinates[best] - (0 if than is None else than)
        said = spoken(catalog.basis, change, axes=self.axes)
        parts = nearer_by(
            catalog.basis, place.values, catalog.coordinates[best], than, metric=self.metric, axes=self.axes
        )
        return strongest([(said.get(word, (word, 1))[0], part) for word, part in parts])

    def _missing(self, place: Coordinates, ranked: Sequence[int], said: Sequence[str]) -> tuple[str, ...]:
        """Words that no sum of three of the nearest models has."""
        catalog = self.catalog
        z = catalog.coordinates[list(ranked[:_N_NEAR])]
        found = places(catalog.basis, np.vstack([place.values[None], z]), self.axes)
        weights = best_weights(found[1:], found[0], 3)
        return uncovered(catalog.basis, place, z, weights, said, axes=self.axes)

    def _errors(self, place: Coordinates, pairs: Array | None) -> dict[str, float]:
        """Axis to standard error of its coefficient; empty for a subset of the axes where the pairs are not known."""
        basis = self.catalog.basis
        if len(basis.where(kinds_of(self.axes))) == len(basis):
            return dict(zip(basis.words, place.stderr.tolist(), strict=True))
        if pairs is None:
            return {}
        compared, values = restrict(basis, pairs, self.axes)
        return dict(zip(compared.words, standard_error(values).tolist(), strict=True))

    def _shares(self, models: Array, pairs: Array | None) -> Array | None:
        """Of each model, the share of resamples in which it is the nearest."""
        if pairs is None:
            return None
        catalog, made = self.catalog, self.catalog.provenance
        return nearest_shares(
            catalog.basis,
            models,
            pairs,
            n_probes=made.n_prompts,
            metric=self.metric,
            axes=self.axes,
            seed=made.seed,
        )

    def _threshold(self) -> float:
        if self.threshold is not None:
            return self.threshold
        known, key = self.catalog.provenance.match_thresholds, f"{self.metric}:{self.axes}"
        if key not in known:
            raise SettingsError(
                f"threshold: the catalog has none for {key} (it has {', '.join(known)}): pass threshold="
            )
        return known[key]

    def _check(self, summarizer: Summarizer) -> None:
        """The summarizer must be the catalog's: always as wide, and, where it was given by name, the same model and question."""
        made = self.catalog.provenance
        advice = f"pass summarizer={made.summarizer!r}, with which the catalog was made"
        if summarizer.width != made.width:
            raise SummarizerError(
                f"summarizer {summarizer.name!r} is {summarizer.width} wide, the catalog's ({made.summarizer!r}) {made.width}: {advice}"
            )
        if isinstance(self.summarizer, str):
            check_same_model(summarizer, made.summarizer)
        if not isinstance(self.summarizer, Summarizer) and summarizer.instruction != made.instruction:
            raise SummarizerError(
                f"summarizer {summarizer.name!r} asks another question than the catalog's did: expected {made.instruction!r}, got {summarizer.instruction!r}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Verdict:
    """What `Selection` says of the nearest model."""

    threshold: float
    strength: float | None = None
    likeness: float | None = None
    least_likeness: float | None = None
    reliability: float | None = None


def user_pairs(
    examples: Sequence[Example],
    base_answers: Sequence[str] | Sequence[Example] | None,
    stored: Sequence[Example],
    *,
    seed: int,
) -> list[AnswerPair]:
    """A user's texts, each beside an answer of the base.

    Paired where the base answered the same prompts; else the stored base answers serve in turn, in a seeded order, and the
    pair has no prompt.

    Raises:
        xpert.errors.DataError: No examples, another number of base answers, or no stored ones.
    """
    if not examples:
        raise DataError("examples: expected at least one, got none")
    if base_answers is not None:
        if len(base_answers) != len(examples):
            raise DataError(
                f"base answers: expected {len(examples)}, one an example in their order, got {len(base_answers)}"
            )
        return [
            AnswerPair(
                prompt=example.prompt or "",
                base=answer if isinstance(answer, str) else answer.response,
                other=example.response,
            )
            for example, answer in zip(examples, base_answers, strict=True)
        ]
    if not stored:
        raise DataError("base answers: the catalog stores none: pass the base's answers to the same prompts")
    order = random.Random(seed).sample(range(len(stored)), len(stored))
    references = [stored[order[i % len(order)]].response for i in range(len(examples))]
    return [
        AnswerPair(prompt="", base=reference, other=example.response)
        for reference, example in zip(references, examples, strict=True)
    ]


def check_same_model(summarizer: Summarizer, name: str) -> None:
    """Refuse a summarizer that is another model than the one named, however they are run; an int8 copy is none other.

    Raises:
        xpert.errors.SummarizerError: It is.
    """
    known = {_target(summarizer.name), _target(getattr(summarizer, "stands_for", summarizer.name))}
    if _target(name) not in known:
        raise SummarizerError(
            f"summarizer {summarizer.name!r} is not the catalog's: pass summarizer={name!r}, with which the catalog was made"
        )


def _target(name: str) -> str:
    """What a summarizer's name names, however it is run: ``hf:org/x`` and ``streamed:org/x`` are the same model."""
    target = name.partition(":")[2].removeprefix("zoo:")
    return target or name
