"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

__all__ = ["CacheOption", "CatalogOption", "DataOption", "DeviceOption", "DtypeOption", "NoCacheOption"]

CatalogOption: TypeAlias = Annotated[
    str, typer.Option("--catalog", metavar="CATALOG", help="The catalog: its folder, or its id on the Hub.")
]
DataOption: TypeAlias = Annotated[
    Path,
    typer.Option(
        "--data",
        metavar="FILE",
        help='The personal data, JSON Lines: {"prompt", "response"}, {"text"} or {"messages"} a line. It stays here.',
    ),
]
DeviceOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--device", metavar="DEVICE", help="Where models compute, such as cpu or cuda. They choose by default."
    ),
]
DtypeOption: TypeAlias = Annotated[
    str | None,
    typer.Option("--dtype", metavar="float32|bfloat16|float16|auto", help="The models' number type."),
]
CacheOption: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--cache",
        metavar="DIR",
        help="Where answers and embeddings of the models are kept: $XPERT_CACHE, or xpert in the user's cache folder.",
    ),
]
NoCacheOption: TypeAlias = Annotated[bool, typer.Option("--no-cache", help="Look nothing up, and keep nothing.")]
