"""Where each parameter of a model lies in its checkpoint: under its own name, without a prefix, in parts, or as int8.

The names are Transformers' matter: where its release keeps a conversion for the architecture (experts stored one by one and held as one
tensor), that conversion is followed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any

import torch

from xpert.errors import IncompatibleModelError, WeightsError
from xpert.streaming.stored import DTYPES, Part, TensorFiles
from xpert.tensors.headers import StoredTensor
from xpert.tensors.lora import LoraAdapter, LoraFactors
from xpert.weights import INT8, SCALE

__all__ = ["Source", "find_sources"]

ALIGNED = 64
"""Bytes to which memory of a tensor is aligned as a rule."""
UPDATED_AT_ONCE = 1 << 20
"""Elements of a low-rank update that are multiplied out at once."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Source:
    """Where a parameter comes from.

    Attributes:
        name: The parameter's.
        shape: Its shape.
        dtype: As the model holds it.
        parts: What is stored, which together fill it.
        update: A low-rank update that is added.
        transposed: Whether it is added transposed (GPT-2 keeps its weights so).
    """

    name: str
    shape: tuple[int, ...]
    dtype: torch.dtype
    parts: tuple[Part, ...]
    update: LoraFactors | None = None
    transposed: bool = False

    @property
    def n_bytes(self) -> int:
        """In memory."""
        return torch.Size(self.shape).numel() * self.dtype.itemsize

    @property
    def alignment(self) -> int:
        """Where it begins within `ALIGNED` bytes: as in its file, where Transformers uses it from there; products' last bits depend on it."""
        part = self.parts[0]
        if len(self.parts) > 1 or DTYPES[part.tensor.dtype] != self.dtype or self.update is not None:
            return 0
        first = part.tensor.start % ALIGNED
        return first if first % self.dtype.itemsize == 0 else 0

    @property
    def as_stored(self) -> bool:
        """Whether it can be used where it lies in its file."""
        part = self.parts[0]
        plain = len(self.parts) == 1 and self.update is None and DTYPES[part.tensor.dtype] == self.dtype
        return plain and self.n_bytes > 0 and part.tensor.start % self.dtype.itemsize == 0

    @property
    def stored_bytes(self) -> int:
        """On the disk."""
        return sum(part.n_bytes for part in self.parts)

    def read(self, files: TensorFiles, target: torch.Tensor) -> None:
        """Read it into ``target``: of its shape and dtype, contiguous, on the CPU.

        Raises:
            xpert.errors.WeightsError: It could not be read.
        """
        flat = target.view(-1)
        for part in self.parts:
            files.fill(part, flat[part.first : part.first + part.n_elements])
        if self.update is not None:
            left, right = self.update.b.float(), self.update.a.float()
            left, right = (right.T, left.T) if self.transposed else (left, right)
            n = max(1, UPDATED_AT_ONCE // right.shape[1])
            for first in range(0, len(left), n):
                delta = self.update.scale * (left[first : first + n] @ right)
                target[first : first + n] += delta.to(target.dtype)


def find_sources(
    model: Any, stored: Mapping[str, StoredTensor], where: str, adapter: LoraAdapter | None = None
) -> dict[str, Source]:
    """The source of every parameter and stored buffer, by name; tied ones are those that are stored.

    Args:
        model: A causal LM; its parameters may be on the meta device.
        stored: What the checkpoint holds.
        where: Its folder, for messages.
        adapter: A LoRA adapter that is merged while reading.

    Raises:
        xpert.errors.WeightsError: A tensor is missing, of another shape, or of a dtype that is none of weights.
        xpert.errors.IncompatibleModelError: Transformers converts this architecture's weights in a way that is not known here,
            or the adapter is not of this model.
    """
    found = _parts(model, stored, where)
    tied = _tied(model)
    sources: dict[str, Source] = {}
    for name, tensor in model.state_dict(keep_vars=True).items():
        parts = found.get(name) or found.get(tied.get(name, ""))
        if parts is None:
            raise WeightsError(f"{where}: tensor {name} is missing: download the model again")
        source = Source(name=name, shape=tuple(tensor.shape), dtype=tensor.dtype, parts=parts)
        _check(source, where)
        sources[name] = source
    return sources if adapter is None else _updated(sources, adapter, where)


def _tied(model: Any) -> dict[str, str]:
    """Names of parameters that are another one: the output layer's of the input embeddings'."""
    first: dict[int, str] = {}
    same: dict[str, str] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        if id(parameter) in first:
            same[name] = first[id(parameter)]
            same[first[id(parameter)]] = name
        else:
            first[id(parameter)] = name
    return same


def _parts(model: Any, stored: Mapping[str, StoredTensor], where: str) -> dict[str, tuple[Part, ...]]:
    """What fills each tensor, by the model's own names."""
    names = {name.removesuffix(INT8): name for name in stored if not name.endswith(SCALE)}
    prefix, own = f"{model.base_model_prefix}.", set(model.state_dict())
    found: dict[str, tuple[Part, ...]] = {}
    pieces: dict[str, dict[int, list[str]]] = {}
    renamings, converters = _conversions(model)
    for name in sorted(names, key=_natural):
        known = name
        for renaming in renamings:
            known = renaming.rename_source_key(known)[0]
        place: int | None = None
        for converter in converters:
            renamed, pattern = converter.rename_source_key(known)
            if pattern is not None:
                known, place = renamed, converter.source_patterns.index(pattern)
                _check_conversion(converter, where)
                break
        known = (
            known
            if known in own
            else next((n for n in (prefix + known, known.removeprefix(prefix)) if n in own), known)
        )
        if place is None:
            found[known] = (_part(names[name], stored),)
        else:
            pieces.setdefault(known, {}).setdefault(place, []).append(names[name])
    for known, columns in pieces.items():
        found[known] = _merged([columns[place] for place in sorted(columns)], stored)
    return found


def _merged(columns: Sequence[Sequence[str]], stored: Mapping[str, StoredTensor]) -> tuple[Part, ...]:
    """Experts' tensors, one list a kind, laid one expert after another, within an expert one kind below the other."""
    parts: list[Part] = []
    first = 0
    for row in zip(*columns, strict=True):
        for name in row:
            parts.append(_part(name, stored, first))
            first += parts[-1].n_elements
    return tuple(parts)


def _part(name: str, stored: Mapping[str, StoredTensor], first: int = 0) -> Part:
    scale = stored.get(name.removesuffix(INT8) + SCALE) if name.endswith(INT8) else None
    return Part(name=name, tensor=stored[name], first=first, scale=scale)


def _conversions(model: Any) -> tuple[list[Any], list[Any]]:
    """Transformers' own renamings and conversions of this architecture's tensors; releases before 5 have none."""
    try:
        mapping: Any = import_module("transformers.conversion_mapping")
    except ModuleNotFoundError:
        return [], []
    transforms = list(mapping.get_model_conversion_mapping(model))
    converters = [t for t in transforms if hasattr(t, "operations")]
    return [t for t in transforms if not hasattr(t, "operations")], converters


def _check_conversion(converter: Any, where: str) -> None:
    steps = [type(step).__name__ for step in converter.operations]
    dims = [getattr(step, "dim", None) for step in converter.operations]
    if (steps, dims) not in ((["MergeModulelist"], [0]), (["MergeModulelist", "Concatenate"], [0, 1])):
        raise IncompatibleModelError(
            f"{where}: Transformers converts its weights ({', '.join(steps)}), which cannot be done while streaming: use hf:"
        )


def _check(source: Source, where: str) -> None:
    total = sum(part.n_elements for part in source.parts)
    single = source.parts[0].tensor.shape if len(source.parts) == 1 else None
    if total != torch.Size(source.shape).numel() or (single is not None and single != source.shape):
        came = list(single) if single is not None else f"{total} elements in {len(source.parts)} tensors"
        raise WeightsError(
            f"{where}: tensor {source.name}: expected shape {list(source.shape)} by the config, it is stored as {came}: "
            "download the model again"
        )
    for part in source.parts:
        if part.tensor.dtype not in DTYPES or (part.tensor.dtype == "I8") != (part.scale is not None):
            raise WeightsError(
                f"{part.tensor.file}: tensor {part.name} is stored as {part.tensor.dtype}: expected one of "
                f"{', '.join(d for d in DTYPES if d != 'I8')}, or int8 by xpert quantize"
            )


def _updated(sources: dict[str, Source], adapter: LoraAdapter, where: str) -> dict[str, Source]:
    updated = dict(sources)
    for module, factors in adapter.modules.items():
        name = f"{module}.weight"
        shape = (factors.b.shape[0], factors.a.shape[1])
        shape = shape[::-1] if adapter.fan_in_fan_out else shape
        if name not in sources or sources[name].shape != shape:
            raise IncompatibleModelError(
                f"adapter: module {module} ({list(shape)}) is none of {where}: use the base that it was trained on"
            )
        updated[name] = replace(sources[name], update=factors, transposed=adapter.fan_in_fan_out)
    return updated


def _natural(name: str) -> list[tuple[int, str]]:
    return [(int(piece), "") if piece.isdigit() else (-1, piece) for piece in re.split(r"(\d+)", name)]
