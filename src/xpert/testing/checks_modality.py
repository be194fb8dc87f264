"""The contract of a modality: call `check_modality` in the tests of your own."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from xpert.errors import ReferenceNotFoundError
from xpert.protocols import Modality, Prober, ReferenceModality
from xpert.types import Generation

__all__ = ["check_modality"]


def check_modality(
    modality: Modality,
    base: str,
    adapter: str,
    *,
    prompts: Sequence[str] | None = None,
    generation: Generation | None = None,
    missing: str = "./no-such-model-anywhere",
) -> None:
    """Assert that a modality keeps the contract of `xpert.protocols.Modality` and ``Prober``.

    Args:
        modality: The modality.
        base: Reference of a base model.
        adapter: Reference of a personalized model of it that answers otherwise.
        prompts: At least three different prompts; None: those that the base brings, else three short ones.
        generation: How to answer; None: 8 new tokens. Answers are compared to the bit: a modality whose answers depend on the
            batch size must fill its batches.
        missing: A reference that names nothing.

    Raises:
        AssertionError: A rule is broken; the message says which.
    """
    generation = generation or Generation(max_new_tokens=8)
    assert modality.name, "a modality needs a name"
    if isinstance(modality, ReferenceModality):
        assert modality.accepts(base), "a modality that tells its bases must accept this one"
    with modality.open(base) as prober:
        asked = list(
            prompts or prober.prompts([adapter]) or ["Say hello.", "What is rain?", "Count to three, slowly."]
        )[:4]
        assert len(set(asked)) >= 3, "check_modality needs three different prompts"
        _check_answers(prober, adapter, asked, generation)
        _check_card(prober, base, adapter)
        _check_second(prober, asked, generation)
        _check_unknown(prober, missing, asked, generation)
        _check_many(prober, adapter, asked, generation)
        _check_settings(modality, prober)
    with modality.open(base) as fresh, modality.open(base) as other:
        assert fresh.answer(adapter, asked, generation) == other.answer(adapter, asked, generation), (
            "two bases opened at once must answer alike"
        )


def _check_answers(prober: Prober, adapter: str, prompts: list[str], generation: Generation) -> None:
    base = prober.answer(None, prompts, generation)
    assert len(base) == len(prompts), "one answer a prompt"
    assert all(isinstance(answer, str) for answer in base), "answers are texts, or images as data URIs"
    other = prober.answer(adapter, prompts, generation)
    assert other != base, "the personalized model answers exactly as the base: is it applied at all?"
    assert prober.answer(None, prompts, generation) == base, "the base must answer as before after a model was asked"
    assert prober.answer(adapter, prompts, generation) == other, "two runs must agree"
    assert prober.answer(adapter, prompts[::-1], generation) == other[::-1], "answers must follow the prompts' order"
    single = [prober.answer(adapter, [prompt], generation)[0] for prompt in prompts]
    assert single == other, "an answer must not depend on the prompts beside it"


def _check_many(prober: Prober, adapter: str, prompts: list[str], generation: Generation) -> None:
    """Probers may answer for several models at once (``answer_many``); where one does, nothing but time may differ."""
    answer_many: Any = getattr(prober, "answer_many", None)
    if answer_many is None:
        return
    base, alone = prober.answer(None, prompts, generation), prober.answer(adapter, prompts, generation)
    found = list(answer_many([adapter, adapter], prompts, generation))
    assert [reference for reference, _ in found] == [adapter, adapter], "answer_many: one result a reference"
    assert all(answers == alone for _, answers in found), "answer_many: each model's answers are those of `answer`"
    assert list(answer_many([], prompts, generation)) == [], "answer_many: no references, no answers"
    assert prober.answer(None, prompts, generation) == base, "answer_many: the base must answer as before afterwards"


def _check_settings(modality: Modality, prober: Prober) -> None:
    """Options that answers depend on are JSON values, and make the modality again."""
    settings: Any = getattr(prober, "settings", None)
    if not settings:
        return
    assert json.loads(json.dumps(settings)) == settings, "settings are JSON values"
    make: Any = type(modality)
    again: Any = make(**settings)
    assert all(getattr(again, name) == value for name, value in settings.items()), "settings make the modality again"


def _check_card(prober: Prober, base: str, adapter: str) -> None:
    card = prober.card("some name", adapter)
    assert card.name == "some name", "the card carries the name that was given"
    assert card.reference == adapter, "the card carries the reference"
    assert card.base == base, "the card names the base"
    assert card.bytes > 0, "the card says what must be downloaded"
    assert len(card.sha256) == 64, "the card carries a SHA-256"
    assert card == prober.card("some name", adapter), "two cards must agree"


def _check_second(prober: Prober, prompts: list[str], generation: Generation) -> None:
    answers, how = prober.second_answer(prompts, generation)
    assert len(answers) == len(prompts), "one second answer a prompt"
    assert how, "second answers say how they were made"
    assert (answers, how) == prober.second_answer(prompts, generation), "second answers come from the seed"


def _check_unknown(prober: Prober, missing: str, prompts: list[str], generation: Generation) -> None:
    for ask in (
        lambda: prober.card("x", missing),
        lambda: prober.answer(missing, prompts, generation),
    ):
        try:
            ask()
        except ReferenceNotFoundError:
            continue
        raise AssertionError("a reference that names nothing: expected ReferenceNotFoundError")
