"""Users of the picture demo: drawn from the captions that neither base, models, encoder nor painter ever saw."""

from __future__ import annotations

import random

from xpert.evaluation.demo_users import MIXED_SEED, TRAINEE_SEED, DemoUser, MixedUser, Trainee, user_seed
from xpert.images import image_uri
from xpert.types import Example
from xpert.zoo.pictures.dataset import draw
from xpert.zoo.pictures.scenes import scenes
from xpert.zoo.pictures.styles import STYLES

__all__ = ["picture_mixed_user", "picture_trainee", "picture_users", "pictures_in"]


def pictures_in(styles: list[str], *, seed: int) -> list[Example]:
    """One drawn picture a style of the list, of users' scenes that the seed draws, as data URIs with their captions."""
    found = scenes("users", len(styles), seed)
    return [
        Example(prompt=scene.caption, response=image_uri(draw(scene, style, seed * 1_000_003 + i)))
        for i, (scene, style) in enumerate(zip(found, styles, strict=True))
    ]


def picture_users(*, per_style: int = 2, n_pictures: int = 20, seed: int = 0) -> list[DemoUser]:
    """Users of every style, each with ``n_pictures`` pictures of different scenes."""
    return [
        DemoUser(
            name=f"{style}, user {k + 1}",
            style=style,
            examples=tuple(pictures_in([style] * n_pictures, seed=user_seed(seed, number, k))),
        )
        for number, style in enumerate(STYLES)
        for k in range(per_style)
    ]


def picture_trainee(
    *, style: str | None = None, n_training: int = 40, n_validation: int = 20, seed: int = 0
) -> Trainee:
    """One user of a style; None: one that the seed draws."""
    style = style or random.Random(f"trainee {seed}").choice(list(STYLES))
    drawn = pictures_in([style] * (n_training + n_validation), seed=TRAINEE_SEED + seed)
    return Trainee(style=style, training=tuple(drawn[:n_training]), validation=tuple(drawn[n_training:]))


def picture_mixed_user(*, n_pictures: int = 20, seed: int = 0) -> MixedUser:
    """A user whose pictures are half in one style, half in another, which the seed draws."""
    rng = random.Random(f"mixed {seed}")
    one, two = rng.sample(list(STYLES), 2)
    styles = [one, two] * (n_pictures // 2)
    return MixedUser(styles=(one, two), examples=tuple(pictures_in(styles, seed=MIXED_SEED + seed)))
