"""What a model, a prompt and an answer are: one package a modality, reached by name through `xpert.registry.MODALITIES`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from xpert.errors import IncompatibleModelError, SettingsError, did_you_mean
from xpert.protocols import Modality, ReferenceModality
from xpert.references import kind_of
from xpert.registry import MODALITIES

__all__ = ["load_modality", "modality_of", "settings_of"]


def load_modality(modality: str | Modality, settings: Mapping[str, Any] | None = None) -> Modality:
    """A modality by name, with its settings; an object is given back as it is.

    Args:
        modality: A registered name, or an object.
        settings: Options of the modality that is named (`settings_of` tells a catalog's); None: its own choices.

    Raises:
        xpert.errors.ReferenceNotFoundError: No modality of this name.
        xpert.errors.SettingsError: An option that it has not, or one of a wrong value.
    """
    if not isinstance(modality, str):
        return modality
    make = MODALITIES.get(modality)
    known = _options(make)
    for name in settings or {}:
        if name not in known:
            have = f"it has {', '.join(known)}" if known else "it has none"
            raise SettingsError(f"modality {modality!r} has no option {name!r}{did_you_mean(name, known)}: {have}")
    made: Any = make(**(settings or {}))
    return made


def modality_of(base: str) -> str:
    """The name of the registered modality whose models a base reference names.

    Raises:
        xpert.errors.ReferenceNotFoundError: It names nothing.
        xpert.errors.IncompatibleModelError: No modality takes it.
    """
    for name in MODALITIES.names():
        modality = MODALITIES.get(name)()
        if isinstance(modality, ReferenceModality) and modality.accepts(base):
            return name
    raise IncompatibleModelError(
        f"base {base!r} is a model of kind {kind_of(base)!r}: no modality ({', '.join(MODALITIES.names())}) takes it as a base"
    )


def settings_of(thing: object) -> dict[str, Any]:
    """What a modality, or a prober that it opened, says of its options beside the defaults; empty for one without."""
    return dict(getattr(thing, "settings", {}) or {})


def _options(make: Any) -> list[str]:
    """The fields of a modality's class, where it is a dataclass."""
    return [field.name for field in fields(make)] if is_dataclass(make) else []
