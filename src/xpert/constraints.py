"""Which models may be chosen at all: bases, kinds, licences, sizes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from xpert.errors import SettingsError
from xpert.types import ModelCard

__all__ = ["Constraints"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Constraints:
    """What a model must be to be chosen; None: anything.

    Attributes:
        bases: References of base models, as the cards have them.
        kinds: ``full``, ``adapter``, ``pipeline``, ``recorded``.
        licences: Licences, as the model cards state them; letters' case does not matter. A model that states none is left out.
        min_bytes: What a device downloads to have it, at least.
        max_bytes: The same, at most.

    >>> card = ModelCard(name="poet", reference="poet", kind="adapter", base="b", bytes=10, licence="MIT", sha256="")
    >>> Constraints(licences=["mit"], max_bytes=10).allow(card), Constraints(kinds=["full"]).allow(card)
    (True, False)
    """

    bases: Sequence[str] | None = None
    kinds: Sequence[str] | None = None
    licences: Sequence[str] | None = None
    min_bytes: int | None = None
    max_bytes: int | None = None

    def __post_init__(self) -> None:
        """Check sizes and lists.

        Raises:
            xpert.errors.SettingsError: A string instead of a list, or a size below 0.
        """
        for name in ("bases", "kinds", "licences"):
            if isinstance(getattr(self, name), str):
                raise SettingsError(f"{name}: expected a list of names, got the string {getattr(self, name)!r}")
        for name in ("min_bytes", "max_bytes"):
            if (value := getattr(self, name)) is not None and value < 0:
                raise SettingsError(f"{name}: expected 0 or more, got {value}")

    @property
    def told(self) -> str:
        """The constraints in a few words, for messages."""
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        return ", ".join(f"{name}={_plain(value)}" for name, value in given.items() if value is not None)

    def allow(self, card: ModelCard) -> bool:
        """Whether a model may be chosen."""
        licences = None if self.licences is None else {licence.casefold() for licence in self.licences}
        return (
            (self.bases is None or card.base in self.bases)
            and (self.kinds is None or card.kind in self.kinds)
            and (licences is None or (card.licence or "").casefold() in licences - {""})
            and (self.min_bytes is None or card.bytes >= self.min_bytes)
            and (self.max_bytes is None or card.bytes <= self.max_bytes)
        )


def _plain(value: Any) -> str:
    return str(value) if isinstance(value, int) else "|".join(value)
