"""What a run of the preset ``paper`` takes: models, data, bytes, operations, GPU hours. Reckoned, with no network and nothing loaded.

Operations: a token is multiplied by every parameter once, ``2 N`` operations a token (``N`` as `ModelShape.multiplied`; attention between tokens is
left out). Training an adapter takes ``4 N`` (forward, and back through the activations; the gradients of the frozen matrices are not computed).

- training: models x similarities x steps x batch size x tokens an example x ``4 N``
- generating: (models x similarities + 2 + users) x prompts x new tokens x ``2 N``, of the base (twice: two answers to each prompt), and the
  styled texts behind the sub-vectors, words x texts x new tokens x ``2 N`` of the summarizer
- reading: ((models + users) x similarities + 1) x prompts x tokens a question x ``2 N`` of the summarizer, and words x texts of the same

Source: 2 and 6 operations a parameter and token, Kaplan et al. 2020 (arXiv 2001.08361), section 2.1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from xpert.evaluation.paper.models import MODELS, ModelShape
from xpert.evaluation.presets import TrainedPools

__all__ = ["ASSUMED", "RATES", "Work", "gpu_hours", "work_of"]

RATES: Mapping[str, float] = {"training": 2e14, "generating": 5e12, "reading": 2e14}
"""Operations a second that one H100 is assumed to do: a fifth of its 989e12 in bfloat16; generating waits for memory. Not measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Assumed:
    """What the reckoning assumes of texts.

    Attributes:
        example_tokens: Of a training example.
        question_tokens: Of a pair with the instruction around it.
        words: Words whose sub-vectors are made, for each base.
    """

    example_tokens: int = 256
    question_tokens: int = 600
    words: int = 100


ASSUMED = Assumed()


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """Operations by kind, for one base."""

    base: str
    training: float
    generating: float
    reading: float

    @property
    def gpu_hours(self) -> float:
        """By `RATES`."""
        return sum(getattr(self, kind) / rate for kind, rate in RATES.items()) / 3600


def work_of(
    pools: TrainedPools,
    *,
    base: str,
    summarizer: str,
    styles: int,
    similarities: int,
    users: int,
    styled_texts: int,
    assumed: Assumed = ASSUMED,
) -> Work | None:
    """The operations for one base; None where the shape of base or summarizer is not known (`xpert.evaluation.paper.models`).

    Args:
        pools: How pools are trained.
        base: Its reference.
        summarizer: Its name.
        styles: Models of a pool.
        similarities: Pools.
        users: Users.
        styled_texts: Texts a word that its sub-vector is made of.
        assumed: Of the texts.
    """
    small, large = MODELS.get(base), MODELS.get(summarizer.partition(":")[2])
    if small is None or large is None:
        return None
    models, texts = styles * similarities, assumed.words * styled_texts
    pairs = ((styles + users) * similarities + 1) * pools.prompts + texts
    return Work(
        base=base,
        training=models * pools.steps * pools.batch_size * assumed.example_tokens * _ops(small, 4),
        generating=pools.new_tokens * ((models + 2 + users) * pools.prompts * _ops(small, 2) + texts * _ops(large, 2)),
        reading=pairs * assumed.question_tokens * _ops(large, 2),
    )


def gpu_hours(works: Sequence[Work]) -> float:
    """Of all bases."""
    return sum(work.gpu_hours for work in works)


def _ops(shape: ModelShape, a_parameter: int) -> float:
    return float(a_parameter * shape.multiplied)
