"""The files of a catalog folder: their names, hashes and sizes; written whole, read only if they are what was written."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TypeAlias

from xpert.catalog_codec import from_json, to_json
from xpert.errors import CatalogCorruptError, CatalogError, ReferenceNotFoundError
from xpert.provenance import check_version
from xpert.tensors.files import atomic_folder, sha256_bytes, sha256_file

__all__ = [
    "HEADER",
    "SERVER_FILES",
    "check_target",
    "open_folder",
    "problems",
    "read_checked",
    "write_folder",
]

HEADER = "xpert.json"
HASHES = "hashes.json"
DEVICE_FILES = (
    HEADER,
    "basis.safetensors",
    "words.json",
    "coordinates.safetensors",
    "models.jsonl",
    "base_answers.jsonl",
    "README.md",
)
SERVER_FILES = ("embeddings.safetensors", "pairs.safetensors", "reference.safetensors", "fits.safetensors")
"""Files that a device does without: they may be missing from a folder."""
POOL_FILES = ("index.safetensors",)
"""Files that a catalog of very many models (format version 2) has besides."""

Hashes: TypeAlias = Mapping[str, tuple[str, int]]
"""File name to SHA-256 and size in bytes."""


def check_target(target: str | Path) -> None:
    """Whether a catalog may be written there: nothing, an empty folder, or an older catalog.

    Raises:
        xpert.errors.CatalogError: A file, or a folder with other content.
    """
    target = Path(target)
    if not target.exists():
        return
    if not target.is_dir():
        raise CatalogError(f"{target}: expected a folder for the catalog, found a file: choose another --out")
    content = {path.name for path in target.iterdir()}
    if content and not {HEADER, HASHES} <= content:
        raise CatalogError(
            f"{target}: the folder is not empty and not a catalog ({sorted(content)[0]!r} is in it): choose another"
        )


def write_folder(target: str | Path, contents: Mapping[str, bytes | Iterable[bytes]]) -> Path:
    """Write the files and their hashes as a folder that takes ``target``'s place at the very end.

    A file's content is its bytes, or pieces of them.

    Raises:
        xpert.errors.CatalogError: As in `check_target`.
    """
    check_target(target)
    hashes: dict[str, dict[str, str | int]] = {}
    with atomic_folder(target) as folder:
        for name, data in sorted(contents.items()):
            hashes[name] = _write(folder / name, [data] if isinstance(data, bytes) else data)
        (folder / HASHES).write_bytes(to_json(hashes))
    return Path(target)


def _write(path: Path, pieces: Iterable[bytes]) -> dict[str, str | int]:
    digest, size = hashlib.sha256(), 0
    with open(path, "wb") as file:
        for piece in pieces:
            file.write(piece)
            digest.update(piece)
            size += len(piece)
    return {"sha256": digest.hexdigest(), "bytes": size}


def open_folder(folder: Path) -> Hashes:
    """Check that a folder is a catalog of a format that can be read, and that every file is there in its recorded size.

    Raises:
        xpert.errors.ReferenceNotFoundError: No catalog is there.
        xpert.errors.CatalogVersionError: A newer version of xpert wrote it.
        xpert.errors.CatalogCorruptError: A file is missing or has another size.
    """
    if not (folder / HEADER).is_file():
        raise ReferenceNotFoundError(f"{folder}: expected a catalog folder with {HEADER}, found none")
    check_version(from_json((folder / HEADER).read_bytes(), str(folder / HEADER)), str(folder / HEADER))
    hashes = _read_hashes(folder)
    for name, (_, size) in hashes.items():
        path = folder / name
        if not path.is_file():
            if name in SERVER_FILES:
                continue
            raise CatalogCorruptError(f"{path}: the file is missing: fetch the catalog again")
        if path.stat().st_size != size:
            raise CatalogCorruptError(
                f"{path}: expected {size} bytes, found {path.stat().st_size}: the file is truncated or changed; fetch it again"
            )
    return hashes


def read_checked(folder: Path, name: str, hashes: Hashes) -> bytes:
    """A file's content, if its hash is the recorded one.

    Raises:
        xpert.errors.CatalogCorruptError: It is not.
    """
    data = (folder / name).read_bytes()
    if sha256_bytes(data) != hashes[name][0]:
        raise CatalogCorruptError(_changed(folder / name))
    return data


def _changed(path: Path) -> str:
    return f"{path}: the content is not what its hash says: fetch the file again"


def problems(folder: str | Path) -> list[str]:
    """Everything that is wrong with a catalog's files, hashed wholly: one line each, none for a sound catalog."""
    folder = Path(folder)
    try:
        hashes = open_folder(folder)
    except (CatalogError, ReferenceNotFoundError) as error:
        return [str(error)]
    found: list[str] = []
    for name in hashes:
        if (folder / name).is_file() and sha256_file(folder / name) != hashes[name][0]:
            found.append(_changed(folder / name))
    return found


def _read_hashes(folder: Path) -> Hashes:
    path = folder / HASHES
    if not path.is_file():
        raise CatalogCorruptError(f"{path}: the file is missing: fetch the catalog again")
    data = path.read_bytes()
    value = from_json(data, str(path))
    entries: dict[str, tuple[str, int]] = {}
    for name, entry in value.items() if isinstance(value, dict) else ():
        if (
            name not in (*DEVICE_FILES, *SERVER_FILES, *POOL_FILES)
            or not isinstance(entry, dict)
            or set(entry) != {"sha256", "bytes"}
        ):
            raise CatalogCorruptError(f"{path}: unexpected entry {name!r}: fetch the file again")
        entries[name] = (entry["sha256"], entry["bytes"])
    if missing := [name for name in DEVICE_FILES if name not in entries]:
        raise CatalogCorruptError(f"{path}: no hash of {missing[0]}: fetch the file again")
    if to_json(value) != data:
        raise CatalogCorruptError(f"{path}: the file was changed by hand: fetch it again")
    return entries
