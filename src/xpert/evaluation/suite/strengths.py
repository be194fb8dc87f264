"""More models than there are: the same adapters at other strengths, made without training."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from xpert.errors import SettingsError
from xpert.references import kind_of, resolve
from xpert.tensors.files import atomic_folder
from xpert.tensors.lora_files import is_plain_lora, read_adapter, write_adapter

__all__ = ["STRENGTHS", "Pooled", "pool_of", "weakened"]

STRENGTHS = (1.0, 0.8, 0.6)
"""What an adapter's update is multiplied by: first all models as they are, then all at the next strength."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pooled:
    """One model of a pool. Attributes: its ``name`` there, the ``style`` that it is of, its ``reference``."""

    name: str
    style: str
    reference: str


def pool_of(models: Mapping[str, str], size: int, *, seed: int, folder: Path) -> list[Pooled]:
    """A pool of a size; a larger one begins with the smaller one's models.

    Args:
        models: Style to reference.
        size: How many; more than there are styles are adapters at other strengths.
        seed: Of the order of the styles.
        folder: Where weakened adapters are written, once.

    Raises:
        xpert.errors.SettingsError: More than all strengths give, or what would have to be weakened is no plain LoRA adapter.
    """
    if not 1 <= size <= len(STRENGTHS) * len(models):
        raise SettingsError(
            f"pool_sizes: expected 1 to {len(STRENGTHS) * len(models)}, {len(models)} models at {len(STRENGTHS)} strengths, got {size}"
        )
    order = random.Random(f"pool/{seed}").sample(list(models), len(models))
    wanted = [(style, strength) for strength in STRENGTHS for style in order][:size]
    return [
        Pooled(name=style, style=style, reference=models[style])
        if strength == 1
        else Pooled(name=f"{style} x {strength}", style=style, reference=weakened(models[style], strength, folder))
        for style, strength in wanted
    ]


def weakened(reference: str, strength: float, folder: Path) -> str:
    """An adapter whose update is another's times a factor: the same two matrices of each layer, the scale on their product multiplied.

    Args:
        reference: Of a plain LoRA adapter.
        strength: The factor.
        folder: Gets a folder of the adapter's and the factor's name; what is there is taken as it is.

    Raises:
        xpert.errors.SettingsError: It is no plain LoRA adapter.
    """
    if kind_of(reference) != "adapter" or not is_plain_lora(resolve(reference)):
        raise SettingsError(
            f"pool_sizes: {reference!r} would have to be weakened: expected a plain LoRA adapter; ask for no more models than there are"
        )
    target = folder / f"{resolve(reference).name}-x{strength}"
    if not target.is_dir():
        adapter = read_adapter(resolve(reference))
        modules = {name: replace(own, scale=own.scale * strength) for name, own in adapter.modules.items()}
        with atomic_folder(target) as temporary:
            write_adapter(replace(adapter, modules=modules), temporary)
    return str(target)
