"""Full personalizations: whole pipelines of the base's kind, of which only the parts that differ are loaded."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from xpert.errors import IncompatibleModelError
from xpert.modalities.diffusion.pipeline import IGNORED_PARTS, load_part, parts_of
from xpert.weights import digest, part_files, tensor_shapes

__all__ = ["check_pipeline", "pipeline_applied"]

_MAY_DIFFER = ("position_ids",)
"""Buffers that some versions save and others do not."""


def check_pipeline(folder: Path, base: Path) -> None:
    """Check from small files and headers that a pipeline has the base's classes, scheduler, tokenizers and shapes.

    Raises:
        xpert.errors.IncompatibleModelError: One is another; the message names it.
        xpert.errors.WeightsError: A file is truncated.
    """
    own, expected = _index(folder), _index(base)
    refused = f"{folder} is no model of the base {base}"
    if own.get("_class_name") != expected.get("_class_name"):
        raise IncompatibleModelError(
            f"{refused}: it is a {own.get('_class_name')}, the base a {expected.get('_class_name')}"
        )
    for name, kind in _listed(expected).items():
        if _listed(own).get(name) != kind:
            raise IncompatibleModelError(f"{refused}: its {name} is {_listed(own).get(name)}, the base's {kind}")
        if name == "scheduler":
            _check_scheduler(folder / name, base / name, refused)
        elif name.startswith("tokenizer"):
            _check_tokenizer(folder / name, base / name, refused)
        elif part_files(base / name):
            _check_shapes(folder / name, base / name, refused)


@contextmanager
def pipeline_applied(pipe: Any, folder: Path, base: Path) -> Iterator[Any]:
    """The base's pipeline with a full personalization's parts in it, for the length of the block; afterwards with its own again.

    Args:
        pipe: The base's.
        folder: Of a pipeline that has passed `check_pipeline`.
        base: The base's folder.

    Raises:
        xpert.errors.WeightsError: Weights are missing or not finite.
    """
    own = parts_of(pipe)
    loaded = {
        name: load_part(part, folder / name) for name, part in own.items() if _differs(folder / name, base / name)
    }
    try:
        for name, part in loaded.items():
            setattr(pipe, name, part)
        yield pipe
    finally:
        for name in loaded:
            setattr(pipe, name, own[name])
        loaded.clear()


def _differs(part: Path, base: Path) -> bool:
    """Whether weights or config are others; what only versions of libraries write does not count."""
    if _config(part / "config.json") != _config(base / "config.json"):
        return True
    return digest(part, part_files(part)) != digest(base, part_files(base))


def _check_shapes(part: Path, base: Path, refused: str) -> None:
    own, expected = tensor_shapes(part_files(part)), tensor_shapes(part_files(base))
    for name in sorted(own.keys() & expected.keys()):
        if own[name] != expected[name]:
            raise IncompatibleModelError(
                f"{refused}: {part.name}'s {name} has shape {own[name]}, the base's {expected[name]}"
            )
    different = sorted(name for name in own.keys() ^ expected.keys() if not name.endswith(_MAY_DIFFER))
    if different:
        how = "the base has not" if different[0] in own else "is missing"
        raise IncompatibleModelError(f"{refused}: {part.name}'s {different[0]} {how} ({len(different)} such tensors)")


def _check_scheduler(own: Path, base: Path, refused: str) -> None:
    """Another scheduler or prediction type walks from the same noise to another image, whatever the weights."""
    name = "scheduler_config.json"
    mine, theirs = _config(own / name), _config(base / name)
    for key in sorted(mine.keys() & theirs.keys()):
        if mine[key] != theirs[key]:
            raise IncompatibleModelError(
                f"{refused}: its scheduler has {key} {mine[key]!r}, the base's {theirs[key]!r}: "
                f"images would differ for that alone; give it the base's {name}"
            )


def _check_tokenizer(own: Path, base: Path, refused: str) -> None:
    if _words(own) != _words(base):
        raise IncompatibleModelError(f"{refused}: its {own.name} has another vocabulary")


def _words(folder: Path) -> Mapping[str, int] | bytes:
    """A tokenizer's vocabulary; of one without ``vocab.json`` or ``tokenizer.json`` its model file."""
    for name in ("vocab.json", "tokenizer.json", "spiece.model", "tokenizer.model"):
        file = folder / name
        if file.is_file() and file.suffix == ".json":
            value = _json(file)
            return value if name == "vocab.json" else _vocabulary(value)
        if file.is_file():
            return file.read_bytes()
    return {}


def _vocabulary(tokenizer: Mapping[str, Any]) -> Mapping[str, int]:
    words = tokenizer.get("model", {}).get("vocab", {})
    return words if isinstance(words, dict) else {entry[0]: i for i, entry in enumerate(words)}


def _listed(index: Mapping[str, Any]) -> dict[str, list[str]]:
    """The parts that a pipeline has, with library and class."""
    return {
        name: entry
        for name, entry in index.items()
        if isinstance(entry, list) and entry[:1] != [None] and name not in IGNORED_PARTS
    }


def _index(folder: Path) -> Mapping[str, Any]:
    return _json(folder / "model_index.json")


def _config(file: Path) -> dict[str, Any]:
    """A config without what libraries note for themselves; ``_class_name`` counts."""
    notes = ("transformers_version", "torch_dtype", "dtype", "architectures")
    values = _json(file) if file.is_file() else {}
    return {k: v for k, v in values.items() if k == "_class_name" or not (k.startswith("_") or k in notes)}


def _json(file: Path) -> Mapping[str, Any]:
    try:
        value: Any = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise IncompatibleModelError(f"{file}: cannot be read ({error}): download the pipeline again") from None
    if not isinstance(value, dict):
        raise IncompatibleModelError(f"{file}: expected a JSON object: download the pipeline again")
    return value
