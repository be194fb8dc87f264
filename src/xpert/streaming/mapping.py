"""Stored tensors as they lie in the file: mapped, not copied, and brought into memory before anybody computes with them.

A mapped page belongs to the system's file cache: it takes no memory of the process's own, and nothing is copied. The system is asked
to bring the pages in (``MADV_POPULATE_READ``, Linux 5.14), which says when the disk cannot, where plain access would kill the process.
Python's own ``mmap`` would keep a file open for each mapping.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import sys
import weakref
from collections.abc import Callable
from functools import cache
from typing import Any

import torch

__all__ = ["can_map", "mapped"]

_POPULATE_READ = 22
_FAILED = ctypes.c_void_p(-1).value


def can_map() -> bool:
    """Whether this system brings mapped pages in when asked to."""
    return _system() is not None


def mapped(number: int, start: int, n_bytes: int, *, piece: int, stopped: Callable[[], bool]) -> torch.Tensor | None:
    """``(n_bytes,)`` uint8: a stretch of a file, in memory; None if ``stopped`` said so on the way.

    Writing to it does not change the file. It is unmapped when no tensor uses it any more.

    Args:
        number: The open file's.
        start: Where the stretch begins, in bytes.
        n_bytes: How long it is; the file has so many.
        piece: Bytes that are brought in between two looks at ``stopped``.
        stopped: Whether to give up.

    Raises:
        OSError: The disk gives an error, or the system maps no more.
    """
    system = _system()
    first = start - start % mmap.PAGESIZE
    length = start - first + n_bytes
    address = system.mmap(None, length, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_PRIVATE, number, first)
    if address == _FAILED:
        raise _error()
    pages = (ctypes.c_char * length).from_address(address)
    weakref.finalize(pages, system.munmap, address, length).atexit = False
    for done in range(0, length, piece):
        if stopped():
            return None
        _bring_in(address + done, min(piece, length - done))
    return torch.frombuffer(pages, dtype=torch.uint8)[start - first :]


def _bring_in(address: int, n_bytes: int) -> None:
    while _system().madvise(address, n_bytes, _POPULATE_READ):
        error = _error()
        if error.errno not in (errno.EINTR, errno.EAGAIN):
            raise error


def _error() -> OSError:
    number = ctypes.get_errno()
    number = errno.EIO if number == errno.EFAULT else number  # access would have been a bus error
    return OSError(number, os.strerror(number))


@cache
def _system() -> Any:
    """The system's calls, during which other threads go on; None where `_POPULATE_READ` is not known."""
    if sys.platform != "linux" or sys.maxsize < 1 << 32:
        return None
    system = ctypes.CDLL(None, use_errno=True)
    integer, size, pointer = ctypes.c_int, ctypes.c_size_t, ctypes.c_void_p
    system.mmap.argtypes, system.mmap.restype = [pointer, size, integer, integer, integer, ctypes.c_long], pointer
    system.munmap.argtypes, system.munmap.restype = [pointer, size], integer
    system.madvise.argtypes, system.madvise.restype = [pointer, size, integer], integer
    page = system.mmap(None, mmap.PAGESIZE, mmap.PROT_READ, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1, 0)
    known = page != _FAILED and system.madvise(page, mmap.PAGESIZE, _POPULATE_READ) == 0
    if page != _FAILED:
        system.munmap(page, mmap.PAGESIZE)
    return system if known else None
