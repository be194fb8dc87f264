"""What pools are trained on: styled and ordinary examples in equal number, and users who wrote about other things."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from xpert.errors import DataError
from xpert.evaluation.mixtures import styled_places
from xpert.evaluation.sources import N_PAIRS, Source, User
from xpert.evaluation.unpaired import mixtures_of_two
from xpert.types import Example

__all__ = ["TrainingDraw", "drawn_answers", "drawn_examples", "n_needed", "training_mixture"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingDraw:
    """One draw.

    Attributes:
        styled: Style to ``n`` examples in it.
        ordinary: ``n`` examples without a style, in places of which the styled ones stand.
        users: With texts that no model is trained on; what the base says to their prompts is not known yet.
    """

    styled: Mapping[str, Sequence[Example]]
    ordinary: Sequence[Example]
    users: Sequence[User]


def training_mixture(draw: TrainingDraw, style: str, *, similarity: int, seed: int) -> list[Example]:
    """What the model of a style is trained on: exactly ``similarity`` percent in the style, places drawn by the seed."""
    places = styled_places(len(draw.ordinary), similarity, "training", seed, style)
    return [draw.styled[style][i] if i in places else one for i, one in enumerate(draw.ordinary)]


def drawn_answers(source: Source, *, seed: int, n_training: int, users_a_style: int) -> TrainingDraw:
    """A draw of recorded answers: the users' as `Source.draw` has them, and prompts for the models that none of these was asked.

    Raises:
        xpert.errors.DataError: Too few prompts are left for the models.
    """
    users = source.draw(seed, users_a_style).users
    asked = {example.prompt for user in users for example in user.examples}
    left = [p for p in source.base if p not in asked and all(p in told for told in source.answers.values())]
    if len(left) < n_training:
        raise DataError(f"data: expected {n_training} prompts for training beside the users', got {len(left)}")
    prompts = random.Random(f"training/{seed}").sample(left, n_training)

    def told(answers: Mapping[str, str]) -> list[Example]:
        return [Example(prompt=prompt, response=answers[prompt]) for prompt in prompts]

    return TrainingDraw(
        styled={style: told(answers) for style, answers in source.answers.items()},
        ordinary=told(source.unstyled),
        users=[User(style=user.style, examples=user.examples, base=()) for user in users],
    )


def n_needed(n_styles: int, *, n_training: int, users_a_style: int) -> int:
    """Examples of each style that `drawn_examples` takes: of a model, of its users, and its part of the ordinary ones."""
    n_ordinary = -(-n_training // n_styles)
    return n_training + N_PAIRS * users_a_style + n_ordinary


def drawn_examples(
    texts: Mapping[str, Sequence[Example]], *, seed: int, n_training: int, users_a_style: int, mixtures: bool = True
) -> TrainingDraw:
    """A draw of examples that answer no common prompts; ordinary ones are of all styles in equal parts, and no style has them.

    Args:
        texts: Style to its examples.
        seed: Of the draw.
        n_training: Examples of a model.
        users_a_style: Users; each has 50 texts of their own.
        mixtures: Whether there are mixtures of two as well (`xpert.evaluation.unpaired.mixtures_of_two`), whose models and users have
            half of one's examples and half of the other's.

    Raises:
        xpert.errors.DataError: Too few examples of a style.
    """
    needed, n_users = n_needed(len(texts), n_training=n_training, users_a_style=users_a_style), N_PAIRS * users_a_style
    n_ordinary = needed - n_training - n_users
    for style, own in texts.items():
        if len(own) < needed:
            raise DataError(
                f"data: {style} has {len(own)} examples, expected {needed}: {n_training} to train on, {n_users} of users, "
                f"{n_ordinary} ordinary ones"
            )
    shuffled = {style: random.Random(f"{seed}/{style}").sample(own, needed) for style, own in texts.items()}
    ordinary = [own[n_training + n_users + k] for k in range(n_ordinary) for own in shuffled.values()][:n_training]
    random.Random(f"{seed}/ordinary").shuffle(ordinary)
    for one, other in mixtures_of_two(list(texts)) if mixtures else ():
        first = styled_places(needed, 50, seed, one, other)
        both = zip(shuffled[one], shuffled[other], strict=True)
        shuffled[f"{one}-and-{other}"] = [a if i in first else b for i, (a, b) in enumerate(both)]
    users = [
        User(style=style, examples=tuple(own[start : start + N_PAIRS]), base=())
        for style, own in shuffled.items()
        for start in range(n_training, n_training + n_users, N_PAIRS)
    ]
    return TrainingDraw(
        styled={style: own[:n_training] for style, own in shuffled.items()}, ordinary=ordinary, users=users
    )
