"""At which sizes the experiments run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from xpert.errors import SettingsError, did_you_mean
from xpert.zoo.corpus import STYLES

__all__ = ["PRESETS", "Preset", "preset_of"]


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
        pool_sizes: At which selection is costed.
        domain_prompts: Prompts of the domains ``general``, ``law`` and ``science``; a set of a domain is 50 of them at most.
        styled_texts: Texts a word that the summarizer writes for its sub-vector.
        orders: Of the models, for the growth of the basis.
        tokens, samples: Rows and columns of the table of prompt tuning.
        tuned_words: Words of each family of synonyms behind it.
        tuned_texts: Texts a word.
        tuning_steps: Steps of each tuning.
    """

    name: str
    styles: tuple[str, ...]
    similarities: tuple[int, ...]
    draws: int
    users_a_style: int
    recorded_prompts: int
    pool_sizes: tuple[int, ...]
    domain_prompts: tuple[int, int, int]
    styled_texts: int
    orders: int
    tokens: tuple[int, ...]
    samples: tuple[int, ...]
    tuned_words: int
    tuned_texts: int
    tuning_steps: int

    @property
    def set_size(self) -> int:
        """Prompts of one set of a domain: two sets of each domain must be there."""
        return min(50, min(self.domain_prompts) // 2)


PRESETS: Mapping[str, Preset] = {
    preset.name: preset
    for preset in (
        Preset(
            name="tiny",
            styles=tuple(style for style in STYLES if style.endswith(("-friendly", "-unfriendly"))),
            similarities=(90, 50),
            draws=2,
            users_a_style=2,
            recorded_prompts=100,
            pool_sizes=(4, 8),
            domain_prompts=(60, 40, 40),
            styled_texts=4,
            orders=5,
            tokens=(10,),
            samples=(50, 100),
            tuned_words=4,
            tuned_texts=24,
            tuning_steps=100,
        ),
        Preset(
            name="small",
            styles=tuple(STYLES),
            similarities=(90, 80, 70, 50, 30),
            draws=5,
            users_a_style=2,
            recorded_prompts=200,
            pool_sizes=(7, 14, 28),
            domain_prompts=(200, 100, 100),
            styled_texts=8,
            orders=10,
            tokens=(10, 25, 50),
            samples=(50, 100, 200, 300, 400),
            tuned_words=13,
            tuned_texts=48,
            tuning_steps=400,
        ),
    )
}


def preset_of(name: str) -> Preset:
    """A preset by name.

    Raises:
        xpert.errors.SettingsError: There is none of that name.
    """
    if name not in PRESETS:
        near = did_you_mean(name, PRESETS)
        raise SettingsError(f"preset: expected one of {', '.join(PRESETS)}, got {name!r}{near}")
    return PRESETS[name]
