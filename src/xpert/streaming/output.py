"""The output layer in slices of the vocabulary, and single rows of it; it is never in memory as a whole."""

from __future__ import annotations

from typing import Any

import torch

from xpert.streaming.sources import Source
from xpert.streaming.stored import TensorFiles

__all__ = ["StreamedLinear", "StreamedRows"]

SLICE_BYTES = 32 << 20


class StreamedRows:
    """A matrix ``(V, D)`` whose rows are read when they are asked for.

    Attributes:
        shape: ``(V, D)``.
        dtype: As the model holds it.
        device: Where rows go.
    """

    def __init__(self, source: Source, device: torch.device) -> None:
        self._source = source
        self.shape, self.dtype, self.device = torch.Size(source.shape), source.dtype, device

    def __getitem__(self, ids: list[int]) -> torch.Tensor:
        with TensorFiles() as files:
            return self.read(files, ids)

    def read(self, files: TensorFiles, ids: list[int]) -> torch.Tensor:
        """Rows ``(len(ids), D)``."""
        rows = torch.empty((len(ids), self.shape[1]), dtype=self.dtype)
        files.rows(self._source.parts[0], ids, rows)
        return rows.to(self.device)


class StreamedLinear:
    """A linear layer whose weight is not in memory: called, it reads its rows slice by slice.

    Args:
        weight: Where its weight lies.
        bias: Its bias, or None.
        device: Where it computes.

    Attributes:
        weight: What is asked of a layer's weight: its shape, dtype, device, and rows of it.
        bytes_read: From the disk, so far.
    """

    def __init__(self, weight: Source, bias: torch.Tensor | None, device: torch.device) -> None:
        self.weight = StreamedRows(weight, device)
        self.bytes_read = 0
        self._bias, self._source = bias, weight

    def __call__(self, states: torch.Tensor) -> torch.Tensor:
        """``(..., V)`` for hidden states ``(..., D)``."""
        rows, width = self.weight.shape
        part = self._source.parts[0]
        size = max(1, SLICE_BYTES // (width * self.weight.dtype.itemsize))
        out: Any = states.new_empty((*states.shape[:-1], rows))
        memory = torch.empty((min(size, rows), width), dtype=self.weight.dtype)
        with TensorFiles() as files:
            for first in range(0, rows, size):
                n = min(size, rows - first)
                files.fill(part, memory[:n].view(-1), skip=first * width)
                bias = None if self._bias is None else self._bias[first : first + n]
                out[..., first : first + n] = torch.nn.functional.linear(states, memory[:n].to(states.device), bias)
            self.bytes_read += files.bytes_read
        return out
