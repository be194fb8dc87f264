"""``xpert.json`` of an exported model: what it is, which files belong to it, and whether they are as they were written."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeAlias

from xpert.errors import IncompatibleModelError, WeightsError
from xpert.tensors.files import sha256_file

__all__ = ["FORMAT_VERSION", "HEADER", "Kind", "check_files", "kind_of_artifacts", "read_header", "write_header"]

HEADER = "xpert.json"
FORMAT_VERSION = 1
_FORMAT = "xpert-onnx"

Kind: TypeAlias = Literal["training", "encoder", "llm"]


def kind_of_artifacts(folder: str | Path) -> Kind | None:
    """What an exported folder is for; None: it is none. Nothing but its header is read."""
    file = Path(folder) / HEADER
    if not file.is_file():
        return None
    try:
        values: Any = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return values.get("kind") if isinstance(values, dict) and values.get("format") == _FORMAT else None


def read_header(folder: str | Path, kind: Kind) -> dict[str, Any]:
    """The header of a folder of this kind; whether the files are intact is `check_files`' to tell.

    Raises:
        xpert.errors.IncompatibleModelError: It is no such folder, or a newer xpert wrote it.
    """
    file = Path(folder) / HEADER
    try:
        values: Any = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise IncompatibleModelError(
            f"{folder}: expected a folder that `xpert export` wrote, {HEADER} cannot be read ({error}): export it again"
        ) from None
    if not isinstance(values, dict) or values.get("format") != _FORMAT:
        raise IncompatibleModelError(f"{file}: expected the header of an exported model: export it again")
    if values.get("kind") != kind:
        raise IncompatibleModelError(f"{folder}: expected an export for {kind!r}, it is one for {values.get('kind')!r}")
    if not isinstance(version := values.get("format_version"), int) or version > FORMAT_VERSION:
        raise IncompatibleModelError(
            f"{file}: its format version is {version}, this xpert reads up to {FORMAT_VERSION}: update xpert or export it again"
        )
    return values


def write_header(folder: Path, kind: Kind, values: Mapping[str, Any], files: Iterable[str]) -> None:
    """Write the header with size and SHA-256 of these files of the folder."""
    listed = {
        name: {"bytes": (folder / name).stat().st_size, "sha256": sha256_file(folder / name)} for name in sorted(files)
    }
    known = {"format": _FORMAT, "format_version": FORMAT_VERSION, "kind": kind}
    text = json.dumps({**known, **values, "files": listed}, indent=1, ensure_ascii=False)
    (folder / HEADER).write_text(text + "\n", encoding="utf-8")


def check_files(folder: Path, header: Mapping[str, Any]) -> None:
    """Hold every file against size and SHA-256 in the header: a damaged one would end the process, not raise.

    Raises:
        xpert.errors.WeightsError: A file is missing or was changed.
        xpert.errors.IncompatibleModelError: The tokenizer is another one.
    """
    for name, said in header["files"].items():
        file = folder / name
        size = file.stat().st_size if file.is_file() else None
        if size == said["bytes"] and sha256_file(file) == said["sha256"]:
            continue
        if name == "tokenizer.json" and size is not None:
            raise IncompatibleModelError(
                f"{file}: not the tokenizer that {folder} was exported with: put that one back, or export again"
            )
        came = (
            "it is missing" if size is None else f"it has {size} bytes" if size != said["bytes"] else "it was changed"
        )
        raise WeightsError(f"{file}: expected {said['bytes']} bytes as exported, {came}: copy or export it again")
