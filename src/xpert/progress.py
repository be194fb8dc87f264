"""Progress on standard error: bars on a terminal; in a log one line a stage that takes long, and then one a minute."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

__all__ = ["bar", "say", "track"]

T = TypeVar("T")

FIRST_LINE_S, LINE_EVERY_S = 10.0, 60.0
"""When a stage first tells of itself in a log, and how often from then on. Short stages leave no line."""

_inside = threading.local()


def track(items: Iterable[T], description: str, *, total: float | None = None) -> Iterator[T]:
    """Yield the items, with a bar that shows how many are done and the time left; in a log, with a line that the stage began.

    Without a description nothing is shown.
    """
    if not description:
        yield from items
        return
    if not sys.stderr.isatty():
        with _logged(description, _length(items, total)) as moved:
            for item in items:
                yield item
                moved("")
        return
    from rich.console import Console
    from rich.progress import track as rich_track

    yield from rich_track(items, description=description, total=total, console=Console(stderr=True), transient=True)


@contextmanager
def bar(description: str, total: int, done: int = 0) -> Iterator[Callable[[str], None]]:
    """A bar that the caller moves: each call of what it yields counts one more done, and shows a note (a loss, say)."""
    if not sys.stderr.isatty():
        with _logged(description, total, done) as moved:
            yield moved
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


@contextmanager
def _logged(description: str, total: int | None, done: int = 0) -> Iterator[Callable[[str], None]]:
    """A stage in a log: a line once it has taken `FIRST_LINE_S`, even within its first item; a stage within a stage is silent."""
    if getattr(_inside, "stage", False):
        yield lambda note: None
        return
    told, count = time.monotonic(), done
    of = "" if total is None else f" of {total}"
    timer = threading.Timer(FIRST_LINE_S, say, [f"{description}{'' if total is None else f' ({total})'} ..."])
    timer.daemon = True

    def moved(note: str) -> None:
        nonlocal told, count
        count += 1
        if time.monotonic() - told >= LINE_EVERY_S:
            told = time.monotonic()
            say(f"{description}: {count}{of}{'  ' if note else ''}{note}")

    _inside.stage = True
    timer.start()
    try:
        yield moved
    finally:
        timer.cancel()
        _inside.stage = False


def _length(items: Iterable[object], total: float | None) -> int | None:
    if total is not None:
        return int(total)
    return len(items) if hasattr(items, "__len__") else None  # type: ignore[arg-type]
