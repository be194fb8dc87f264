"""How well a causal LM foresees texts: the loss of each example, as trainers count it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from xpert.decoding import stop_ids_of
from xpert.errors import DataError, WeightsError
from xpert.rendering import render, token_ids
from xpert.types import Array, Example

__all__ = ["losses_of"]

_TOKENS_AT_ONCE = 4096
"""Tokens of a batch, padding included: the logits of so many positions are in memory at once."""


def losses_of(model: Any, tokenizer: Any, *, what: str) -> Callable[[Sequence[Example]], Array]:
    """A function: examples to ``(N,)`` float32, the mean cross entropy of each response in nats a token.

    A prompt is rendered as it is when a model is probed and carries no loss; the response ends with the token that ends answers. An
    example without a prompt is plain text, all of it foreseen. What is longer than the model reads is cut there.

    Args:
        model: A causal LM in evaluation mode.
        tokenizer: Its tokenizer.
        what: The model's name in messages.
    """
    end = tokenizer.eos_token_id
    if end is None:
        end = min(stop_ids_of(model, tokenizer), default=None)
    longest = getattr(model.config, "max_position_embeddings", None)

    def losses(examples: Sequence[Example]) -> Array:
        rows = [_row(tokenizer, example, number, end, longest) for number, example in enumerate(examples, start=1)]
        found = np.zeros(len(rows), np.float32)
        for chosen in _batches(rows):
            found[chosen] = _losses(model, [rows[i] for i in chosen])
        if not np.isfinite(found).all():
            raise WeightsError(f"{what}: its loss on the examples is not finite: look at its weights")
        return found

    return losses


def _row(tokenizer: Any, example: Example, number: int, end: int | None, longest: int | None) -> tuple[list[int], int]:
    """Token ids, and how many of them carry no loss."""
    prompt = token_ids(tokenizer, [render(tokenizer, example.prompt)])[0] if example.prompt else []
    response = list(tokenizer(example.response, add_special_tokens=not example.prompt, verbose=False)["input_ids"])
    ids = [*prompt, *response, *([] if end is None else [end])][:longest]
    skip = max(len(prompt), 1)
    if not response or len(ids) <= skip:
        raise DataError(f"example {number}: expected a response that the model has room for, got none; remove it")
    return ids, skip


def _batches(rows: Sequence[tuple[list[int], int]]) -> list[list[int]]:
    """Places of rows of similar length, at most `_TOKENS_AT_ONCE` tokens together, or one row."""
    found: list[list[int]] = []
    for i in sorted(range(len(rows)), key=lambda i: len(rows[i][0]), reverse=True):
        if found and (len(found[-1]) + 1) * len(rows[found[-1][0]][0]) <= _TOKENS_AT_ONCE:
            found[-1].append(i)
        else:
            found.append([i])
    return found


def _losses(model: Any, rows: Sequence[tuple[list[int], int]]) -> Array:
    width = max(len(ids) for ids, _ in rows)
    ids, mask = torch.zeros(len(rows), width, dtype=torch.long), torch.zeros(len(rows), width, dtype=torch.long)
    counted = torch.zeros(len(rows), width - 1)
    for i, (own, skip) in enumerate(rows):
        ids[i, : len(own)], mask[i, : len(own)] = torch.tensor(own), 1
        counted[i, skip - 1 : len(own) - 1] = 1.0
    device = next(model.parameters()).device
    ids, counted = ids.to(device), counted.to(device)
    with torch.inference_mode():
        logits = model(input_ids=ids, attention_mask=mask.to(device), use_cache=False).logits[:, :-1]
        told, each = counted.bool(), torch.zeros_like(counted)
        each[told] = torch.nn.functional.cross_entropy(logits[told].float(), ids[:, 1:][told], reduction="none")
        means = (each * counted).sum(1) / counted.sum(1)
    return np.asarray(means.cpu().numpy(), np.float32)
