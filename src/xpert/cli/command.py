"""What all commands have in common: ``--json``, ``--debug``, and a standard output that only their result reaches."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from functools import wraps
from typing import Annotated, Any, get_type_hints

import typer

from xpert.cli.options import in_options
from xpert.cli.output import Outcome
from xpert.errors import SettingsError, XpertError

__all__ = ["StoppedError", "command"]


class StoppedError(Exception):
    """The user stopped the command (versions of typer differ in what they make of KeyboardInterrupt)."""


_Json = Annotated[bool, typer.Option("--json", help="Print the result as one JSON document on standard output.")]
_Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
_SHARED = (
    inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context),
    inspect.Parameter("json", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=_Json),
    inspect.Parameter("debug", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=_Debug),
)


def command(function: Callable[..., Outcome]) -> Callable[..., Outcome]:
    """The function with the shared options behind its own, run with standard output turned to standard error."""

    @wraps(function)
    def run(*, context: typer.Context, json: bool, debug: bool, **given: Any) -> Outcome:
        context.obj.json, context.obj.debug = json, debug
        try:
            with redirect_stdout(sys.stderr):
                return function(**given)
        except KeyboardInterrupt as interrupt:
            raise StoppedError from interrupt
        except XpertError as error:  # Python's names of settings become the options that the user has
            told = in_options(str(error), given, about_settings=isinstance(error, SettingsError))
            error.args = (told, *error.args[1:])
            raise

    hints = get_type_hints(function, include_extras=True)
    own = [
        parameter.replace(annotation=hints[name], kind=inspect.Parameter.KEYWORD_ONLY)
        for name, parameter in inspect.signature(function).parameters.items()
    ]
    shown: Any = run
    shown.__signature__ = inspect.Signature([*own, *_SHARED], return_annotation=Outcome)
    shown.__annotations__ = {parameter.name: parameter.annotation for parameter in (*own, *_SHARED)}
    return run
