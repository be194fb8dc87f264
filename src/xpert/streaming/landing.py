"""Where tensors that are read come to lie: on the CPU in their file or at once in their place, elsewhere by way of pinned memory."""

from __future__ import annotations

import threading
from collections.abc import Hashable, Sequence
from typing import Any

import torch

from xpert.streaming.mapping import can_map
from xpert.streaming.memory import new_memory
from xpert.streaming.sources import ALIGNED, Source
from xpert.streaming.stored import TensorFiles

__all__ = ["Landing"]


class Landing:
    """Memory for tensors that come and go, used again by the next one of its size.

    On the CPU a tensor that is stored as it is used is not read into memory at all: it is used where it lies in its file, mapped
    while it is needed. What must be converted, expanded, joined or changed by an adapter is read.

    On CUDA a tensor is read into pinned memory and copied on a stream of its own; the computation's stream waits for the copy,
    and a copy waits until the computation is done with what was there before. On other devices (MPS) it is copied plainly.

    Args:
        device: Where the tensors go.
        capacity: Bytes held at most, free ones with them.
    """

    def __init__(self, device: torch.device, capacity: int) -> None:
        self._device, self._capacity = device, capacity
        self._free: dict[int, list[tuple[torch.Tensor, Any]]] = {}
        self._lock = threading.Lock()
        self._staging: torch.Tensor | None = None
        self._stream: Any = torch.cuda.Stream(device) if device.type == "cuda" else None
        self._copied: dict[Hashable, Any] = {}

    def land(self, files: TensorFiles, key: Hashable, sources: Sequence[Source], held: int) -> list[torch.Tensor]:
        """Read the tensors of a unit.

        Args:
            files: The open files.
            key: The unit, for `arrived`.
            sources: What is read.
            held: Bytes that tensors in use or on their way have, these with them.
        """
        read = [source for source in sources if not self._maps(source)]
        memories = iter(self._memories([source.n_bytes for source in read], held))
        tensors = [
            files.mapped(source.parts[0]).view(source.shape)
            if self._maps(source)
            else self._one(files, source, *next(memories))
            for source in sources
        ]
        if self._stream is not None:
            self._copied[key] = self._stream.record_event()
        return tensors

    def _one(self, files: TensorFiles, source: Source, memory: torch.Tensor, used: Any) -> torch.Tensor:
        first = source.alignment
        target = memory[first : first + source.n_bytes].view(source.dtype).view(source.shape)
        if self._device.type == "cpu":
            source.read(files, target)
            return target
        staging = self._staged(source.n_bytes)[: source.n_bytes].view(source.dtype).view(source.shape)
        source.read(files, staging)
        if self._stream is None:
            target.copy_(staging)
            return target
        with torch.cuda.stream(self._stream):
            if used is not None:
                self._stream.wait_event(used)
            target.copy_(staging, non_blocking=True)
        self._stream.synchronize()  # the staging memory is used again for the next one
        return target

    def arrived(self, key: Hashable) -> None:
        """The computation wants a unit: its stream waits for the copies."""
        if self._stream is not None:
            torch.cuda.current_stream(self._device).wait_event(self._copied.pop(key))

    def reuse(self, sources: Sequence[Source], tensors: list[torch.Tensor]) -> None:
        """What the computation needs no more; ``tensors`` is emptied."""
        used = None if self._stream is None else torch.cuda.current_stream(self._device).record_event()
        with self._lock:
            for source, tensor in zip(sources, tensors, strict=True):
                if self._maps(source):
                    continue
                memory = torch.empty(0, dtype=torch.uint8, device=tensor.device).set_(tensor.untyped_storage())
                self._free.setdefault(tensor.nbytes, []).append((memory, used))
        tensors.clear()

    def close(self) -> None:
        """Let all memory go."""
        with self._lock:
            self._free.clear()
        self._staging = None
        self._copied.clear()

    def _maps(self, source: Source) -> bool:
        return self._device.type == "cpu" and source.as_stored and can_map()

    def _memories(self, sizes: Sequence[int], held: int) -> list[tuple[torch.Tensor, Any]]:
        """Memory for tensors of these sizes, used before where there is any; what else is free goes where there is no room for it."""
        with self._lock:
            found = [self._free[size].pop() if self._free.get(size) else None for size in sizes]
            free = sum(size * len(kept) for size, kept in self._free.items())
            for size in sorted(self._free, reverse=True):
                while self._free[size] and held + free > self._capacity:
                    self._free[size].pop()
                    free -= size
        return [
            (new_memory(size + ALIGNED, self._device), None) if one is None else one
            for size, one in zip(sizes, found, strict=True)
        ]

    def _staged(self, n_bytes: int) -> torch.Tensor:
        if self._staging is None or self._staging.numel() < n_bytes:
            self._staging = torch.empty(n_bytes, dtype=torch.uint8, pin_memory=self._stream is not None)
        return self._staging
