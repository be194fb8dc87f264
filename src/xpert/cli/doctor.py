"""``xpert doctor``: what is installed, and whether a catalog is sound."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from xpert.cli.output import Outcome, table
from xpert.progress import say

if TYPE_CHECKING:
    from rich.console import RenderableType

    from xpert.doctor import Health

__all__ = ["doctor"]


def doctor(
    catalog: Annotated[
        str | None, typer.Argument(metavar="CATALOG", help="A catalog's folder whose files are checked wholly.")
    ] = None,
    clear_cache: Annotated[
        bool, typer.Option("--clear-cache", help="Empty the cache of explain first; nothing in it is needed.")
    ] = False,
) -> Outcome:
    """Tell versions, extras, threads, memory and cache; with a catalog, also check all its hashes and values (exit 2: bad)."""
    from xpert.cache import Cache, default_folder
    from xpert.doctor import catalog_problems, examine

    if clear_cache:
        Cache(default_folder()).clear()
    health = examine()
    problems = [] if catalog is None else catalog_problems(catalog)
    document = {
        "versions": dict(health.versions),
        "extras": dict(health.extras),
        "threads": health.threads,
        "memory_mb": health.memory_mb,
        "cache": {"folder": health.cache, "entries": health.cache_entries, "mb": health.cache_mb},
        "catalog": catalog,
        "problems": problems,
    }
    if problems:
        first = problems[0].removeprefix(f"{catalog}: ")
        say(
            f"xpert: error: {catalog}: {first if len(problems) == 1 else f'{len(problems)} problems, the first: {first}'}"
        )
    return Outcome(
        document=document,
        view=lambda: _view(health, catalog, problems),
        exit_code=2 if problems else 0,
    )


def _view(health: Health, catalog: str | None, problems: list[str]) -> list[RenderableType]:
    memory = "unknown" if health.memory_mb is None else f"{health.memory_mb:,} MB"
    parts: list[RenderableType] = [
        f"Python {sys.version.split()[0]}, {health.threads} threads, {memory} of memory.",
        table(
            ["package", "version"], [(name, version or "not installed") for name, version in health.versions.items()]
        ),
        table(["extra", "installed"], [(name, "yes" if there else "no") for name, there in health.extras.items()]),
    ]
    parts.append(f"Cache of explain: {health.cache_entries} entries, {health.cache_mb:,.1f} MB in {health.cache}.")
    if catalog is not None and not problems:
        parts.append(f"{catalog}: every file is as it was written, and all values are finite.")
    return [*parts, *problems]
