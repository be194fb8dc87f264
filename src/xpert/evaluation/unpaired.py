"""Texts of known style that answer no common questions: passages of genres, and mixtures of two of them.

Every style has as many numbered places as models and users need, with a passage in each; a draw splits the numbers, so that no user has a
passage that a model has, nor a mixture one of its parts'.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path

from xpert.errors import DataError
from xpert.evaluation.mixtures import styled_places
from xpert.evaluation.sources import N_PAIRS, Draw, User
from xpert.examples import load_examples
from xpert.types import Example

__all__ = ["UnpairedTexts", "genre_files", "mixtures_of_two", "read_genres"]

_N_PLACES = 2 * N_PAIRS


class UnpairedTexts:
    """A source (`xpert.evaluation.sources.Source`) whose texts answer nothing: models are recorded passages, and no base answers users.

    The base, and what is unstyled, are passages of all styles in equal parts, which no style has; an unstyled passage is never the
    base's own at the same place.

    Args:
        name: Of the collection; a part of the seed.
        texts: Style to its passages; no passage twice.
        mixtures: Whether there are mixtures of two as well (`mixtures_of_two`): half of the places one's, half the other's.

    Raises:
        xpert.errors.DataError: Fewer than two styles, or too few passages of one.
    """

    def __init__(self, name: str, texts: Mapping[str, Sequence[str]], *, mixtures: bool = True) -> None:
        if len(texts) < 2:
            raise DataError(f"{name}: expected two styles or more, got {', '.join(texts) or 'none'}")
        self._name = name
        shuffled = {style: _shuffled(name, style, own) for style, own in texts.items()}
        n_base = -(-_N_PLACES // len(texts))
        for style, own in shuffled.items():
            if len(own) < _N_PLACES + n_base:
                raise DataError(
                    f"{name}: {style} has {len(own)} different passages, expected {_N_PLACES + n_base} or more: "
                    f"{N_PAIRS} of a model, {N_PAIRS} of a user and {n_base} of the base"
                )
        self._prompts = [f"passage {number}" for number in range(1, _N_PLACES + 1)]
        answers = {style: dict(zip(self._prompts, own, strict=False)) for style, own in shuffled.items()}
        ordinary = [own[_N_PLACES + k] for k in range(n_base) for own in shuffled.values()][:_N_PLACES]
        random.Random(f"{name}/base").shuffle(ordinary)
        self.base: Mapping[str, str] = dict(zip(self._prompts, ordinary, strict=True))
        moved = ordinary[N_PAIRS:] + ordinary[:N_PAIRS]
        self.unstyled: Mapping[str, str] = dict(zip(self._prompts, moved, strict=True))
        for one, other in mixtures_of_two(list(texts)) if mixtures else ():
            answers[f"{one}-and-{other}"] = self._mixed(answers[one], answers[other], one, other)
        self.styles: Sequence[str] = list(answers)
        self.answers: Mapping[str, Mapping[str, str]] = answers

    def draw(self, seed: int, users_a_style: int) -> Draw:
        """Half of the places for the models, the other half for one user a style, however many are asked for: more would have the same passages."""
        shuffled = random.Random(f"{self._name}/{seed}").sample(self._prompts, _N_PLACES)
        asked, others = shuffled[:N_PAIRS], shuffled[N_PAIRS:]
        users = [
            User(style=style, examples=tuple(Example(prompt=p, response=told[p]) for p in others), base=())
            for style, told in self.answers.items()
            for _ in range(min(users_a_style, 1))
        ]
        return Draw(prompts=tuple(asked), users=tuple(users))

    def _mixed(self, own: Mapping[str, str], others: Mapping[str, str], *names: str) -> dict[str, str]:
        first = styled_places(_N_PLACES, 50, self._name, *names)
        return {p: (own if i in first else others)[p] for i, p in enumerate(self._prompts)}


def mixtures_of_two(styles: Sequence[str]) -> list[tuple[str, str]]:
    """Pairs in which every style stands equally often: each with the next, in a ring, and of an even number each with its opposite.

    Ten styles give fifteen mixtures, three of each style.

    >>> mixtures_of_two(["a", "b", "c", "d"])
    [('a', 'b'), ('b', 'c'), ('c', 'd'), ('d', 'a'), ('a', 'c'), ('b', 'd')]
    >>> mixtures_of_two(["a", "b"])
    [('a', 'b')]
    """
    n = len(styles)
    pairs = [(i, (i + 1) % n) for i in range(n)] + ([(i, i + n // 2) for i in range(n // 2)] if n % 2 == 0 else [])
    return [(styles[i], styles[j]) for i, j in {frozenset(pair): pair for pair in reversed(pairs)}.values()][::-1]


def read_genres(folder: Path) -> UnpairedTexts:
    """A folder of passages, one ``GENRE.jsonl`` a genre, in any form of personal data.

    Raises:
        xpert.errors.DataError: Fewer than two files, one that cannot be read, or too few passages in one.
    """
    texts = {file.stem: [example.response for example in load_examples(file)] for file in genre_files(folder)}
    return UnpairedTexts(folder.name, texts)


def genre_files(folder: Path) -> list[Path]:
    """Its files, one a genre.

    Raises:
        xpert.errors.DataError: Fewer than two.
    """
    files = sorted(folder.glob("*.jsonl"))
    if len(files) < 2:
        found = ", ".join(file.name for file in files) or "none"
        raise DataError(f"{folder}: expected one .jsonl a genre, two or more, got {found}")
    return files


def _shuffled(name: str, style: str, texts: Sequence[str]) -> list[str]:
    different = list(dict.fromkeys(texts))
    return random.Random(f"{name}/{style}").sample(different, len(different))
