"""Whole texts into an encoder: cut into chunks, each chunk's embedding of unit norm, the mean over chunks weighted by tokens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from xpert.errors import DataError, WeightsError
from xpert.progress import track
from xpert.summarizers.batching import batches
from xpert.types import Array

__all__ = ["chunked", "encode_whole", "finite_units"]


def encode_whole(
    texts: Sequence[str],
    forward: Callable[[Sequence[Sequence[int]]], Array],
    *,
    tokenizer: Any,
    max_tokens: int,
    width: int,
    token_budget: int,
    batch_size: int | None,
    name: str,
) -> Array:
    """``(N, D)`` float32 embeddings of whole texts: the mean of their chunks' unit vectors, weighted by tokens.

    Args:
        texts: ``N`` texts of any length.
        forward: Rows of token ids, special ones included, to their embeddings ``(B, D)``.
        tokenizer: The encoder's.
        max_tokens: Longest chunk, special tokens included.
        width: ``D``.
        token_budget: Tokens in a batch at most, padding included.
        batch_size: Chunks in a batch at most; None: the budget alone decides.
        name: Whose embeddings they are, for messages.

    Raises:
        xpert.errors.WeightsError: An embedding is not finite.
        xpert.errors.DataError: A text is longer than a chunk, and the tokenizer cannot chunk.
    """
    if not texts:
        return np.zeros((0, width), np.float32)
    chunks, owners = chunked(tokenizer, texts, max_tokens)
    rows = np.zeros((len(chunks), width), np.float32)
    plan = list(batches([len(c) for c in chunks], token_budget=token_budget, batch_size=batch_size))
    for batch in track(plan, "encoding", unit="batch"):
        rows[batch] = forward([chunks[i] for i in batch])
    units = finite_units(rows, name)
    weights = np.array([len(chunk) for chunk in chunks], np.float64)
    pooled = np.zeros((len(texts), width), np.float64)
    np.add.at(pooled, owners, units * weights[:, None])
    return (pooled / np.bincount(owners, weights)[:, None]).astype(np.float32)


def chunked(tokenizer: Any, texts: Sequence[str], max_tokens: int) -> tuple[list[list[int]], list[int]]:
    """Token ids of every chunk, special tokens included, and the text that each belongs to.

    Raises:
        xpert.errors.DataError: A text is longer than a chunk, and the tokenizer cannot chunk (it is no fast one).
    """
    if not getattr(tokenizer, "is_fast", False):
        rows = tokenizer(list(texts), verbose=False)["input_ids"]
        if long := [i for i, row in enumerate(rows) if len(row) > max_tokens]:
            raise DataError(
                f"text {texts[long[0]][:60]!r}: {len(rows[long[0]])} tokens, expected {max_tokens} at most: "
                "shorten it, or take an encoder with a fast tokenizer (tokenizer.json), which chunks long texts"
            )
        return [list(row) for row in rows], list(range(len(rows)))
    encoded = tokenizer(list(texts), truncation=True, max_length=max_tokens, return_overflowing_tokens=True)
    return [list(row) for row in encoded["input_ids"]], list(encoded["overflow_to_sample_mapping"])


def finite_units(rows: Array, name: str) -> np.ndarray:
    """Rows ``(N, D)`` divided by their norms, float64.

    Raises:
        xpert.errors.WeightsError: One is not finite.
    """
    if not np.isfinite(rows).all():
        raise WeightsError(f"the embeddings of {name} are not finite: its weights hold NaN or infinite values")
    units = rows.astype(np.float64)
    return units / np.linalg.norm(units, axis=1, keepdims=True).clip(min=1e-12)
