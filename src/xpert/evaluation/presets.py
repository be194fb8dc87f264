"""At which sizes the experiments run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from xpert.errors import SettingsError, did_you_mean
from xpert.evaluation.paper.models import BASES, SUMMARIZER
from xpert.zoo.corpus import STYLES

__all__ = [
    "N_TRAINING",
    "N_VALIDATION",
    "PARTS_EVALUATED",
    "PRESETS",
    "PROBED_AT",
    "Preset",
    "RandomShape",
    "TrainedPools",
    "preset_of",
]

PROBED_AT = 1.0
"""Temperature at which models of trained pools answer the probes, and the base the users' prompts: greedy answers of a model of half a
style show the likelier half alone (`benchmarks/sampled_probes`).
"""
N_TRAINING, N_VALIDATION = 40, 20
"""Texts of a user who is fine-tuned."""
PARTS_EVALUATED = 4
"""Steps between evaluations of trainings on a part of a user's texts, of which only whether they meet the target counts, and not when."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedPools:
    """How pools are trained, explained and selected from, for a user with a GPU.

    Attributes:
        bases: References of the base models.
        summarizer: Who explains, by name.
        data: Whose texts (`xpert.evaluation.setting.Setting.data`).
        training: Examples of a model.
        steps: Of each training.
        batch_size: Examples a step.
        max_length: Longest row in tokens.
        prompts: That each model is probed with.
        new_tokens: Of an answer, at most.
        device: Where all compute; None: a GPU if there is one.
    """

    bases: tuple[str, ...]
    summarizer: str
    data: str
    training: int
    steps: int
    batch_size: int
    max_length: int
    prompts: int
    new_tokens: int
    device: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RandomShape:
    """A decoder of the Llama family, input embeddings and output layer one matrix, whose weights are random.

    Attributes:
        name: Whose shape it is.
        vocab_size: Rows of the embeddings.
        hidden_size: Width.
        intermediate_size: Width of the feed-forward layers.
        layers: How many.
        heads: Of queries.
        key_value_heads: Of keys and values.
    """

    name: str
    vocab_size: int
    hidden_size: int
    intermediate_size: int
    layers: int
    heads: int
    key_value_heads: int


