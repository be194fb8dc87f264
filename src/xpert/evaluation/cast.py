"""Who takes part in the experiments: a base, its models, and users who write in the style of one of them.

The zoo's cast is drawn from the corpus; one's own is a JSON file that names references and the users' texts.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from xpert.errors import DataError
from xpert.evaluation.demo_users import DemoUser, Trainee, phrased
from xpert.evaluation.mixtures import styled_places
from xpert.evaluation.own_file import RECORDED, identity_of, read_pool, reference_beside
from xpert.evaluation.presets import N_TRAINING, N_VALIDATION
from xpert.evaluation.sources import N_PAIRS, Draw, Source, User, ZooAnswers, kept_answers
from xpert.examples import load_examples, load_prompts
from xpert.modalities import load_modality, modality_of
from xpert.progress import say
from xpert.prompts import shipped_prompts
from xpert.types import Example, Generation
from xpert.zoo.corpus import STYLES

__all__ = ["BASE", "Cast", "OwnCast", "PoolAnswers", "SaidByBase", "ZooCast", "zoo_user"]

BASE = "zoo:base"
SaidByBase: TypeAlias = Callable[[Sequence[DemoUser]], Mapping[str, str]]
"""The base's answers to the prompts of users."""


class Cast(Protocol):
    """A base, models and users."""

    @property
    def base(self) -> str:
        """Reference of the base."""
        ...

    @property
    def models(self) -> Mapping[str, str]:
        """Name to reference; a model's name is its style's."""
        ...

    @property
    def generation(self) -> Generation:
        """How base and models answer; the seed is the run's, but for a `source`, which is asked once for all runs."""
        ...

    def users(self, seed: int, n_texts: int, similarity: float, said: SaidByBase) -> list[DemoUser]:
        """One a style, with so many texts of which a share is in the style; ``said`` asks the base."""
        ...

    def prompts(self, n: int, seed: int) -> list[str] | None:
        """What models are asked, ``n`` at most; None: what the base comes with."""
        ...

    def source(self, work: Path, n_prompts: int) -> Source:
        """What base and models answer, kept in a folder."""
        ...


@dataclass(frozen=True, slots=True)
class ZooCast:
    """The zoo's base, its adapters of some styles, and users of the corpus' other half."""

    styles: tuple[str, ...]

    @property
    def base(self) -> str:
        """Reference of the base."""
        return BASE

    @property
    def models(self) -> Mapping[str, str]:
        """Style to reference."""
        return {style: f"zoo:{style}" for style in self.styles}

    @property
    def generation(self) -> Generation:
        """Greedy."""
        return Generation()

    def users(self, seed: int, n_texts: int, similarity: float, said: SaidByBase) -> list[DemoUser]:
        """Users of the corpus; the corpus' unstyled texts are what is not in their style."""
        return [zoo_user(style, seed, similarity, n_texts) for style in self.styles]

    def prompts(self, n: int, seed: int) -> list[str] | None:
        """None: the zoo's base comes with its own questions."""
        return None

    def source(self, work: Path, n_prompts: int) -> Source:
        """What the zoo's models say."""
        return ZooAnswers(work / "zoo-answers", self.styles, n_prompts)


