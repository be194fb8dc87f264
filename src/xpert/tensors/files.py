"""Files and folders that appear whole or not at all, and their SHA-256."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from xpert.errors import SettingsError

__all__ = ["atomic_folder", "check_space", "sha256_bytes", "sha256_file", "write_bytes", "write_text"]


def sha256_bytes(data: bytes) -> str:
    """Hexadecimal SHA-256 of the data.

    >>> sha256_bytes(b"")[:8]
    'e3b0c442'
    """
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: str | Path) -> str:
    """Hexadecimal SHA-256 of a file, read a megabyte at a time."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def write_bytes(path: str | Path, data: bytes) -> Path:
    """Write a file under a temporary name beside the target, then rename it: readers see the old or the new content."""
    path = Path(path)
    temporary = _sibling(path)
    try:
        with open(temporary, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()
    return path


def write_text(path: str | Path, text: str) -> Path:
    """`write_bytes` of the text in UTF-8, newlines as they are."""
    return write_bytes(path, text.encode("utf-8"))


def check_space(folder: str | Path, n_bytes: int) -> None:
    """Whether a disk has room, asked before anything is written.

    Args:
        folder: Where it will be written; it need not exist yet.
        n_bytes: How much.

    Raises:
        xpert.errors.SettingsError: There is less.
    """
    place = Path(os.path.abspath(folder))
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if free < n_bytes:
        raise SettingsError(
            f"out: {folder} needs {n_bytes / 1e9:.3f} GB, its disk has {free / 1e9:.3f} GB left: free some, or give another folder"
        )


@contextmanager
def atomic_folder(target: str | Path) -> Iterator[Path]:
    """A new empty folder beside ``target`` that takes its place when the block ends without an error.

    What stood at ``target`` (a folder) is replaced only then, and stays as it was after an error. Whether it may be
    replaced is the caller's to check first. Missing parents are made.

    Yields:
        The temporary folder to write into.
    """
    target = Path(os.path.abspath(target))
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary, previous = _sibling(target), _sibling(target)
    temporary.mkdir()
    try:
        yield temporary
        if target.exists():
            os.rename(target, previous)
        try:
            os.rename(temporary, target)
        except OSError:
            if previous.exists():
                os.rename(previous, target)
            raise
        shutil.rmtree(previous, ignore_errors=True)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _sibling(path: Path) -> Path:
    return path.with_name(f".{path.name}.{uuid4().hex[:12]}.tmp")