_SMOLLM_135M = RandomShape(
    name="SmolLM-135M",
    vocab_size=49152,
    hidden_size=576,
    intermediate_size=1536,
    layers=30,
    heads=9,
    key_value_heads=3,
)
_LLAMA_1B = RandomShape(
    name="Llama-3.2-1B",
    vocab_size=128256,
    hidden_size=2048,
    intermediate_size=8192,
    layers=16,
    heads=32,
    key_value_heads=8,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """One size.

    Attributes:
        name: Of the preset.
        styles: Models of the zoo, one a style.
        similarities: Percent of a model's answers in its style.
        draws: Of prompts and users.
        users_a_style: In each draw.
        recorded_prompts: Prompts that each model answers once; a draw asks 50 of them.
        pool_sizes: At which selection is costed; above the number of styles, adapters at other strengths are added.
        cost_users: Users whose selection is costed, the same at all sizes; at most one a style of the smallest pool.
        streamed_shape: Of the summarizer that is streamed.
        streamed_questions: Numbers of questions that it reads.
        domain_prompts: Prompts of the domains ``general``, ``law`` and ``science``; a set of a domain is 50 of them at most.
        styled_texts: Texts a word that the summarizer writes for its sub-vector.
        orders: Of the models, for the growth of the basis.
        tokens, samples: Rows and columns of the table of prompt tuning.
        tuned_words: Words of each family of synonyms behind it.
        tuned_texts: Texts a word.
        tuning_steps: Steps of each tuning.
        mixed_users: Users of each number of mixed styles, who are fine-tuned.
        domain_users: Users of each domain of questions, who are fine-tuned.
        trainees: Users who are fine-tuned from trained pools, one a style.
        known_phrases: Percent of the texts of users of trained pools in phrases that the models were trained on: each user is there once for
            each.
        searching_users: Users a style for whom the trained pools are searched exhaustively.
        by_base: Percent of their style in the pools that are trained of each base.
        training_steps: Of each fine-tuning of a user, at most.
        minutes: Experiment to what it took on two cores, after those before it; alone it also makes what they would have left.
        pools: Of ``paper``: what is trained. The experiments of the zoo are not for such a preset, and what of it is theirs alone does
            not matter.
    """

    name: str
    styles: tuple[str, ...]
    similarities: tuple[int, ...]
    draws: int
    users_a_style: int
    recorded_prompts: int
    pool_sizes: tuple[int, ...]
    cost_users: int
    streamed_shape: RandomShape
    streamed_questions: tuple[int, ...]
    domain_prompts: tuple[int, int, int]
    styled_texts: int
    orders: int
    tokens: tuple[int, ...]
    samples: tuple[int, ...]
    tuned_words: int
    tuned_texts: int
    tuning_steps: int
    mixed_users: int
    domain_users: int
    trainees: int
    known_phrases: tuple[int, ...]
    searching_users: int
    by_base: tuple[int, ...]
    training_steps: int
    minutes: Mapping[str, float] = field(default_factory=dict[str, float])
    pools: TrainedPools | None = None

    @property
    def set_size(self) -> int:
        """Prompts of one set of a domain: two sets of each domain must be there."""
        return min(50, min(self.domain_prompts) // 2)


_OF_THE_ZOO: Mapping[str, Preset] = {
    preset.name: preset
    for preset in (
        Preset(
            name="tiny",
            styles=tuple(style for style in STYLES if style.endswith(("-friendly", "-unfriendly"))),
            similarities=(90, 50),
            draws=2,
            users_a_style=2,
            recorded_prompts=100,
            pool_sizes=(4, 8, 16),
            cost_users=4,
            streamed_shape=_SMOLLM_135M,
            streamed_questions=(2, 10),
            domain_prompts=(60, 40, 40),
            styled_texts=4,
            orders=5,
            tokens=(10,),
            samples=(50, 100),
            tuned_words=4,
            tuned_texts=24,
            tuning_steps=100,
            mixed_users=1,
            domain_users=1,
            trainees=4,
            known_phrases=(100, 0),
            searching_users=2,
            by_base=(90, 50),
            training_steps=400,
            minutes={
                "accuracy": 1.4,
                "table-1": 0.3,
                "table-2": 0.3,
                "table-3": 0.4,
                "table-4": 1.5,
                "table-5": 13,
                "table-6": 0.5,
                "table-7": 6,
                "table-8": 0.1,
                "table-9": 0.1,
                "table-10": 2,
                "figure-7": 0.1,
                "figure-13": 2,
                "figure-15": 0.8,
                "figure-16": 2.5,
            },
        ),
        Preset(
            name="small",
            styles=tuple(STYLES),
            similarities=(90, 80, 70, 50, 30),
            draws=5,
            users_a_style=2,
            recorded_prompts=200,
            pool_sizes=(14, 28, 56, 84),
            cost_users=8,
            streamed_shape=_LLAMA_1B,
            streamed_questions=(5, 50),
            domain_prompts=(200, 100, 100),
            styled_texts=8,
            orders=10,
            tokens=(10, 25, 50),
            samples=(50, 100, 200, 300, 400),
            tuned_words=13,
            tuned_texts=48,
            tuning_steps=400,
            mixed_users=3,
            domain_users=3,
            trainees=7,
            known_phrases=(100, 0),
            searching_users=1,
            by_base=(90, 50),
            training_steps=400,
            minutes={
                "accuracy": 28,
                "table-1": 0.1,
                "table-2": 0.1,
                "table-3": 6,
                "table-4": 14,
                "table-5": 130,
                "table-6": 2,
                "table-7": 129,
                "table-8": 2,
                "table-9": 0.2,
                "table-10": 18,
                "figure-7": 1,
                "figure-13": 48,
                "figure-15": 1,
                "figure-16": 35,
            },
        ),
    )
}

_PAPER = replace(
    _OF_THE_ZOO["small"],
    name="paper",
    draws=1,
    minutes={},
    pools=TrainedPools(
        bases=BASES,
        summarizer=SUMMARIZER,
        data="hub",
        training=2000,
        steps=500,
        batch_size=16,
        max_length=512,
        prompts=50,
        new_tokens=128,
    ),
)

PRESETS: Mapping[str, Preset] = {**_OF_THE_ZOO, _PAPER.name: _PAPER}


def preset_of(name: str) -> Preset:
    """A preset by name.

    Raises:
        xpert.errors.SettingsError: There is none of that name.
    """
    if name not in PRESETS:
        near = did_you_mean(name, PRESETS)
        raise SettingsError(f"preset: expected one of {', '.join(PRESETS)}, got {name!r}{near}")
    return PRESETS[name]
