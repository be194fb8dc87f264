"""Text-encoder similarity without decomposition: the model whose texts are most like the user's, as whole embeddings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass

import numpy as np
from numpy.typing import NDArray

from xpert.baselines.ranked import check_data, ranked
from xpert.baselines.searching import check_phone, energy_of
from xpert.errors import SettingsError
from xpert.meters import Meter
from xpert.protocols import TextEncoder
from xpert.references import describe
from xpert.types import CostedSelection, Example, Selection, SelectionCost

__all__ = ["EncoderSimilarityBaseline"]


@dataclass(frozen=True, slots=True)
class EncoderSimilarityBaseline:
    """Selects the model whose mean embedding is nearest in direction; matches `xpert.protocols.CostedMethod`.

    A model's distance is 1 minus the cosine of two mean embeddings: of its texts, and of the user's. With ``base_texts`` both are
    taken relative to the base's: a model's to the mean of these, the user's to the base's answers to the user's own prompts where
    these are given, else to the same mean. The device downloads one vector a model, and the chosen model.

    Attributes:
        models: Name to reference: what the chosen one weighs.
        texts: Name to texts of the model, such as its answers to the probe prompts.
        encoder: Anything that encodes texts (`xpert.protocols.TextEncoder`), such as `xpert.EncoderSummarizer`.
        base_texts: The base's texts, such as its answers to the same prompts; None: embeddings are compared as they are.
        phone: Also estimate the energy on this phone (`xpert.energy.PROFILES`).

    Source: similarity of sentence embeddings, Reimers and Gurevych 2019 (arXiv 1908.10084); that it is taken of means, and relative to the
        base, is ours.
    """

    models: Mapping[str, str]
    texts: Mapping[str, Sequence[str]]
    encoder: TextEncoder
    _: KW_ONLY
    base_texts: Sequence[str] | None = None
    phone: str | None = None

    def __post_init__(self) -> None:
        if not self.models or self.models.keys() != self.texts.keys() or not all(self.texts.values()):
            raise SettingsError("texts: expected at least one of each model, and of no others")
        if self.base_texts is not None and not self.base_texts:
            raise SettingsError("base_texts: expected at least one text, or None")

    def select(
        self, examples: Sequence[Example], base_answers: Sequence[str] | Sequence[Example] | None = None
    ) -> Selection:
        """The model nearest in direction; distances are 1 minus cosines. It never says that nothing matches.

        Raises:
            xpert.errors.DataError: No examples, or another number of base answers.
        """
        return self.run(examples, base_answers).selection

    def run(
        self, examples: Sequence[Example], base_answers: Sequence[str] | Sequence[Example] | None = None
    ) -> CostedSelection:
        """The same, with its cost, which is the device's: the models' embeddings are the server's work and not in it."""
        check_data(examples, base_answers)
        check_phone(self.phone)
        reference = self._mean(self.base_texts) if self.base_texts is not None else np.float64(0.0)
        published = {name: self._mean(texts) - reference for name, texts in self.texts.items()}
        with Meter() as meter:
            mine = self._mean([example.response for example in examples])
            paired = base_answers is not None and self.base_texts is not None
            said = [a if isinstance(a, str) else a.response for a in base_answers or ()] if paired else []
            place = mine - (self._mean(said) if paired else reference)
            selection = ranked(((name, _away(row, place)) for name, row in published.items()), len(examples))
        width = next(iter(published.values())).size
        cost = SelectionCost(
            downloaded_bytes=4 * width * len(published) + describe(self.models[selection.best]).bytes,
            models=1,
            inferences=0,
            readings=len(examples) + len(said),
            seconds=meter.seconds,
            energy=energy_of(meter, self.phone),
        )
        why = (f"The texts of {selection.best} are most like the data: a cosine of {1 - selection.ranking[0][1]:.3f}.",)
        return CostedSelection(selection=selection, cost=cost, why=why)

    def _mean(self, texts: Sequence[str]) -> NDArray[np.float64]:
        return np.asarray(self.encoder.encode(list(texts)), np.float64).mean(axis=0)


def _away(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    norms = float(np.linalg.norm(one) * np.linalg.norm(other))
    return max(0.0, 1.0 - float(one @ other) / norms) if norms > 0 else 1.0
