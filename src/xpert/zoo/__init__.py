"""The embedded default: a style corpus, a tiny base model, its summarizer and 28 personalized adapters.

Everything here was made by the scripts in ``scripts/`` from `xpert.zoo.corpus` with fixed seeds; ``docs/zoo.md`` tells how and how
good it is. Models are reached as ``zoo:base``, ``zoo:summarizer`` and ``zoo:<style>``.
"""

from __future__ import annotations

from pathlib import Path

from xpert.errors import ReferenceNotFoundError, did_you_mean

__all__ = [
    "PICTURES",
    "WEIGHTS",
    "adapter_names",
    "names",
    "path",
    "picture_adapter_names",
    "picture_names",
    "pool_names",
]

WEIGHTS = Path(__file__).parent / "weights"
"""The folder of the shipped models, one sub-folder a model."""

PICTURES = WEIGHTS / "pictures"
"""The folder of the shipped image models, one sub-folder a model; their names begin with ``pictures-``."""

_PREFIX = "pictures-"


def names() -> list[str]:
    """Names of all shipped models: ``base``, the summarizers, the text adapters in the corpus' order of styles, those of
    pools at a similarity, then the image models.
    """
    whole = [name for name in ("base", "summarizer", "summarizer-small") if (WEIGHTS / name).is_dir()]
    return whole + adapter_names() + _all_pools() + picture_names()


def picture_names() -> list[str]:
    """Names of the shipped image models: ``pictures-base``, ``pictures-painter``, ``pictures-encoder``, then the adapters."""
    whole = [name for name in ("base", "painter", "encoder") if (WEIGHTS / "pictures" / name).is_dir()]
    return [_PREFIX + name for name in whole] + picture_adapter_names()


def picture_adapter_names() -> list[str]:
    """Names of the shipped personalized image models, ``pictures-<style>`` each."""
    from xpert.zoo.pictures.styles import STYLES

    return [
        _PREFIX + style
        for style in STYLES
        if (WEIGHTS / "pictures" / style / "pytorch_lora_weights.safetensors").is_file()
    ]


def adapter_names() -> list[str]:
    """Names of the shipped personalized adapters, one a style."""
    from xpert.zoo.corpus import STYLES

    return [style for style in STYLES if (WEIGHTS / style / "adapter_config.json").is_file()]


def pool_names(similarity: int) -> list[str]:
    """Names of the shipped adapters of which so many percent of the training texts are in their style, ``<style>@<percent>`` each."""
    from xpert.zoo.corpus import STYLES

    return [
        f"{style}@{similarity}" for style in STYLES if (_pooled(style, similarity) / "adapter_config.json").is_file()
    ]


def path(name: str) -> Path:
    """The folder of a shipped model.

    Raises:
        xpert.errors.ReferenceNotFoundError: There is no model of that name.
    """
    if name not in names():
        near = did_you_mean(name, names())
        raise ReferenceNotFoundError(f"unknown zoo model {name!r}{near}: `xpert zoo` lists all {len(names())}")
    style, at, similarity = name.partition("@")
    if at:
        return _pooled(style, int(similarity))
    return WEIGHTS / "pictures" / name.removeprefix(_PREFIX) if name.startswith(_PREFIX) else WEIGHTS / name


def _all_pools() -> list[str]:
    pools = WEIGHTS / "pools"
    folders = pools.iterdir() if pools.is_dir() else []
    found = sorted((int(folder.name) for folder in folders if folder.name.isdecimal()), reverse=True)
    return [name for similarity in found for name in pool_names(similarity)]


def _pooled(style: str, similarity: int) -> Path:
    return WEIGHTS / "pools" / str(similarity) / style
