"""Selector: personal data + a Catalog -> the nearest model (on the device)."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass

import numpy as np

from xpert.catalog import Catalog
from xpert.embedding import embed_pairs, joined, open_summarizer, standard_error
from xpert.errors import DataError, SettingsError, SummarizerError
from xpert.protocols import Summarizer
from xpert.space import METRICS, AxesName, Metric, distances, kinds_of, restrict
from xpert.types import AnswerPair, Coordinates, Example, Selection

__all__ = ["Selector"]


@dataclass(frozen=True, slots=True)
class Selector:
    """Chooses the model whose style is nearest to a user's own text; the object is the configuration.

    Attributes:
        catalog: The explained models.
        summarizer: A summarizer's name, or an object (trusted to be the catalog's; the caller's to close). None: the one that
            the catalog names.
        axes: Which axes are compared: ``all``, ``named`` (words alone) or ``named+measured``.
        metric: ``direction`` (default: the style apart from its strength), ``embedding``, or ``coordinates`` (the paper's rule).
        threshold: Distance up to which a user counts as matching. None: the catalog's, for this metric and these axes.
        device: Where the summarizer computes. None: it chooses.
        dtype: Its number type. None: it chooses.

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

    def __post_init__(self) -> None:
        """Check options.

        Raises:
            xpert.errors.SettingsError: Metric or axes are unknown, or the catalog has no such axis.
        """
        if self.metric not in METRICS:
            raise SettingsError(f"metric: expected one of {', '.join(METRICS)}, got {self.metric!r}")
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
        pairs = user_pairs(examples, base_answers, self.catalog.base_answers, seed=self.catalog.provenance.seed)
        made = self.catalog.provenance
        basis = self.catalog.basis
        with open_summarizer(
            self.summarizer or made.summarizer, device=self.device, dtype=self.dtype, instruction=made.wording
        ) as summarizer:
            self._check(summarizer)
            embedded = embed_pairs(summarizer, pairs, null=basis.null[: made.width], measured=made.measured)
        rows = joined(embedded, made.measured_scale)
        return Coordinates(
            values=basis.project(rows.mean(axis=0, dtype=np.float64)),
            stderr=standard_error(basis.project(rows)),
            n_pairs=len(pairs),
        )

    def select(
        self, examples: Sequence[Example], base_answers: Sequence[str] | Sequence[Example] | None = None
    ) -> Selection:
        """The nearest model, every model's distance, and the user's text in words. Arguments and errors as in `locate`."""
        place = self.locate(examples, base_answers)
        return self.rank(place, paired=base_answers is not None)

    def rank(self, place: Coordinates, *, paired: bool = True) -> Selection:
        """The selection for a place that is known already."""
        catalog = self.catalog
        far = distances(catalog.basis, catalog.coordinates, place.values, metric=self.metric, axes=self.axes)
        order = np.argsort(far, kind="stable")
        ranking = tuple((catalog.names[int(i)], float(far[int(i)])) for i in order)
        threshold = self._threshold()
        compared, values = restrict(catalog.basis, place.values, self.axes)
        return Selection(
            best=ranking[0][0],
            matched=ranking[0][1] <= threshold,
            ranking=ranking,
            words=compared.ranked(values),
            coordinates=place,
            threshold=threshold,
            axes=self.axes,
            paired=paired,
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
        if isinstance(self.summarizer, str) and _target(summarizer.name) != _target(made.summarizer):
            raise SummarizerError(f"summarizer {summarizer.name!r} is not the catalog's: {advice}")
        if not isinstance(self.summarizer, Summarizer) and summarizer.instruction != made.instruction:
            raise SummarizerError(
                f"summarizer {summarizer.name!r} asks another question than the catalog's did: expected {made.instruction!r}, got {summarizer.instruction!r}"
            )


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


def _target(name: str) -> str:
    """What a summarizer's name names, however it is run: ``hf:org/x`` and ``streamed:org/x`` are the same model."""
    return name.partition(":")[2] or name
