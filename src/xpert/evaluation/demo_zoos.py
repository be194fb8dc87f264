"""What the demo runs on: the shipped models of each modality, users whose data none of them saw, and how both are asked.

Which modality a zoo is of has to be said somewhere: here, and in the modalities, summarizers and trainers themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from xpert.errors import ReferenceNotFoundError
from xpert.evaluation.demo import DemoSettings
from xpert.evaluation.demo_users import DemoUser, MixedUser, Trainee, zoo_mixed_user, zoo_trainee, zoo_users

__all__ = ["ZOOS", "DemoZoo", "picture_zoo", "text_zoo"]

_MISSING = "the zoo's models are not installed: install the package again, with its weights"


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoZoo:
    """Everything that `xpert.evaluation.demo.run_demo` is given, the folder excepted.

    Attributes:
        base: Reference of the base.
        summarizer: Of the summarizer.
        models: Name to reference of the pool.
        users: For whom to select.
        trainee: Who is fine-tuned.
        mixed: Somebody of two styles.
        settings: How.
        data: What users have, in a word.
        unit: What losses are given in.
    """

    base: str
    summarizer: str
    models: Mapping[str, str]
    users: Sequence[DemoUser]
    trainee: Trainee
    mixed: MixedUser
    settings: DemoSettings
    data: str
    unit: str


def text_zoo(seed: int) -> DemoZoo:
    """The 28 text models.

    Raises:
        xpert.errors.ReferenceNotFoundError: They are not installed.
    """
    from xpert.zoo import adapter_names

    if not (names := adapter_names()):
        raise ReferenceNotFoundError(_MISSING)
    return DemoZoo(
        base="zoo:base",
        summarizer="zoo:summarizer",
        models={name: f"zoo:{name}" for name in names},
        users=zoo_users(seed=seed),
        trainee=zoo_trainee(seed=seed),
        mixed=zoo_mixed_user(seed=seed),
        settings=DemoSettings(seed=seed),
        data="text",
        unit="nats a token",
    )


def picture_zoo(seed: int) -> DemoZoo:
    """The nine picture models, explained by the zoo's image encoder with words that the zoo's painter paints.

    Raises:
        xpert.errors.ReferenceNotFoundError: They are not installed.
        xpert.errors.MissingDependencyError: Pillow is not installed.
    """
    from xpert.evaluation.demo_pictures import picture_mixed_user, picture_trainee, picture_users
    from xpert.modalities.diffusion import DiffusionModality
    from xpert.subvectors.painted import PaintedSubvectors
    from xpert.trainers.diffusion.trainer import DiffusionTrainer
    from xpert.zoo import picture_adapter_names

    if not (names := picture_adapter_names()):
        raise ReferenceNotFoundError(_MISSING)
    modality: Any = DiffusionModality(steps=20, guidance_scale=3.0)
    trainer = DiffusionTrainer(
        max_steps=600,
        eval_every=2,
        lr=1e-3,
        batch_size=8,
        rank=4,
        alpha=4,
        target_modules=_LAYERS,
        checkpoint_every=600,
    )
    return DemoZoo(
        base="zoo:pictures-base",
        summarizer="zoo:pictures-encoder",
        models={name.removeprefix("pictures-"): f"zoo:{name}" for name in names},
        users=picture_users(seed=seed),
        trainee=picture_trainee(seed=seed),
        mixed=picture_mixed_user(seed=seed),
        settings=DemoSettings(
            seed=seed,
            trainer=trainer,
            modality=modality,
            subvectors=PaintedSubvectors("zoo:pictures-painter", n_prompts=8, modality=modality),
            n_shown=4,
        ),
        data="pictures",
        unit="mean squared error",
    )


_LAYERS = ("to_q", "to_k", "to_v", "to_out.0", "conv1", "conv2", "conv_out")
"""What the zoo's adapters train; an adapter from the base trains the same."""

ZOOS: Mapping[str, Callable[[int], DemoZoo]] = {"text": text_zoo, "diffusion": picture_zoo}
"""Modality to what its demo runs on, made from a seed."""
