"""One run of the command line: what a command returns is printed, what it raises becomes one line and an exit code."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import typer

from xpert.cli.app import build
from xpert.cli.command import StoppedError
from xpert.cli.output import Outcome, State, show
from xpert.errors import XpertError

__all__ = ["BAD_INPUT", "INTERRUPTED", "OUR_FAULT", "main"]

OUR_FAULT, BAD_INPUT, INTERRUPTED = 1, 2, 130
_ClickException: Any = typer.BadParameter.__mro__[2]  # newer versions of typer carry their own copy of click
_QUIET = {
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "TOKENIZERS_PARALLELISM": "false",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; nothing but its result reaches standard output.

    Args:
        arguments: As on the command line, without the program's name; None: the process' own.

    Returns:
        The exit code: 0 done, 2 bad usage or bad input, 130 interrupted, 1 anything else.
    """
    state = State()
    try:
        with _quiet(), _ended_like_interrupted():
            outcome = build().main(
                args=list(sys.argv[1:] if arguments is None else arguments) or ["--help"],
                prog_name="xpert",
                standalone_mode=False,
                obj=state,
            )
        if not isinstance(outcome, Outcome):  # --help and --version print by themselves and give an exit code
            return int(outcome or 0)
        show(outcome, as_json=state.json)
    except BrokenPipeError:  # the reader of standard output has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OUR_FAULT
    except (KeyboardInterrupt, StoppedError, typer.Abort):
        return _fail(
            INTERRUPTED,
            "interrupted: what existed before is as it was (explain, evaluate and train --resume go on where they were)",
            debug=state.debug,
        )
    except Exception as error:
        return _report(error, debug=state.debug)
    return outcome.exit_code


def _report(error: Exception, *, debug: bool) -> int:
    if isinstance(error, XpertError):
        return _fail(BAD_INPUT, str(error), debug=debug)
    if isinstance(error, _ClickException):
        usage: Any = error
        context = getattr(usage, "ctx", None)
        where = context.command_path if context is not None else "xpert"
        return _fail(BAD_INPUT, f"{_sentence(usage.format_message())}: see {where} --help", debug=debug)
    if isinstance(error, (PermissionError, NotADirectoryError, FileExistsError)):
        return _fail(BAD_INPUT, f"{error.filename}: {error.strerror}: choose another path", debug=debug)
    name = type(error).__name__
    return _fail(OUR_FAULT, f"{name}: {error}: this is a fault of xpert; --debug shows where", debug=debug)


def _fail(code: int, message: str, *, debug: bool) -> int:
    if debug:
        traceback.print_exc(file=sys.stderr)
    print(f"xpert: error: {' '.join(message.split())}", file=sys.stderr, flush=True)
    return code


def _sentence(text: str) -> str:
    text = " ".join(text.split()).removesuffix(".")
    return text[:1].lower() + text[1:]


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep other packages' output off standard output, and their warnings and bars off standard error."""
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    if "transformers" in sys.modules:  # it has read its environment already
        from transformers.utils import logging as transformers_logging

        transformers_logging.set_verbosity_error()
        transformers_logging.disable_progress_bar()
    level = logging.root.manager.disable
    with warnings.catch_warnings():
        try:
            warnings.simplefilter("ignore")
            logging.disable(logging.WARNING)
            yield
        finally:
            logging.disable(level)


@contextmanager
def _ended_like_interrupted() -> Iterator[None]:
    """Let SIGTERM unwind the work as Ctrl-C does, so that temporary folders go; Python alone would just stop."""
    if threading.current_thread() is not threading.main_thread():  # only there may handlers be set
        yield
        return

    def stop(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
