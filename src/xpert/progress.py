"""Progress on standard error: bars on a terminal; in a log one line a stage that takes long, and then one a minute."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

__all__ = ["bar", "quiet", "say", "track"]

T = TypeVar("T")

FIRST_LINE_S, LINE_EVERY_S = 10.0, 60.0
"""When a stage first tells of itself in a log, and how often from then on. Short stages leave no line."""

_CLEAR = "\r\x1b[2K"
"""Empties the line where the cursor is."""

_inside = threading.local()
_quiet = threading.Event()


def track(items: Iterable[T], description: str, *, unit: str) -> Iterator[T]:
    """Yield the items, with a bar that shows how many are done and the time left; in a log, with a line that the stage began.

    Args:
        items: What is done one after another.
        description: The stage; without one nothing is shown.
        unit: What is counted, one of it.
    """
    if not description or _quiet.is_set():
        yield from items
        return
    if not sys.stderr.isatty():
        with _logged(description, unit, _length(items)) as moved:
            for item in items:
                yield item
                moved("")
        return
    from rich.console import Console
    from rich.progress import track as rich_track

    yield from rich_track(items, description=description, console=Console(stderr=True), transient=True)


@contextmanager
def bar(description: str, total: int, done: int = 0, *, unit: str) -> Iterator[Callable[[str], None]]:
    """A bar of so many units that the caller moves: each call of what it yields counts one more done, and shows a note (a loss, say)."""
    if _quiet.is_set():
        yield lambda note: None
        return
    if not sys.stderr.isatty():
        with _logged(description, unit, total, done) as moved:
            yield moved
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    counted = (MofNCompleteColumn(), TextColumn(_units(unit, total)), TextColumn("{task.fields[note]}"))
    columns = (TextColumn("{task.description}"), BarColumn(), *counted)
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(description, total=total, completed=done, note="")
        yield lambda note: progress.update(task, advance=1, note=note)


def quiet() -> None:
    """No bars and no stages in this process from now on, only what is said: for one of several that share a terminal, of which another may have a bar."""
    _quiet.set()


def say(message: str) -> None:
    """One line on standard error; a quiet process' takes the place of the bar, which is drawn again below it."""
    instead = _CLEAR if _quiet.is_set() and sys.stderr.isatty() else ""
    print(f"{instead}{message}", file=sys.stderr, flush=True)


@contextmanager
def _logged(description: str, unit: str, total: int | None, done: int = 0) -> Iterator[Callable[[str], None]]:
    """A stage in a log: a line once it has taken `FIRST_LINE_S`, even within its first item; a stage within a stage is silent."""
    if getattr(_inside, "stage", False):
        yield lambda note: None
        return
    told, count = time.monotonic(), done
    units = _units(unit, total)
    of = "" if total is None else f" of {total}"
    timer = threading.Timer(FIRST_LINE_S, say, [f"{description}{'' if total is None else f' ({total} {units})'} ..."])
    timer.daemon = True

    def moved(note: str) -> None:
        nonlocal told, count
        count += 1
        if time.monotonic() - told >= LINE_EVERY_S:
            told = time.monotonic()
            say(f"{description}: {count}{of} {units}{'  ' if note else ''}{note}")

    _inside.stage = True
    timer.start()
    try:
        yield moved
    finally:
        timer.cancel()
        _inside.stage = False


def _length(items: Iterable[object]) -> int | None:
    return len(items) if hasattr(items, "__len__") else None  # type: ignore[arg-type]


def _units(unit: str, total: int | None) -> str:
    """The word for so many; an unknown number counts as several."""
    return unit if total == 1 else f"{unit}es" if unit.endswith("ch") else f"{unit}s"
