"""Progress bars on standard error; silent where standard error is no terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

__all__ = ["bar", "say", "track"]

T = TypeVar("T")


def track(items: Iterable[T], description: str, *, total: float | None = None) -> Iterator[T]:
    """Yield the items, with a bar that shows how many are done and the time left."""
    if not sys.stderr.isatty():
        yield from items
        return
    from rich.console import Console
    from rich.progress import track as rich_track

    yield from rich_track(items, description=description, total=total, console=Console(stderr=True), transient=True)


@contextmanager
def bar(description: str, total: int, done: int = 0) -> Iterator[Callable[[str], None]]:
    """A bar that the caller moves: each call of what it yields counts one more done, and shows a note (a loss, say)."""
    if not sys.stderr.isatty():
        yield lambda note: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[note]}"))
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(description, total=total, completed=done, note="")
        yield lambda note: progress.update(task, advance=1, note=note)


def say(message: str) -> None:
    """One line on standard error."""
    print(message, file=sys.stderr, flush=True)
