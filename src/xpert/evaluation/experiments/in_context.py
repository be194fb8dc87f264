"""Table 10 of the paper: a user's own model against a few of the user's texts in the prompt.

Users ask and write about one domain each: the four files of facts of the zoo's corpus. Who learns from examples in the prompt is the base,
which they stand before the question; drawn at random, as somebody would who does not know how to choose them.

Source: Wang et al., MobiSys 2025 (arXiv 2504.13938), section 7.8: 3 random examples, 5 runs.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from xpert.catalog import Catalog
from xpert.evaluation.starts import PATIENCE
from xpert.modalities import load_modality, modality_of
from xpert.protocols import Prober, Summarizer
from xpert.selector import Selector
from xpert.trainers.torch import TorchTrainer
from xpert.types import Example, Generation
from xpert.zoo.corpus import STYLES, side_questions, write

__all__ = [
    "METHODS",
    "N_SHOTS",
    "REPEATS",
    "DomainAnswers",
    "DomainUser",
    "domain_answers",
    "domain_user",
    "with_examples",
]

N_SHOTS, REPEATS = 3, 5
METHODS = ("base", "in context", "selected", "personalized")
"""The base as it is; the base with examples in the prompt; the selected model as it is; the user's own, trained from the selected one."""

_N_TRAINING, _N_VALIDATION = 40, 10


@dataclass(frozen=True, slots=True, kw_only=True)
class DomainUser:
    """Somebody who writes in one style about one domain.

    Attributes:
        domain: One of `xpert.zoo.corpus.DOMAINS`.
        style: Name of the style; there is a model of it in the zoo.
        training: What to select by, to train on, and to show as examples.
        validation: When training stops.
        test: Texts on questions of the domain that none of the others answers.
    """

    domain: str
    style: str
    training: tuple[Example, ...]
    validation: tuple[Example, ...]
    test: tuple[Example, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DomainAnswers:
    """What the methods answered to a user's test prompts.

    Attributes:
        domain, style: The user's.
        selected: The model that was chosen.
        steps: Of the user's own training.
        prompts, references: The test prompts, and what the user wrote.
        answers: By method, one list a repeat (those that draw nothing have one), each in the order of the prompts.
    """

    domain: str
    style: str
    selected: str
    steps: int
    prompts: Sequence[str]
    references: Sequence[str]
    answers: dict[str, list[list[str]]]


def domain_user(domain: str, number: int, seed: int) -> DomainUser:
    """The user of this number in a domain: a style that the seed draws, the domain's questions that no model of the zoo was trained to answer in a style."""
    rng = random.Random(f"domain user/{domain}/{number}/{seed}")
    style = rng.choice(list(STYLES))
    asked = [question for question in side_questions("users") if question.domain == domain]
    rng.shuffle(asked)
    texts = [
        Example(prompt=q.text, response=write(q, STYLES[style], side="users", seed=rng.randrange(1 << 30)))
        for q in asked
    ]
    first, second = _N_TRAINING, _N_TRAINING + _N_VALIDATION
    return DomainUser(
        domain=domain,
        style=style,
        training=tuple(texts[:first]),
        validation=tuple(texts[first:second]),
        test=tuple(texts[second:]),
    )


def with_examples(prompt: str, shots: Sequence[Example]) -> str:
    """The examples, a line each, question and answer, then the prompt.

    >>> with_examples("And rain?", [Example(prompt="What is snow?", response="Cold, my dear.")]).splitlines()
    ['What is snow? Cold, my dear.', 'And rain?']
    """
    return "\n".join([*(f"{shot.prompt} {shot.response}" for shot in shots), prompt])


def domain_answers(
    user: DomainUser,
    *,
    catalog: Catalog,
    summarizer: str | Summarizer,
    base: str,
    base_answers: Sequence[str] | None,
    out: Path,
    trainer: TorchTrainer,
    seed: int = 0,
) -> DomainAnswers:
    """Select and train for a user, and let every method answer the test prompts (greedy).

    Args:
        user: Who.
        catalog: The pool; its references are asked and trained.
        summarizer: The catalog's.
        base: Reference of the base.
        base_answers: The base's answers to the user's training prompts; None: unpaired.
        out: Folder that gets the user's model.
        trainer: Settings; it stops by the protocol's patience on the validation texts, at ``max_steps`` at the latest.
        seed: Of the examples that are drawn.

    Raises:
        xpert.errors.XpertError: Whatever the steps raise.
    """
    selection = Selector(catalog, summarizer).select(user.training, base_answers)
    start = catalog.card(selection.best).reference
    report = replace(trainer, patience=PATIENCE, target_loss=None).fit(
        start, user.training, validation=user.validation, out=out
    )
    asked = [str(example.prompt) for example in user.test]
    with load_modality(modality_of(base)).open(base) as prober:
        answers = {
            "base": [prober.answer(None, asked, Generation())],
            "in context": _in_context(prober, user, seed),
            "selected": [prober.answer(start, asked, Generation())],
            "personalized": [prober.answer(str(report.out), asked, Generation())],
        }
    return DomainAnswers(
        domain=user.domain,
        style=user.style,
        selected=selection.best,
        steps=report.steps,
        prompts=asked,
        references=[example.response for example in user.test],
        answers=answers,
    )


def _in_context(prober: Prober, user: DomainUser, seed: int) -> list[list[str]]:
    """The base's answers, `REPEATS` times with other examples for every prompt."""
    rng = random.Random(f"in context/{user.domain}/{user.style}/{seed}")
    return [
        prober.answer(
            None,
            [with_examples(str(one.prompt), rng.sample(user.training, N_SHOTS)) for one in user.test],
            Generation(),
        )
        for _ in range(REPEATS)
    ]
