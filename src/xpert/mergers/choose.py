"""A merge method by name, with its options."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any

from xpert.errors import SettingsError
from xpert.mergers.base import MergeMethod
from xpert.registry import MERGERS

__all__ = ["merge_method"]


def merge_method(name: str, **options: object) -> MergeMethod:
    """The method of a name; options that are None are left to it.

    Raises:
        xpert.errors.ReferenceNotFoundError: No such method.
        xpert.errors.SettingsError: It has no such option, or its value is out of range.
    """
    made: Any = MERGERS.get(name)
    given = {option: value for option, value in options.items() if value is not None}
    known = {field.name for field in fields(made)} if is_dataclass(made) else set[str]()
    if unknown := sorted(given.keys() - known):
        raise SettingsError(
            f"{unknown[0]}: the merge method {name!r} has no such option (it has {', '.join(sorted(known)) or 'none'}): leave it out"
        )
    return made(**given)