class OwnCast:
    """One's own models, from a JSON file.

    It holds ``base``, a reference; ``models``, name to reference; ``users``, name to a file of texts with prompts in the style of the model
    of that name, which no model was trained on. If it likes, ``prompts``, a file of what the models are asked (else the shipped
    general ones, or what recorded models answered and no user wrote about); and ``generation``, an object of how base and models answer
    (``max_new_tokens``, ``temperature``, ``top_p``; else greedily); and ``training``, an object of how users are fine-tuned, of fields of
    `xpert.trainers.torch.TorchTrainer`. Files are looked for from the JSON file's folder, and so are
    references that name a folder or recorded answers there.

    Args:
        file: The JSON file.

    Raises:
        xpert.errors.DataError: It is not such a file, or a user's texts are too few or have no prompts.
    """

    def __init__(self, file: Path) -> None:
        told = read_pool(file)
        self.name = file.stem if file.stem != "pool" else file.resolve().parent.name
        self._file = file
        self.base = reference_beside(file, told["base"])
        self.models: Mapping[str, str] = {name: reference_beside(file, ref) for name, ref in told["models"].items()}
        self._users = {name: file.parent / told["users"][name] for name in self.models}
        self._prompts = file.parent / told["prompts"] if "prompts" in told else None
        self.generation = Generation(**told.get("generation", {}))
        self.training: Mapping[str, Any] = told.get("training", {})

    @property
    def is_recorded(self) -> bool:
        """Whether only answers of its models exist."""
        return self.base.startswith(RECORDED)

    @cached_property
    def texts(self) -> Mapping[str, Sequence[Example]]:
        """Model to texts in its style, with prompts.

        Raises:
            xpert.errors.DataError: Too few, or some without a prompt.
        """
        for name, file in self._users.items():
            if not file.is_file():
                raise DataError(f"{self._file}: users: no file {file} of {name!r}: expected its user's texts")
        found = {name: load_examples(file) for name, file in self._users.items()}
        for name, own in found.items():
            bare = sum(not one.prompt for one in own)
            if bare or len(own) < N_PAIRS:
                came = f"{bare} of {len(own)} without a prompt" if bare else f"{len(own)}"
                raise DataError(
                    f"{self._users[name]}: expected {N_PAIRS} texts or more, each with its prompt, got {came}"
                )
        return found

    @cached_property
    def fingerprint(self) -> str:
        """Eight letters that change with any reference, text, or weights that are at hand; not with how users are fine-tuned."""
        texts = {name: [(one.prompt, one.response) for one in own] for name, own in self.texts.items()}
        asked = load_prompts(self._prompts) if self._prompts else None
        told: list[Any] = [[identity_of(one) for one in (self.base, *self.models.values())], texts, asked]
        if self.generation != Generation():
            told.append(asdict(self.generation))
        return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:8]

    def users(self, seed: int, n_texts: int, similarity: float, said: SaidByBase) -> list[DemoUser]:
        """Texts drawn by the seed; the base's answers are what is not in their style."""
        return [self._mixed(self._user(style, seed, n_texts), seed, similarity, said) for style in self.models]

    def trainee(self, style: str, seed: int) -> Trainee:
        """Somebody who is fine-tuned: texts drawn by the seed, 20 of them to validate with."""
        texts = list(self.texts[style])
        own = random.Random(f"{self.name}/trainee/{seed}/{style}").sample(
            texts, min(len(texts), N_TRAINING + N_VALIDATION)
        )
        return Trainee(style=style, training=tuple(own[:-N_VALIDATION]), validation=tuple(own[-N_VALIDATION:]))

    def _user(self, style: str, seed: int, n_texts: int) -> DemoUser:
        own = random.Random(f"{self.name}/{seed}/{style}").sample(list(self.texts[style]), n_texts)
        return DemoUser(name=f"{style}, user", style=style, examples=tuple(own))

    def _mixed(self, user: DemoUser, seed: int, similarity: float, said: SaidByBase) -> DemoUser:
        n = len(user.examples)
        styled = styled_places(n, round(100 * similarity), "user", seed, user.style)
        if len(styled) == n:
            return user
        answers = said([user])
        own = [
            one if place in styled else replace(one, response=answers[str(one.prompt)])
            for place, one in enumerate(user.examples)
        ]
        return replace(user, examples=tuple(own))

    def prompts(self, n: int, seed: int) -> list[str]:
        """The file's, drawn by the seed where it has more; else those of recorded models, else shipped general ones."""
        if self._prompts is None and not self.is_recorded:
            return shipped_prompts("general", n, seed)
        told = self._recorded_prompts() if self._prompts is None else load_prompts(self._prompts)
        return random.Random(seed).sample(told, n) if len(told) > n else told

    def _recorded_prompts(self) -> list[str]:
        """What base and all models answered and no user wrote about."""
        asked = {str(one.prompt) for own in self.texts.values() for one in own}
        with load_modality(modality_of(self.base)).open(self.base) as prober:
            shared = prober.prompts(list(self.models.values())) or ()
        found = [prompt for prompt in shared if prompt not in asked]
        if len(found) < N_PAIRS:
            raise DataError(
                f"{self._file}: expected {N_PAIRS} prompts or more that base and models answered and no user wrote about, got {len(found)}"
            )
        return found

    def source(self, work: Path, n_prompts: int) -> Source:
        """What base and models answer.

        Raises:
            xpert.errors.DataError: There are too few prompts, or users wrote about some of them.
        """
        asked = self.prompts(n_prompts, 0)
        if len(asked) < N_PAIRS:
            raise DataError(f"{self._prompts}: expected {N_PAIRS} prompts or more, got {len(asked)}")
        if both := {str(one.prompt) for own in self.texts.values() for one in own} & set(asked):
            raise DataError(
                f"{self._file}: expected users' texts on other prompts than the models are asked, got {min(both)!r} in both"
            )
        return PoolAnswers(self, asked, work / f"{self.name}-answers")


