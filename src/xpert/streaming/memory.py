"""Memory that lasts longer than a layer's own: from the system itself, apart from where the computation allocates.

Between what a layer allocates and frees it would keep gaps from being given back: a process then holds twice what it uses.
"""

from __future__ import annotations

import ctypes
import mmap
from functools import cache
from typing import Any

import torch

__all__ = ["give_back_free_memory", "lasting", "new_memory"]

HUGE_BYTES = 4 << 20
"""From this size on memory is asked for in large pages."""


def new_memory(n_bytes: int, device: torch.device) -> torch.Tensor:
    """``(n_bytes,)`` uint8, uninitialised or zero."""
    if device.type != "cpu" or n_bytes == 0 or not hasattr(mmap, "MAP_PRIVATE"):
        return torch.empty(n_bytes, dtype=torch.uint8, device=device)
    pages = mmap.mmap(-1, n_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_HUGEPAGE") and n_bytes >= HUGE_BYTES:
        pages.madvise(mmap.MADV_HUGEPAGE)
    return torch.frombuffer(pages, dtype=torch.uint8)


def lasting(tensor: torch.Tensor) -> torch.Tensor:
    """A copy of a tensor in such memory."""
    copy = new_memory(tensor.nbytes, tensor.device).view(tensor.dtype).view(tensor.shape)
    return copy.copy_(tensor)


def give_back_free_memory() -> None:
    """What the computation has freed goes back to the system, where its allocator (glibc's) can be asked to; else nothing happens."""
    if (trim := _trim()) is not None:
        trim(0)


@cache
def _trim() -> Any:
    try:
        return ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError, TypeError):
        return None
