"""Which trainer trains a start: the registered ones are asked, so that installed plugins are found as built-ins are."""

from __future__ import annotations

from pathlib import Path

from xpert.artifacts.header import kind_of_artifacts
from xpert.registry import TRAINERS

__all__ = ["trainer_for"]


def trainer_for(start: str | Path) -> str:
    """The name of the first trainer that accepts a start; of the first of all if none does, whose own error then tells why.

    Raises:
        xpert.errors.ReferenceNotFoundError: The start names nothing.
    """
    if (
        kind_of_artifacts(start) == "training"
    ):  # told by its header: where it is used, the others may not even be importable
        return "onnx"
    names = TRAINERS.names()
    for name in names:
        accepts = getattr(TRAINERS.get(name), "accepts", None)
        if accepts is not None and accepts(start):
            return name
    return names[0]
