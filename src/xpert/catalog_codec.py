"""A catalog's values to bytes and back: JSON, JSON Lines, safetensors. Nothing but what the format knows is read."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from xpert.decompose import CoefficientRule
from xpert.errors import CatalogCorruptError, CatalogError
from xpert.provenance import strict_fields
from xpert.types import Array, Axis, Example, ModelCard

__all__ = [
    "answers_from",
    "axes_from",
    "from_json",
    "from_jsonl",
    "from_tensors",
    "models_from",
    "rule_from",
    "to_json",
    "to_jsonl",
    "to_tensors",
]


def to_json(value: object) -> bytes:
    """JSON in UTF-8, two spaces deep, ended by a newline; values must be finite."""
    return (json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False) + "\n").encode()


def from_json(data: bytes, where: str) -> Any:
    """JSON read back.

    Raises:
        xpert.errors.CatalogCorruptError: It is not JSON.
    """
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise CatalogCorruptError(f"{where}: not JSON ({error}): fetch the file again") from None


def to_jsonl(rows: Iterable[object]) -> bytes:
    """JSON Lines in UTF-8."""
    return "".join(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows).encode()


def from_jsonl(data: bytes, where: str) -> list[Any]:
    """JSON Lines read back; a broken line is named.

    Raises:
        xpert.errors.CatalogCorruptError: A line is not JSON.
    """
    lines = data.decode("utf-8", errors="replace").split("\n")[:-1]
    return [from_json(line.encode(), f"{where}, line {number}") for number, line in enumerate(lines, 1)]


def to_tensors(**arrays: Array) -> bytes:
    """Arrays in safetensors."""
    return save({name: np.ascontiguousarray(array, np.float32) for name, array in arrays.items()})


def from_tensors(data: bytes, where: str, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Array]:
    """Arrays read back, which must be these, in these shapes, float32 and finite.

    Raises:
        xpert.errors.CatalogCorruptError: They are not.
    """
    try:
        arrays = load(data)
    except SafetensorError as error:
        raise CatalogCorruptError(f"{where}: not a safetensors file ({error}): fetch the file again") from None
    found = {name: array.shape for name, array in arrays.items()}
    if found != dict(shapes):
        raise CatalogCorruptError(f"{where}: expected tensors {dict(shapes)}, found {found}")
    for name, array in arrays.items():
        if array.dtype != np.float32 or not np.isfinite(array).all():
            raise CatalogCorruptError(f"{where}: tensor {name!r} must be finite float32, found {array.dtype}")
    return arrays


def axes_from(value: Any, where: str) -> tuple[Axis, ...]:
    """The axes of ``words.json``.

    Raises:
        xpert.errors.CatalogError: A key or value is not one of the format.
    """
    axes = tuple(Axis(**strict_fields(Axis, entry, where)) for entry in _list(value, where))
    if wrong := [axis for axis in axes if axis.kind not in ("word", "measured", "unnamed")]:
        raise CatalogError(f"{where}: axis {wrong[0].word!r} has the unknown kind {wrong[0].kind!r}")
    return axes


def models_from(data: bytes, where: str) -> tuple[ModelCard, ...]:
    """The cards of ``models.jsonl``.

    Raises:
        xpert.errors.CatalogError: A key or value is not one of the format.
    """
    cards: list[ModelCard] = []
    for row in from_jsonl(data, where):
        said = row.get("candidates", []) if isinstance(row, dict) else []
        if not (isinstance(said, list) and all(isinstance(word, str) for word in said)):
            raise CatalogError(f"{where}: 'candidates' has a value of the wrong type: {said!r}")
        given = {**row, "candidates": tuple(said)} if isinstance(row, dict) else row
        cards.append(ModelCard(**strict_fields(ModelCard, given, where)))
    return tuple(cards)


def answers_from(data: bytes, where: str) -> tuple[Example, ...]:
    """The rows of ``base_answers.jsonl``.

    Raises:
        xpert.errors.CatalogError: A key or value is not one of the format.
    """
    rows = from_jsonl(data, where)
    for row in rows:
        if not isinstance(row, dict) or row.keys() != {"prompt", "response"}:
            raise CatalogError(f"{where}: expected objects with exactly 'prompt' and 'response'")
    return tuple(Example(prompt=row["prompt"], response=row["response"]) for row in rows)


def _list(value: Any, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise CatalogError(f"{where}: expected a JSON list, got {type(value).__name__}")
    return value


def rule_from(value: str, where: str) -> CoefficientRule:
    """The rule for coefficients in the header.

    Raises:
        xpert.errors.CatalogError: A key or value is not one of the format.
    """
    if value not in ("least-squares", "projection"):
        raise CatalogError(f"{where}: unknown 'coefficients' {value!r}: expected 'least-squares' or 'projection'")
    return "projection" if value == "projection" else "least-squares"
