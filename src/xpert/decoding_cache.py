"""Key-value caches: one that is written in place (room for all new tokens is made once), and rows' keys laid side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from transformers.cache_utils import DynamicLayer

__all__ = ["left_joined", "make_room"]


class _RoomyLayer(DynamicLayer):
    """A layer's keys and values as views of larger tensors, ``(B, H, T + room, D)``."""

    def __init__(self, layer: DynamicLayer, room: int) -> None:
        super().__init__()
        keys, values = cast(torch.Tensor, layer.keys), cast(torch.Tensor, layer.values)
        self.dtype, self.device, self.is_initialized = keys.dtype, keys.device, True
        self._all = [_enlarged(part, room) for part in (keys, values)]
        self._show(keys.shape[2])

    def update(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write the new states behind the others; gives all so far."""
        first = self.get_seq_length()
        last = first + key_states.shape[2]
        for whole, new in zip(self._all, (key_states, value_states), strict=True):
            whole[:, :, first:last] = new
        return self._show(last)

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        """Keep some rows, in the memory that is there."""
        seen, n = self.get_seq_length(), len(indices)
        for place, whole in enumerate(self._all):
            whole[:n, :, :seen] = whole[:, :, :seen].index_select(0, indices)
            self._all[place] = whole[:n]
        self._show(seen)

    def _show(self, n: int) -> tuple[torch.Tensor, torch.Tensor]:
        self.keys, self.values = (whole[:, :, :n] for whole in self._all)
        return self.keys, self.values


def make_room(cache: Any, n_tokens: int) -> None:
    """Give the cache's plain layers room for so many more tokens; layers of other kinds (sliding windows) stay as they are.

    Args:
        cache: What a model's first forward pass gave; changed in place.
        n_tokens: Tokens to come, at most.
    """
    layers = getattr(cache, "layers", None)
    if isinstance(layers, list):
        for place, layer in enumerate(layers):
            if type(layer) is DynamicLayer and layer.get_seq_length() > 0:
                layers[place] = _RoomyLayer(layer, n_tokens)


def left_joined(parts: Sequence[torch.Tensor]) -> torch.Tensor:
    """Keys (or values) ``(H, n, D)`` of several rows as one tensor ``(B, H, longest, D)``, zeros on the left."""
    longest = max(part.shape[1] for part in parts)
    heads, _, width = parts[0].shape
    whole = parts[0].new_zeros((len(parts), heads, longest, width))
    for i, part in enumerate(parts):
        whole[i, :, longest - part.shape[1] :] = part
    return whole


def _enlarged(part: torch.Tensor, room: int) -> torch.Tensor:
    """The same ``(B, H, T, D)`` at the beginning of ``(B, H, T + room, D)``."""
    rows, heads, n, width = part.shape
    whole = part.new_empty((rows, heads, n + room, width))
    whole[:, :, :n] = part
    return whole
