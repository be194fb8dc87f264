"""What an encoder learns of style from the corpus: which words to say of a difference, and each word's own sub-vector.

One ridge regression from (difference of embeddings, measured quantities) to the properties that a text has, and one least-squares fit back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xpert.measured import MEASURED, measure
from xpert.protocols import TextEncoder
from xpert.summarizers.exemplars import Exemplars
from xpert.types import AnswerPair
from xpert.zoo.corpus import DEFAULT, GRADED, PROPERTIES, STYLES, TONES, Style, examples, properties_of
from xpert.zoo.corpus.written import WrittenQuestion, written_questions

__all__ = ["ASPECTS", "ExemplarSettings", "Rows", "composed_rows", "fit_exemplars", "written_rows"]

ASPECTS: dict[str, tuple[str, ...]] = {
    "expertise": ("elementary", "expert"),
    "informativeness": ("concise", "informative"),
    "tone": TONES,
    "formality": ("formal", "informal"),
}
"""Properties that exclude each other; a text is said to have one of each at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExemplarSettings:
    """The values are the shipped ones, chosen on texts of the corpus alone (ADR 8).

    Attributes:
        n_texts: Composed texts a style.
        group: Composed texts that are averaged to a row: single ones say little.
        measured_weight: Of the measured quantities beside the embedding.
        ridge: Of the regression.
        seed: Draws the composed texts.
    """

    n_texts: int = 40
    group: int = 10
    measured_weight: float = 0.2
    ridge: float = 0.5
    seed: int = 1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rows:
    """Differences from plain answers, and what made them.

    Attributes:
        hidden: ``(N, D)`` differences of embeddings.
        measured: ``(N, F)`` measured quantities.
        properties: ``(N, W)``: 1 where a row has the property, else 0.
    """

    hidden: NDArray[np.float64]
    measured: NDArray[np.float64]
    properties: NDArray[np.float64]

    def and_(self, other: Rows) -> Rows:
        """Both."""
        return Rows(
            hidden=np.concatenate([self.hidden, other.hidden]),
            measured=np.concatenate([self.measured, other.measured]),
            properties=np.concatenate([self.properties, other.properties]),
        )


def composed_rows(encoder: TextEncoder, settings: ExemplarSettings | None = None) -> Rows:
    """The 28 styles, and the ends of formality, of the models' half of the composed corpus; means of a few texts each."""
    settings = settings or ExemplarSettings()
    styles = [*STYLES.values(), GRADED["formality-1"], GRADED["formality-4"]]

    def texts(style: Style) -> list[str]:
        drawn = examples(style, side="models", n=settings.n_texts, seed=settings.seed)
        return [example.response for example in drawn]

    plain = texts(DEFAULT)
    rows: list[Rows] = []
    for style in styles:
        pairs = [AnswerPair(prompt="", base=a, other=b) for a, b in zip(plain, texts(style), strict=True)]
        single = _rows(encoder, pairs, [properties_of(style)] * len(pairs))
        starts = range(0, len(pairs), settings.group)
        parts = [slice(start, start + settings.group) for start in starts]
        means = {
            name: np.stack([getattr(single, name)[part].mean(axis=0) for part in parts])
            for name in ("hidden", "measured", "properties")
        }
        rows.append(Rows(**means))
    return _joined(rows)


def written_rows(encoder: TextEncoder, questions: Sequence[WrittenQuestion] | None = None) -> Rows:
    """The texts written by hand, one row each."""
    questions = written_questions() if questions is None else questions
    told = [(question.pair(style), style.split("-")) for question in questions for style in question.styles]
    return _rows(encoder, [pair for pair, _ in told], [has for _, has in told])


def fit_exemplars(rows: Rows, encoder_digest: str, settings: ExemplarSettings | None = None) -> Exemplars:
    """What is shipped.

    Args:
        rows: To learn from.
        encoder_digest: SHA-256 of the encoder's weights.
        settings: Weight of the measured quantities, ridge.
    """
    settings = settings or ExemplarSettings()
    x = np.concatenate([rows.hidden, settings.measured_weight * rows.measured], axis=1)
    y = rows.properties
    weights = np.linalg.solve(x.T @ x + settings.ridge * np.eye(x.shape[1]), x.T @ y)
    width = rows.hidden.shape[1]
    weights[width:] *= settings.measured_weight
    vectors, *_ = np.linalg.lstsq(y, rows.hidden, rcond=None)
    aspect_of = {word: aspect for aspect, words in ASPECTS.items() for word in words}
    return Exemplars(
        words=tuple(PROPERTIES),
        aspects=tuple(aspect_of[word] for word in PROPERTIES),
        measured=MEASURED,
        weights=weights.astype(np.float32),
        vectors=vectors.astype(np.float32),
        encoder=encoder_digest,
    )


def _rows(encoder: TextEncoder, pairs: Sequence[AnswerPair], properties: Sequence[Sequence[str]]) -> Rows:
    encoded = encoder.encode([pair.base for pair in pairs] + [pair.other for pair in pairs]).astype(np.float64)
    names = list(PROPERTIES)
    return Rows(
        hidden=encoded[len(pairs) :] - encoded[: len(pairs)],
        measured=measure(pairs).astype(np.float64),
        properties=np.array([[float(name in has) for name in names] for has in properties]),
    )


def _joined(rows: Sequence[Rows]) -> Rows:
    joined = rows[0]
    for further in rows[1:]:
        joined = joined.and_(further)
    return joined
