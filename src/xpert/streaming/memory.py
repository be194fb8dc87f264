"""Memory that lasts longer than a layer's own: from the system itself, apart from where the computation allocates.

Between what a layer allocates and frees it would keep gaps from being given back: a process then holds twice what it uses.
"""

from __future__ import annotations

import mmap

import torch

__all__ = ["lasting", "new_memory"]

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
