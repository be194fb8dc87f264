"""Prefixes that many questions share, read once: their key-value caches, kept in memory under a byte budget.

All models of a catalog are compared with the same base answers, so the question about prompt ``p`` begins alike for each of them:
instruction, base answer, and whatever stands before the other answer. Keys and values at a position depend on the tokens up to it
alone, so they may be taken from another row with the same first tokens. Equality is checked on token ids, row by row.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers.cache_utils import DynamicCache, DynamicLayer

from xpert.decoding import left_padded
from xpert.decoding_cache import left_joined
from xpert.loading import decoder_of

__all__ = ["PrefixCache", "joined_cache", "prefix_states", "shared_length"]

Layers = tuple[tuple[torch.Tensor, torch.Tensor], ...]
"""One a layer: keys and values ``(H, n, D)`` of a row's first ``n`` tokens."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Prefix:
    tokens: tuple[int, ...]
    layers: Layers

    @property
    def n_bytes(self) -> int:
        return sum(part.nbytes for layer in self.layers for part in layer)


class PrefixCache:
    """Prefixes by their text, the least recently used going first when the budget is full.

    What a row gives must not depend on what was asked before, to the last bit: a killed run that goes on ends where an
    undisturbed one does. So a prefix is always read alone (a batch of one), and a call uses prefixes for all its rows or, where
    they do not all fit, for none.

    Args:
        max_bytes: Keys and values held at most; 0: none.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._kept: OrderedDict[str, _Prefix] = OrderedDict()
        self.supported = max_bytes > 0

    @property
    def n_bytes(self) -> int:
        """Bytes of keys and values held."""
        return sum(prefix.n_bytes for prefix in self._kept.values())

    def fits(self, n_bytes: int) -> bool:
        """Whether the prefixes of one call, so large together, may be held."""
        return self.supported and n_bytes <= self._max_bytes

    def missing(self, heads: Sequence[str]) -> list[str]:
        """Which of the heads are not held yet; those that are become the most recently used."""
        different = dict.fromkeys(heads)
        for head in different:
            if head in self._kept:
                self._kept.move_to_end(head)
        return [head for head in different if head not in self._kept]

    def keep(self, head: str, tokens: Sequence[int], layers: Layers) -> None:
        """Hold a prefix; others leave until the budget is met."""
        prefix = _Prefix(tokens=tuple(tokens), layers=layers)
        self._kept[head] = prefix
        held = self.n_bytes
        while held > self._max_bytes:
            held -= self._kept.popitem(last=False)[1].n_bytes

    def find(self, head: str, row: Sequence[int]) -> Layers | None:
        """Keys and values of as many first tokens of the row as a held prefix shares with it; the last token is always left."""
        prefix = self._kept.get(head)
        if prefix is None:
            return None
        n = min(shared_length(prefix.tokens, row), len(row) - 1)
        if n == len(prefix.tokens):
            return prefix.layers
        return tuple((keys[:, :n], values[:, :n]) for keys, values in prefix.layers) if n else None


def shared_length(a: Sequence[int], b: Sequence[int]) -> int:
    """How many first tokens two rows share.

    >>> shared_length([1, 2, 3], [1, 2, 4, 5])
    2
    """
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))


def prefix_states(model: Any, rows: Sequence[Sequence[int]], pad_id: int) -> list[Layers] | None:
    """Keys and values of rows of token ids; None where the model's cache is of another kind than one plain layer a layer."""
    ids, mask = left_padded(rows, pad_id, model.device)
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    cache = decoder_of(model)(
        input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=True
    ).past_key_values
    layers: Any = getattr(cache, "layers", None)
    if not layers or any(type(layer) is not DynamicLayer for layer in layers):
        return None
    return [
        tuple((layer.keys[i, :, -len(row) :].clone(), layer.values[i, :, -len(row) :].clone()) for layer in layers)
        for i, row in enumerate(rows)
    ]


def joined_cache(prefixes: Sequence[Layers]) -> tuple[Any, torch.Tensor]:
    """Prefixes of several rows as one cache, padded on the left, and its mask ``(B, n)`` int64."""
    lengths = [layers[0][0].shape[1] for layers in prefixes]
    longest, cache = max(lengths), DynamicCache()
    first = prefixes[0][0][0]
    mask = torch.zeros((len(prefixes), longest), dtype=torch.long, device=first.device)
    for i, n in enumerate(lengths):
        mask[i, longest - n :] = 1
    for number in range(len(prefixes[0])):
        keys, values = (left_joined([layers[number][side] for layers in prefixes]) for side in (0, 1))
        cache.update(keys, values, number)
    return cache, mask
