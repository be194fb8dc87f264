"""A content-addressed cache in a folder: what was computed once for the server's models is found again by what it depends on.

Every entry is one file, named by the SHA-256 of everything its value depends on, written under a temporary name and renamed,
and carries the hash of its own content: a truncated or changed entry is removed and computed again. Processes may share a
cache. Nothing in it is needed: it may be deleted at any time. Personal text never comes here: what works on it (`Selector`,
`Merger`, trainers) does not import this module, and a contract of the import linter holds it to that.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from xpert import __version__
from xpert.errors import SettingsError
from xpert.progress import say
from xpert.tensors.files import sha256_bytes, write_bytes
from xpert.types import Array

__all__ = ["KINDS", "Cache", "default_folder", "key_of", "open_cache"]

VERSION = 1
"""Part of every key: another layout of entries, or another meaning of their values, finds none of the old ones."""
KINDS = ("answers", "embeddings", "subvectors")
_SUFFIX = {"answers": ".json", "embeddings": ".safetensors", "subvectors": ".safetensors"}
_log = logging.getLogger(__name__)


def default_folder() -> Path:
    """``$XPERT_CACHE``, else ``$XDG_CACHE_HOME/xpert``, else ``~/.cache/xpert``."""
    if own := os.environ.get("XPERT_CACHE"):
        return Path(own)
    shared = os.environ.get("XDG_CACHE_HOME")
    return (Path(shared) if shared else Path.home() / ".cache") / "xpert"


def open_cache(cache: str | Path | None) -> Cache | None:
    """A cache by its folder; ``"default"`` is the user's (`default_folder`), None is none.

    Raises:
        xpert.errors.SettingsError: The path is a file.
    """
    return None if cache is None else Cache(default_folder() if cache == "default" else cache)


def key_of(kind: str, **parts: object) -> str:
    """SHA-256 over the parts (JSON values), the kind of entry, and the versions of the cache, of xpert and of what computes.

    >>> key_of("answers", prompts=["a"]) == key_of("answers", prompts=["a"]) != key_of("answers", prompts=["b"])
    True
    """
    said = json.dumps(
        [VERSION, __version__, _versions(), kind, parts], sort_keys=True, ensure_ascii=False, allow_nan=False
    )
    return sha256_bytes(said.encode("utf-8", errors="surrogatepass"))


@cache
def _versions() -> list[str]:
    """Versions of what computes: another one may give other bits."""
    found: list[str] = []
    for package in ("torch", "transformers"):
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    return found


class Cache:
    """A folder of entries, three kinds: ``answers`` (JSON), ``embeddings`` and ``subvectors`` (safetensors).

    Args:
        folder: Made at the first entry.

    Raises:
        xpert.errors.SettingsError: The path is a file.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder).expanduser()
        if self.folder.exists() and not self.folder.is_dir():
            raise SettingsError(f"cache {str(folder)!r}: expected a folder, found a file: choose another")
        self._writable = True

    def get_json(self, kind: str, key: str) -> Any | None:
        """The value stored under a key, or None."""
        data = self._read(kind, key)
        if data is None:
            return None
        try:
            entry: Any = json.loads(data)
            if entry["sha256"] == _hash_json(key, entry["value"]):
                return entry["value"]
        except (ValueError, KeyError, TypeError, RecursionError):
            pass
        return self._broken(kind, key)

    def put_json(self, kind: str, key: str, value: object) -> None:
        """Store a JSON value."""
        entry = {"sha256": _hash_json(key, value), "value": value}
        self._write(kind, key, json.dumps(entry, ensure_ascii=True, allow_nan=False).encode())

    def get_array(self, kind: str, key: str) -> tuple[Array, Any] | None:
        """The float32 array and the JSON value stored with it, or None."""
        data = self._read(kind, key)
        if data is None:
            return None
        try:
            array, about = load(data)["array"], _metadata(data)
            info = about["info"]
            if array.dtype == np.float32 and about["sha256"] == _hash_array(key, array, info):
                return array, info
        except (SafetensorError, ValueError, KeyError, TypeError, RecursionError):
            pass
        return self._broken(kind, key)

    def put_array(self, kind: str, key: str, array: Array, info: object) -> None:
        """Store a float32 array and a JSON value."""
        array = np.ascontiguousarray(array, np.float32)
        about = json.dumps({"info": info, "sha256": _hash_array(key, array, info)})
        self._write(kind, key, save({"array": array}, metadata={"about": about}))

    def has(self, kind: str, key: str) -> bool:
        """Whether there is an entry; its content is looked at only when it is read."""
        return self._path(kind, key).is_file()

    def size(self) -> Mapping[str, tuple[int, int]]:
        """Per kind, the number of entries and their bytes."""
        found: dict[str, tuple[int, int]] = {}
        for kind in KINDS:
            sizes = [path.stat().st_size for path in self.folder.glob(f"{kind}/*/[!.]*{_SUFFIX[kind]}")]
            found[kind] = (len(sizes), sum(sizes))
        return found

    def clear(self) -> None:
        """Remove every entry, and what interrupted writing left; other files in the folder stay."""
        for kind in KINDS:
            shutil.rmtree(self.folder / kind, ignore_errors=True)

    def _path(self, kind: str, key: str) -> Path:
        return self.folder / kind / key[:2] / f"{key}{_SUFFIX[kind]}"

    def _read(self, kind: str, key: str) -> bytes | None:
        try:
            return self._path(kind, key).read_bytes()
        except OSError:
            return None

    def _write(self, kind: str, key: str, data: bytes) -> None:
        if not self._writable:
            return
        path = self._path(kind, key)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_bytes(path, data)
        except OSError as error:  # nothing in it is needed: a full disk or a read-only home stops no run
            self._writable = False
            say(f"the cache {self.folder} cannot be written ({error.strerror}): going on without it")
            return
        _log.debug("stored %s %s", kind, key)

    def _broken(self, kind: str, key: str) -> None:
        _log.debug("removed a broken entry: %s %s", kind, key)
        self._path(kind, key).unlink(missing_ok=True)


def _hash_json(key: str, value: object) -> str:
    return sha256_bytes(json.dumps([key, value], sort_keys=True, ensure_ascii=True).encode())


def _hash_array(key: str, array: Array, info: object) -> str:
    head = json.dumps([key, list(array.shape), info], sort_keys=True)
    return sha256_bytes(head.encode() + np.ascontiguousarray(array).tobytes())


def _metadata(data: bytes) -> dict[str, Any]:
    """What was stored beside the array (one JSON text: safetensors keeps no order of several)."""
    length = int.from_bytes(data[:8], "little")
    return json.loads(json.loads(data[8 : 8 + length])["__metadata__"]["about"])
