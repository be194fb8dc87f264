"""The embedded default: a style corpus, a tiny base model, its summarizer and 28 personalized adapters.

Everything here was made by the scripts in ``scripts/`` from `xpert.zoo.corpus` with fixed seeds; ``docs/zoo.md`` tells how and how
good it is. Models are reached as ``zoo:base``, ``zoo:summarizer`` and ``zoo:<style>``.
"""

from __future__ import annotations

from pathlib import Path

from xpert.errors import ReferenceNotFoundError, did_you_mean

__all__ = ["WEIGHTS", "adapter_names", "names", "path"]

WEIGHTS = Path(__file__).parent / "weights"
"""The folder of the shipped models, one sub-folder a model."""


def names() -> list[str]:
    """Names of all shipped models: ``base``, ``summarizer``, then the adapters in the corpus' order of styles."""
    return [name for name in ("base", "summarizer") if (WEIGHTS / name).is_dir()] + adapter_names()


def adapter_names() -> list[str]:
    """Names of the shipped personalized adapters, one a style."""
    from xpert.zoo.corpus import STYLES

    return [style for style in STYLES if (WEIGHTS / style / "adapter_config.json").is_file()]


def path(name: str) -> Path:
    """The folder of a shipped model.

    Raises:
        xpert.errors.ReferenceNotFoundError: There is no model of that name.
    """
    folder = WEIGHTS / name
    if name not in names():
        raise ReferenceNotFoundError(
            f"unknown zoo model {name!r}{did_you_mean(name, names())}: expected one of {', '.join(names())} (see `xpert zoo`)"
        )
    return folder
