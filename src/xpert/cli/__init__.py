"""The command line: ``xpert COMMAND``, one thin file a command; `main` is the console script."""

from __future__ import annotations

from xpert.cli.run import main

__all__ = ["main"]
