"""Independent cells of an experiment, one after another here or side by side in processes of one thread each.

A cell leaves what it finds in the work folder, under a name of its own, so that the order in which cells end is not seen in a result,
and what an interrupted run had finished is there. The number of workers, if more than one, is seen in seconds alone.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.util import Finalize
from pathlib import Path
from typing import Any

from xpert.errors import SettingsError, WorkerError
from xpert.evaluation.keeping import kept, read_kept
from xpert.evaluation.presets import Preset
from xpert.evaluation.setting import USUAL, Setting
from xpert.evaluation.suite.context import Context
from xpert.progress import bar, quiet

__all__ = ["MOST", "check_workers", "in_workers", "kept_cells", "usual_workers"]

MOST = 4
"""Workers at most where nobody says how many: each holds PyTorch and what it has loaded in memory of its own."""

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_own: list[Context] = []
"""In a worker: the context that its cells share."""


def check_workers(n: int) -> None:
    """Whether so many workers can be had.

    Raises:
        xpert.errors.SettingsError: They cannot.
    """
    if n < 1:
        raise SettingsError(f"workers: expected 1 or more, got {n}")


def usual_workers(setting: Setting) -> int:
    """How many share the cells where nobody says: one a core that this process may use, `MOST` at most.

    One where the summarizer is not the usual one: each worker would load it for itself, and it may have billions of parameters.
    """
    return min(_cores(), MOST) if setting.summarizer == USUAL.summarizer else 1


def _cores() -> int:
    """That this process may use; all of the machine's where the system does not tell."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def kept_cells(
    context: Context,
    cell: Callable[..., Any],
    files: Mapping[tuple[Any, ...], Path],
    *,
    prepare: Callable[[Sequence[tuple[Any, ...]]], None] | None = None,
) -> list[Any]:
    """The JSON values of all cells, in the order of ``files``; those that are not there yet are made (`in_workers`) and kept as they come.

    Args:
        context: Of the run.
        cell: A function of a module: ``cell(context, *arguments)`` gives a JSON value.
        files: A cell's arguments to its file (`xpert.evaluation.keeping.kept`).
        prepare: Called once, in this process, with the arguments of the cells that are to be made, if there are any: what several of
            them would write into the same files must be there before they begin.

    Raises:
        xpert.errors.XpertError: As `in_workers`.
    """
    waiting = [arguments for arguments, file in files.items() if not file.is_file()]
    if waiting and prepare is not None:
        prepare(waiting)
    in_workers(context, _keep, [(cell, files[arguments], arguments) for arguments in waiting])
    return [read_kept(file) for file in files.values()]


def _keep(context: Context, cell: Callable[..., Any], file: Path, arguments: tuple[Any, ...]) -> None:
    kept(file, lambda: cell(context, *arguments))


def in_workers(
    context: Context, cell: Callable[..., None], cells: Sequence[tuple[Any, ...]], *, unit: str = "cell"
) -> None:
    """Call ``cell(context, *arguments)`` for each of the cells.

    With one worker, in this process, with the context and the threads it has. With more, even a single cell in new processes with one thread each,
    which import the caller's main module: a script of your own needs ``if __name__ == "__main__":``. Each of them loads
    its own summarizers; what `Context` keeps in files and several cells need must be there before. They show no bars; this
    process has one, over the cells.

    Args:
        context: Of the run; `Context.workers` tells how many.
        cell: A function of a module. It writes what it finds into the work folder.
        cells: Its arguments after the context, a tuple a cell.
        unit: What a cell is, one of it, for the bar.

    Raises:
        xpert.errors.WorkerError: A worker was ended from outside, as where memory is short.
        xpert.errors.XpertError: Whatever a cell raises: the first to fail, told when those that have begun are
            done; the others are left.
    """
    if context.workers <= 1:
        for arguments in cells:
            cell(context, *arguments)
        return
    if not cells:
        return
    n = min(context.workers, len(cells))
    context.processes = max(context.processes, n)
    with _processes(context, n) as pool:
        waiting = [pool.submit(_called, cell, arguments) for arguments in cells]
        try:
            _wait(waiting, context.experiment or "in workers", unit)
        except BrokenProcessPool:
            raise WorkerError(
                f"a worker ended before its cell did ({n} workers; short of memory?): "
                "what is finished is kept, the same command with fewer workers goes on"
            ) from None


def _wait(waiting: Sequence[Future[None]], description: str, unit: str) -> None:
    with bar(description, len(waiting), unit=unit) as advance:
        for one in as_completed(waiting):
            one.result()
            advance("")


@contextmanager
def _processes(context: Context, n: int) -> Iterator[ProcessPoolExecutor]:
    """New processes, which begin with one thread; left early, cells that have not begun are dropped, and where the run is ended from
    outside (Ctrl-C; SIGTERM, as the command line takes it) those that have begun too.
    """
    others = multiprocessing.active_children()
    pool = ProcessPoolExecutor(
        n,
        mp_context=multiprocessing.get_context("spawn"),  # a fork of a process with threads may hang
        initializer=_begin,
        initargs=(context.preset, context.seed, context.work, context.setting),
    )
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, "1"))  # read when a worker imports numpy, before any code of ours
    try:
        yield pool
    except (KeyboardInterrupt, SystemExit):
        for worker in multiprocessing.active_children():
            if worker not in others:
                worker.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _begin(preset: Preset, seed: int, work: Path, setting: Setting) -> None:
    """Once in each worker: one thread, a context of its own, and an end when the run is killed."""
    import torch

    torch.set_num_threads(1)
    quiet()
    signal.signal(signal.SIGINT, lambda *_: os._exit(1))  # Ctrl+C comes to all: the run itself tells of it
    threading.Thread(target=_end_with_parent, daemon=True).start()
    context = Context(preset=preset, seed=seed, work=work, setting=setting)
    Finalize(None, context.__exit__, exitpriority=1)
    _own.append(context)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _called(cell: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    cell(_own[0], *arguments)
