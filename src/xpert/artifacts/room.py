"""Room on the disk, looked for before something large is written."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from xpert.errors import TrainingError

__all__ = ["full_disk_told", "require_room"]

_SPARE = 1 << 20


def require_room(folder: Path, n_bytes: int, what: str) -> None:
    """Raise unless so many bytes fit on the disk of a folder (or of its nearest parent that exists).

    Raises:
        xpert.errors.TrainingError: They do not.
    """
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(there).free
    if free < n_bytes + _SPARE:
        raise TrainingError(
            f"{folder}: {what} needs {(n_bytes + _SPARE) / 1e6:.0f} MB, the disk has {free / 1e6:.0f} MB left: free some; "
            "what was written before is intact"
        )


@contextmanager
def full_disk_told(folder: Path) -> Iterator[None]:
    """A disk that fills up while something is written, as our own error.

    Raises:
        xpert.errors.TrainingError: It did.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise TrainingError(
            f"{folder}: the disk is full: free some, and go on with resume; what was written before is intact"
        ) from error