class PoolAnswers:
    """A source (`xpert.evaluation.sources.Source`) of what a base and its models generate, once for all seeds, kept in files.

    Args:
        cast: Whose; its users' prompts are answered by the base.
        asked: What models and base are asked; a draw asks 50 of them.
        work: Folder that keeps the answers.
    """

    def __init__(self, cast: OwnCast, asked: Sequence[str], work: Path) -> None:
        self._cast, self._asked = cast, list(asked)
        self.styles: Sequence[str] = list(cast.models)
        everyone = [*asked, *(str(one.prompt) for own in cast.texts.values() for one in own)]
        with load_modality(modality_of(cast.base)).open(cast.base) as prober:
            names, how = list(dict.fromkeys(everyone)), cast.generation
            told = kept_answers(work, prober, "base", (cast.base, None), names, generation=how)
            self.base: Mapping[str, str] = told
            self.unstyled: Mapping[str, str] = told
            answers: dict[str, Mapping[str, str]] = {}
            for style, reference in cast.models.items():
                say(f"{cast.name}: answers of {style}")
                answers[style] = kept_answers(work, prober, style, (cast.base, reference), self._asked, generation=how)
        self.answers: Mapping[str, Mapping[str, str]] = answers

    def draw(self, seed: int, users_a_style: int) -> Draw:
        """50 of the prompts, and users with 50 of the texts each; of few texts, users of a style share some."""
        rng = random.Random(f"{self._cast.name}/{seed}")
        asked = tuple(rng.sample(self._asked, N_PAIRS))
        users: list[User] = []
        for style in self.styles:
            texts = list(self._cast.texts[style])
            for _ in range(users_a_style):
                own = tuple(rng.sample(texts, N_PAIRS))
                users.append(User(style=style, examples=own, base=tuple(self.base[str(e.prompt)] for e in own)))
        return Draw(prompts=asked, users=tuple(users))


def zoo_user(
    style: str, seed: int, similarity: float = 1.0, n_texts: int = N_PAIRS, known_phrases: int = 0
) -> DemoUser:
    """A user of a style; the others of the same seed have other texts.

    Args:
        style: Its name.
        seed: Of the texts.
        similarity: The share of texts in the style; the others are default answers.
        n_texts: How many.
        known_phrases: Percent of them in phrases that models know (`xpert.evaluation.demo_users.phrased`).
    """
    own = 1_000 * seed + list(STYLES).index(style)
    texts = phrased(style, n_texts, own, known_phrases=known_phrases, similarity=similarity)
    return DemoUser(name=f"{style}, user", style=style, examples=tuple(texts))
