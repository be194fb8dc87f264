"""Users of the demo and of trained pools: drawn from the half of the style corpus whose questions, and mostly whose phrases, no styled model saw."""

from __future__ import annotations

import random
from dataclasses import dataclass

from xpert.errors import SettingsError
from xpert.types import Example
from xpert.zoo.corpus import STYLES, examples, mixture

__all__ = [
    "MIXED_SEED",
    "TRAINEE_SEED",
    "DemoUser",
    "MixedUser",
    "Trainee",
    "phrased",
    "user_seed",
    "zoo_mixed_user",
    "zoo_trainee",
    "zoo_users",
]

TRAINEE_SEED, MIXED_SEED = 900_001, 900_002
"""Added to the demo's seed for the two users who are not among the others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoUser:
    """Somebody with texts, and the model that is the right choice.

    Attributes:
        name: Who.
        style: Name of the model of this user's style.
        examples: The user's own texts, with prompts.
    """

    name: str
    style: str
    examples: tuple[Example, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trainee:
    """The user whose model is fine-tuned.

    Attributes:
        style: Name of the model of this user's style.
        training: What to select by and to train on.
        validation: Other texts of the user, on other questions.
        known_phrases: Percent of the texts in phrases that the models of the style were trained on.
    """

    style: str
    training: tuple[Example, ...]
    validation: tuple[Example, ...]
    known_phrases: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class MixedUser:
    """Somebody who writes in several styles, for whom models are merged.

    Attributes:
        styles: Names of the models of these styles.
        examples: The user's own texts, with prompts.
    """

    styles: tuple[str, ...]
    examples: tuple[Example, ...]


def zoo_users(*, per_style: int = 2, n_texts: int = 50, seed: int = 0) -> list[DemoUser]:
    """Users of every style of the corpus, each with ``n_texts`` texts on different questions."""
    return [
        DemoUser(
            name=f"{style}, user {k + 1}",
            style=style,
            examples=tuple(examples(STYLES[style], side="users", n=n_texts, seed=user_seed(seed, number, k))),
        )
        for number, style in enumerate(STYLES)
        for k in range(per_style)
    ]


def zoo_trainee(
    *, style: str | None = None, n_training: int = 40, n_validation: int = 40, seed: int = 0, known_phrases: int = 0
) -> Trainee:
    """One user of a style; None: one that the seed draws.

    Args:
        style: Name of the style.
        n_training: Texts to train on.
        n_validation: Others, to validate with.
        seed: Of the questions and of the answers.
        known_phrases: As in `phrased`.
    """
    style = style or random.Random(f"trainee {seed}").choice(list(STYLES))
    texts = phrased(style, n_training + n_validation, TRAINEE_SEED + seed, known_phrases=known_phrases)
    return Trainee(
        style=style,
        training=tuple(texts[:n_training]),
        validation=tuple(texts[n_training:]),
        known_phrases=known_phrases,
    )


def phrased(style: str, n: int, seed: int, *, known_phrases: int = 0, similarity: float = 1.0) -> list[Example]:
    """Texts about the users' half of the questions, in phrases of which so many percent are the models' half's.

    Args:
        style: Name of the style.
        n: How many texts.
        seed: Of the questions and of the answers.
        known_phrases: Percent of the texts, evenly spread, that are written in the phrases of the models' half. The questions are the same by
            any percentage, and so are the texts in the users' phrases.
        similarity: The share of texts in the style; the others are default answers.

    Raises:
        xpert.errors.SettingsError: A percentage that is none.
    """
    if not 0 <= known_phrases <= 100:
        raise SettingsError(f"known_phrases: expected 0 to 100 percent, got {known_phrases}")
    texts = examples(STYLES[style], side="users", n=n, seed=seed, similarity=similarity)
    if not known_phrases:
        return texts
    known = examples(STYLES[style], side="users", n=n, seed=seed, similarity=similarity, phrases="models")
    is_known = [(i + 1) * known_phrases // 100 > i * known_phrases // 100 for i in range(n)]
    return [known[i] if is_known[i] else texts[i] for i in range(n)]


def zoo_mixed_user(*, n_texts: int = 50, seed: int = 0) -> MixedUser:
    """A user who writes in two styles that the seed draws, half and half."""
    one, two = random.Random(f"mixed {seed}").sample(list(STYLES), 2)
    halves = [(STYLES[one], 0.5), (STYLES[two], 0.5)]
    texts = mixture(halves, side="users", n=n_texts, seed=MIXED_SEED + seed)
    return MixedUser(styles=(one, two), examples=tuple(texts))


def user_seed(seed: int, number: int, k: int) -> int:
    """Of the k-th user (up to ten) of the style of this number."""
    return 1_000 * seed + 10 * number + k + 1
