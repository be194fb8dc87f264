"""What is installed here, and whether a catalog is sound: the facts behind ``xpert doctor``."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

import numpy as np

from xpert import __version__
from xpert.cache import Cache, default_folder
from xpert.catalog import Catalog
from xpert.errors import XpertError

__all__ = ["Health", "catalog_problems", "examine"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_EXTRA = re.compile(r"extra\s*==\s*['\"]([^'\"]+)['\"]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """What this installation has.

    Attributes:
        versions: Package to version, xpert first, then what it needs; None: not installed.
        extras: Extra to whether all it brings is installed.
        threads: Processors that this process may use.
        memory_mb: Physical memory in MB (10**6 bytes); None where the system does not tell.
        cache: Folder of the user's cache (`xpert.cache`).
        cache_entries: Entries in it.
        cache_mb: Their size in MB.
    """

    versions: Mapping[str, str | None]
    extras: Mapping[str, bool]
    threads: int
    memory_mb: int | None
    cache: str
    cache_entries: int
    cache_mb: float


def examine() -> Health:
    """Look at the installed packages and the machine; nothing heavy is imported."""
    core: list[str] = []
    extras: dict[str, list[str]] = {}
    for requirement in _requirements():
        name = _NAME.match(requirement)
        extra = _EXTRA.search(requirement)
        if name is None or name.group().lower() == "xpert":
            continue
        (core if extra is None else extras.setdefault(extra.group(1), [])).append(name.group())
    cache = Cache(default_folder())
    sizes = cache.size().values()
    return Health(
        versions={"xpert": __version__} | {name: _version(name) for name in core},
        extras={extra: all(_version(name) for name in names) for extra, names in extras.items()},
        threads=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        memory_mb=_memory_mb(),
        cache=str(cache.folder),
        cache_entries=sum(count for count, _ in sizes),
        cache_mb=sum(size for _, size in sizes) / 1e6,
    )


def catalog_problems(folder: str | Path) -> list[str]:
    """Everything that is wrong with a catalog folder, one line each: hashes, sizes, header, values that are not finite."""
    if found := Catalog.problems(folder):
        return found
    try:
        catalog = Catalog.from_pretrained(folder)
    except XpertError as error:
        return [str(error)]
    values = {"coordinates": catalog.coordinates, "stderr": catalog.stderr, "embeddings": catalog.embeddings}
    return [
        f"{folder}: {name} has {int((~np.isfinite(array)).sum())} values that are not finite: explain the models again"
        for name, array in values.items()
        if array is not None and not np.isfinite(array).all()
    ]


def _requirements() -> list[str]:
    try:
        return requires("xpert") or []
    except PackageNotFoundError:  # run from its source folder, without installation
        return []


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _memory_mb() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 1_000_000
    except (AttributeError, ValueError, OSError):  # no such question on this system
        return None
