"""What an interrupted run had finished is not computed again: JSON in files of the work folder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from xpert.errors import DataError
from xpert.tensors.files import write_text

__all__ = ["kept", "mark_of", "read_kept"]


def kept(file: Path, make: Callable[[], Any]) -> Any:
    """The JSON value of a file; where there is none it is made, and written at once and whole.

    Args:
        file: Whose name tells all that the value depends on.
        make: Called where there is no file.

    Raises:
        xpert.errors.DataError: What lies there is no JSON.
    """
    if not file.is_file():
        told = make()
        file.parent.mkdir(parents=True, exist_ok=True)
        write_text(file, json.dumps(told) + "\n")
    return read_kept(file)


def mark_of(*parts: Any) -> str:
    """Twelve letters that change with any of the parts (JSON values and dataclasses), for the name of a file that depends on them.

    >>> mark_of("one", 1) == mark_of("one", 1), mark_of("one", 1) == mark_of("one", 2)
    (True, False)
    """
    return hashlib.sha256(json.dumps(parts, default=asdict).encode()).hexdigest()[:12]


def read_kept(file: Path) -> Any:
    """The JSON value of a file that is there.

    Raises:
        xpert.errors.DataError: It is no JSON.
    """
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise DataError(
            f"{file}: expected JSON that an earlier run kept, got what is none: delete it, and it is made again"
        ) from error
