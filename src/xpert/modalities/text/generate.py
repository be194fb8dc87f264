"""How a causal LM answers prompts: chat template, seeds, batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from xpert.decoding import Arrange, generate, render, row_seed
from xpert.types import Generation

__all__ = ["answers", "second_answers"]


def answers(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[str],
    generation: Generation,
    *,
    draw: str = "first",
    what: str | None = "",
    batch_size: int | None = None,
    arrange: Arrange | None = None,
) -> list[str]:
    """The model's answers, in the order of the prompts.

    Each prompt is put through the tokenizer's chat template if it has one, else taken as it is. Sampling draws from one
    generator a prompt, seeded from (seed, ``draw``, prompt): neither batch size nor the other prompts change an answer.

    Args:
        model: A causal LM in evaluation mode.
        tokenizer: Its tokenizer.
        prompts: What to answer.
        generation: How.
        draw: Another name gives independent samples of the same seed.
        what: Who answers, for the progress bar; None: no bar.
        batch_size: Prompts answered at once; None: as ``generation`` says.
        arrange: See `xpert.decoding.generate`.
    """
    return generate(
        model,
        tokenizer,
        [render(tokenizer, prompt) for prompt in prompts],
        max_new_tokens=generation.max_new_tokens,
        temperature=generation.temperature,
        top_p=generation.top_p,
        seeds=[row_seed(generation.seed, draw, prompt) for prompt in prompts],
        batch_size=batch_size or generation.batch_size,
        description="" if what is None else f"answering as {what}" if what else "answering",
        arrange=arrange,
    )


def second_answers(model: Any, tokenizer: Any, prompts: Sequence[str], generation: Generation) -> list[str]:
    """Independent answers to the same prompts, sampled from the model's whole distribution (temperature 1)."""
    whole = replace(generation, temperature=1.0, top_p=1.0)
    return answers(model, tokenizer, prompts, whole, draw="second", what="the base, a second time")
