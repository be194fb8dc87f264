"""Progress bars on standard error; silent where standard error is no terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

__all__ = ["say", "track"]

T = TypeVar("T")


def track(items: Iterable[T], description: str, *, total: float | None = None) -> Iterator[T]:
    """Yield the items, with a bar that shows how many are done and the time left."""
    if not sys.stderr.isatty():
        yield from items
        return
    from rich.console import Console
    from rich.progress import track as rich_track

    yield from rich_track(items, description=description, total=total, console=Console(stderr=True), transient=True)


def say(message: str) -> None:
    """One line on standard error."""
    print(message, file=sys.stderr, flush=True)
