"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

__all__ = ["CatalogOption", "DataOption", "DeviceOption", "DtypeOption"]

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
