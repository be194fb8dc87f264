"""The commands in the order of the flow."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from xpert import __version__
from xpert.cli.adapter import adapter
from xpert.cli.command import command
from xpert.cli.demo import demo
from xpert.cli.doctor import doctor
from xpert.cli.evaluate import evaluate
from xpert.cli.explain import explain
from xpert.cli.export import export
from xpert.cli.merge import merge
from xpert.cli.quantize import quantize
from xpert.cli.report import report
from xpert.cli.select import select
from xpert.cli.show import show
from xpert.cli.train import train
from xpert.cli.zoo import zoo

__all__ = ["build"]

COMMANDS = (demo, explain, show, select, report, merge, export, train, evaluate, adapter, quantize, zoo, doctor)


def build() -> Any:
    """The command line as an object of click."""
    app = typer.Typer(
        name="xpert",
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["--help", "-h"]},
    )
    app.callback()(_root)
    for function in COMMANDS:
        app.command(function.__name__)(command(function))
    return typer.main.get_command(app)


def _version(asked: bool) -> None:
    if asked:
        print(f"xpert {__version__}")
        raise typer.Exit()


def _root(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_version, help="Print the version and stop.")
    ] = False,
) -> None:
    """Start every user from the best personalized model instead of from scratch.

    A server explains models in words with numbers (explain, show); a device finds its user's nearest model (select),
    may merge several (merge), and fine-tunes the result on the user's own text (train). The demo does all of it.
    """
