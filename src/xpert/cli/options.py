"""Options that several commands have, and messages in their terms."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, TypeAlias

import typer

__all__ = ["CacheOption", "CatalogOption", "DataOption", "DeviceOption", "DtypeOption", "NoCacheOption", "in_options"]

CatalogOption: TypeAlias = Annotated[
    str, typer.Option("--catalog", metavar="CATALOG", help="The catalog: its folder, or its id on the Hub.")
]
DataOption: TypeAlias = Annotated[
    Path,
    typer.Option(
        "--data",
        metavar="FILE|FOLDER",
        help='The personal data, JSON Lines: {"prompt", "response"}, {"text"}, {"messages"} or {"prompt", "image"} a line; '
        "or a folder of images with captions. It stays here.",
    ),
]
DeviceOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--device", metavar="DEVICE", help="Where models compute, such as cpu or cuda.", show_default="they choose"
    ),
]
DtypeOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--dtype", metavar="float32|bfloat16|float16|auto", help="The models' number type.", show_default="they choose"
    ),
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


def in_options(message: str, options: Iterable[str], *, about_settings: bool = True) -> str:
    """A message that names Python's settings, in the words of a command that has options for them.

    Rewritten are ``name=value``, names of several words (``eps_orth``), and, where the message is about a setting, the name that it
    begins with; other words, file names and what stands in quotes are left alone.

    Args:
        message: The message.
        options: Python's names of the command's options.
        about_settings: Whether what the message begins with, up to a colon, may be a setting.

    >>> in_options("eps_orth: expected at most 1, got 2", ["eps_orth"])
    '--eps-orth: expected at most 1, got 2'
    >>> in_options("trains a full model: use method='lora'", ["method"])
    'trains a full model: use --method lora'
    """
    for name in options:
        option, word = f"--{name.replace('_', '-')}", re.escape(name)
        free = rf"(?<![\w/.\-'\"]){word}"
        message = re.sub(rf"{free}=(?:'([^']*)'|\"([^\"]*)\"|(?=[\w\[(]))", _with_value(option), message)
        if about_settings:
            message = re.sub(rf"^{word}(?=:)", option, message)
        if "_" in name:
            message = re.sub(rf"{free}(?![\w/.'\"]*[\w/'\"])", option, message)
    return message


def _with_value(option: str) -> Callable[[re.Match[str]], str]:
    return lambda found: f"{option} {found[1] or found[2] or ''}"
