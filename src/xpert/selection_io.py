"""Selections as JSON: what ``xpert select --json`` prints and ``xpert merge --selection`` reads."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np

from xpert.errors import DataError
from xpert.types import Coordinates, Selection

__all__ = ["load_selection", "selection_from_json", "selection_to_json"]

T = TypeVar("T")


def selection_to_json(selection: Selection) -> dict[str, Any]:
    """The selection as a JSON object; `selection_from_json` reads it back unchanged.

    >>> place = Coordinates(values=np.ones(1, np.float32), stderr=np.zeros(1, np.float32), n_pairs=4)
    >>> chosen = Selection(
    ...     best="poet", matched=True, ranking=(("poet", 0.5),), words=(("vivid", 1.0),), coordinates=place, threshold=0.7
    ... )
    >>> selection_to_json(chosen)["ranking"]
    [{'name': 'poet', 'distance': 0.5, 'probability': None}]
    """
    shares = selection.probabilities or (None,) * len(selection.ranking)
    errors = selection.stderr or (None,) * len(selection.words)
    return {
        "best": selection.best,
        "matched": bool(selection.matched),
        "confidence": selection.confidence,
        "ranking": [
            {"name": name, "distance": float(distance), "probability": share}
            for (name, distance), share in zip(selection.ranking, shares, strict=True)
        ],
        "words": [
            {"word": word, "value": float(value), "stderr": error}
            for (word, value), error in zip(selection.words, errors, strict=True)
        ],
        "coordinates": [float(value) for value in selection.coordinates.values],
        "stderr": [float(value) for value in selection.coordinates.stderr],
        "n_pairs": int(selection.coordinates.n_pairs),
        "threshold": float(selection.threshold),
        "axes": selection.axes,
        "paired": bool(selection.paired),
        "strength": selection.strength,
        "likeness": selection.likeness,
        "least_likeness": selection.least_likeness,
        "reliability": selection.reliability,
        "outside": selection.outside,
        "reasons": [{"word": word, "value": float(part)} for word, part in selection.reasons],
        "over_next": [{"word": word, "value": float(part)} for word, part in selection.over_next],
        "missing": list(selection.missing),
        "excluded": int(selection.excluded),
    }


def selection_from_json(values: object, where: str = "selection") -> Selection:
    """Read what `selection_to_json` gives; keys that later versions add are not looked at, and what earlier ones lacked
    (``probability``, the words' ``stderr``, all after ``paired``) is not known.

    Args:
        values: The JSON object.
        where: Its file, for messages.

    Raises:
        xpert.errors.DataError: A field is missing, of another type, or not finite.
    """
    if not isinstance(values, Mapping):
        raise DataError(f"{where}: expected a JSON object, as xpert select --json prints it, got {_kind(values)}")
    fields = cast("Mapping[str, object]", values)
    coordinates, stderr = _floats(fields, "coordinates", where), _floats(fields, "stderr", where)
    if len(coordinates) != len(stderr):
        raise DataError(
            f"{where}: 'coordinates' has {len(coordinates)} numbers, 'stderr' {len(stderr)}: expected as many"
        )
    ranking = _pairs(fields, "ranking", ("name", "distance"), where)
    best = _field(fields, "best", str, where)
    if best not in [name for name, _ in ranking]:
        raise DataError(f"{where}: 'best' is {best!r}, which is not in 'ranking': make the selection again")
    return Selection(
        best=best,
        matched=_field(fields, "matched", bool, where),
        ranking=ranking,
        words=_pairs(fields, "words", ("word", "value"), where),
        coordinates=Coordinates(
            values=np.array(coordinates, np.float32),
            stderr=np.array(stderr, np.float32),
            n_pairs=_field(fields, "n_pairs", int, where),
        ),
        threshold=_number(_field(fields, "threshold", object, where), f"{where}: 'threshold'"),
        axes=_field(fields, "axes", str, where),
        paired=_field(fields, "paired", bool, where),
        stderr=_known(fields, "words", "stderr", where) or (),
        probabilities=_known(fields, "ranking", "probability", where),
        strength=_optional(fields, "strength", where),
        likeness=_optional(fields, "likeness", where),
        least_likeness=_optional(fields, "least_likeness", where),
        reliability=_optional(fields, "reliability", where),
        outside=_optional(fields, "outside", where),
        reasons=_pairs({"reasons": []} | dict(fields), "reasons", ("word", "value"), where),
        over_next=_pairs({"over_next": []} | dict(fields), "over_next", ("word", "value"), where),
        missing=_strings({"missing": []} | dict(fields), "missing", where),
        excluded=_field({"excluded": 0} | dict(fields), "excluded", int, where),
    )


def load_selection(path: str | Path) -> Selection:
    """Read a selection from the file that ``xpert select --json`` was redirected to.

    Raises:
        xpert.errors.DataError: The file is missing or no such JSON; names the file.
    """
    path = Path(path)
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read ({error.strerror}): expected what xpert select --json prints"
        ) from error
    except json.JSONDecodeError as error:
        raise DataError(
            f"{path}: line {error.lineno}: expected JSON, as xpert select --json prints it ({error.msg})"
        ) from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: expected UTF-8 text ({error.reason} at byte {error.start})") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: expected JSON, as xpert select --json prints it ({error})") from error
    return selection_from_json(values, str(path))


def _field(values: Mapping[str, object], name: str, kind: type[T], where: str) -> T:
    if name not in values:
        raise DataError(f"{where}: lacks {name!r}: expected what xpert select --json prints")
    value = values[name]
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise DataError(f"{where}: {name!r}: expected {kind.__name__}, got {_kind(value)}")
    return value


def _floats(values: Mapping[str, object], name: str, where: str) -> list[float]:
    listed = cast("list[object]", _field(values, name, list, where))
    return [_number(value, f"{where}: {name!r} at position {i}") for i, value in enumerate(listed)]


def _pairs(values: Mapping[str, object], name: str, keys: tuple[str, str], where: str) -> tuple[tuple[str, float], ...]:
    listed = cast("list[object]", _field(values, name, list, where))
    found: list[tuple[str, float]] = []
    for i, entry in enumerate(listed):
        place = f"{where}: {name!r} at position {i}"
        if not isinstance(entry, Mapping):
            raise DataError(f"{place}: expected an object with {keys[0]!r} and {keys[1]!r}, got {_kind(entry)}")
        fields = cast("Mapping[str, object]", entry)
        number = _number(_field(fields, keys[1], object, place), f"{place}: {keys[1]!r}")
        found.append((_field(fields, keys[0], str, place), number))
    return tuple(found)


def _known(values: Mapping[str, object], name: str, key: str, where: str) -> tuple[float, ...] | None:
    """A number of every entry of a list; None where an entry has none."""
    entries = cast("list[Mapping[str, object]]", values[name])
    found = [entry.get(key) for entry in entries]
    if not found or any(value is None for value in found):
        return None
    return tuple(_number(value, f"{where}: {name!r} at position {i}: {key!r}") for i, value in enumerate(found))


def _optional(values: Mapping[str, object], name: str, where: str) -> float | None:
    return None if values.get(name) is None else _number(values[name], f"{where}: {name!r}")


def _strings(values: Mapping[str, object], name: str, where: str) -> tuple[str, ...]:
    listed = cast("list[object]", _field(values, name, list, where))
    if wrong := [entry for entry in listed if not isinstance(entry, str)]:
        raise DataError(f"{where}: {name!r}: expected strings, got {_kind(wrong[0])}")
    return tuple(str(entry) for entry in listed)


def _number(value: object, where: str) -> float:
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not math.isfinite(value):
        raise DataError(f"{where}: expected a finite number, got {value!r}")
    return float(value)


def _kind(value: object) -> str:
    return "null" if value is None else type(value).__name__
