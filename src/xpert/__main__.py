"""``python -m xpert``: the command line, for launchers that start modules (``accelerate launch -m xpert train ...``)."""

from __future__ import annotations

import sys

from xpert.cli import main

__all__: list[str] = []

if __name__ == "__main__":
    sys.exit(main())
