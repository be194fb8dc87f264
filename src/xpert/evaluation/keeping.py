"""What an interrupted run had finished is not computed again: JSON in files of the work folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from xpert.tensors.files import write_text

__all__ = ["kept"]


def kept(file: Path, make: Callable[[], Any]) -> Any:
    """The JSON value of a file; where there is none it is made, and written at once and whole.

    Args:
        file: Whose name tells all that the value depends on.
        make: Called where there is no file.
    """
    if not file.is_file():
        told = make()
        file.parent.mkdir(parents=True, exist_ok=True)
        write_text(file, json.dumps(told) + "\n")
    return json.loads(file.read_text(encoding="utf-8"))
