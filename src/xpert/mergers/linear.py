"""LinearMerger: task arithmetic, ``theta_base + sum_i w_i (theta_i - theta_base)``."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any, ClassVar

import torch

from xpert.errors import IncompatibleModelError
from xpert.mergers.base import Member, Source, check_target, copy_side_files, open_sources, write_notes
from xpert.progress import track
from xpert.references import describe, portable, require_weights
from xpert.tensors.checkpoint import LazyCheckpoint, ShardWriter, open_checkpoint
from xpert.tensors.files import atomic_folder, write_text
from xpert.tensors.lora import LoraAdapter, concatenate, read_adapter, write_adapter
from xpert.weights import tensor_shapes, weight_files

__all__ = ["LinearMerger"]

_HEAD = "lm_head.weight"


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearMerger:
    """Sums task vectors with their weights.

    Adapters only: the result is an adapter whose delta is exactly the weighted sum (factors concatenated, float32). With a full
    model among them: a full model, summed tensor by tensor in float32 and stored in the widest dtype of base and members, with
    no more than one tensor of each model in memory.

    Source: Ilharco et al., "Editing models with task arithmetic", 2022 (arXiv 2212.04089); Eq. 1 and 5 of Wang et al., MobiSys
    2025 (arXiv 2504.13938).

    Attributes:
        max_shard_bytes: Largest weight file of a full result.
    """

    max_shard_bytes: int = 4_000_000_000
    name: ClassVar[str] = "linear"

    def merge(
        self, base: str | Path, members: Sequence[Member], out: str | Path, *, words: Sequence[tuple[str, float]] = ()
    ) -> Path:
        """Write the merged model; arguments and errors as in `xpert.mergers.base.MergeMethod.merge`."""
        target = check_target(out)
        sources = open_sources(members)
        base_folder = require_weights(base, "merge")
        if describe(base).kind != "full":
            raise IncompatibleModelError(f"base {str(base)!r}: expected a full model, {base_folder} is none")
        adapters = {s.member.name: _adapter_of(s, base_folder) for s in sources if s.kind == "adapter"}
        kind = "adapter" if len(adapters) == len(sources) else "full"
        with atomic_folder(target) as folder:
            if kind == "adapter":
                weights = [s.member.weight for s in sources]
                merged = concatenate(list(adapters.values()), weights)
                write_adapter(merged, folder, base=portable(base))
                copy_side_files(base_folder, folder, model=False)
            else:
                copy_side_files(base_folder, folder, model=True)
                self._merge_full(base_folder, sources, adapters, folder)
            write_notes(folder, method="task arithmetic (linear)", base=base, sources=sources, words=words, kind=kind)
        return target

    def _merge_full(
        self, base_folder: Path, sources: Sequence[Source], adapters: Mapping[str, LoraAdapter], folder: Path
    ) -> None:
        with ExitStack() as stack:
            base = stack.enter_context(open_checkpoint(weight_files(base_folder)))
            full = {
                s.member.name: stack.enter_context(open_checkpoint(weight_files(s.folder)))
                for s in sources
                if s.kind == "full"
            }
            tied = _tied(base_folder)
            for name, checkpoint in full.items():
                _check_same(base, checkpoint, name, tied=tied)
            deltas = {name: _Delta.of(name, adapter, base) for name, adapter in adapters.items()}
            parts = [(s.member.weight, full.get(s.member.name) or deltas[s.member.name]) for s in sources]
            writer = stack.enter_context(ShardWriter(folder=folder, max_bytes=self.max_shard_bytes))
            for tensor in track(list(base.shapes), "merging"):
                writer.add(tensor, _merged(tensor, base, parts))
            _note_dtype(folder, [d for checkpoint in (base, *full.values()) for d in checkpoint.dtypes.values()])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Delta:
    """An adapter seen as a task vector of the base's checkpoint: ``places`` has its module of each stored weight."""

    adapter: LoraAdapter
    places: Mapping[str, str]

    @classmethod
    def of(cls, member: str, adapter: LoraAdapter, base: LazyCheckpoint) -> _Delta:
        places: dict[str, str] = {}
        for module in adapter.modules:
            name = _weight_of(module, base.shapes)
            if name is None:
                raise IncompatibleModelError(
                    f"{member!r} changes {module}, which the base does not store apart (tied weights): "
                    "merge it with adapters only"
                )
            places[name] = module
        return cls(adapter=adapter, places=places)

    def tensor(self, name: str) -> torch.Tensor:
        delta = self.adapter.delta(self.places[name])
        return delta.T if self.adapter.fan_in_fan_out else delta


def _merged(name: str, base: LazyCheckpoint, parts: Sequence[tuple[float, LazyCheckpoint | _Delta]]) -> torch.Tensor:
    """One tensor of the merged model, summed in float32 (float64 where the base has it)."""
    start = base.tensor(name)
    if not start.is_floating_point():
        for _, part in parts:
            if isinstance(part, LazyCheckpoint) and not torch.equal(part.tensor(name), start):
                raise IncompatibleModelError(f"{part.where}: tensor {name} is not floating and differs from the base's")
        return start
    dtype = start.dtype
    origin = start.to(torch.promote_types(start.dtype, torch.float32))
    total = origin.clone()
    for weight, part in parts:
        if isinstance(part, _Delta):
            if name in part.places:
                total += weight * part.tensor(name)
            continue
        tensor = part.tensor(name)
        dtype = torch.promote_types(dtype, tensor.dtype)
        total += weight * (tensor.to(origin.dtype) - origin)
    return total.to(dtype)


def _adapter_of(source: Source, base: Path) -> LoraAdapter:
    """A member's adapter, its shapes held against the base's."""
    adapter = read_adapter(source.folder)
    shapes = tensor_shapes(weight_files(base))
    refused = f"{source.member.name!r} ({source.folder}) is no adapter of base {base}"
    for module, factors in adapter.modules.items():
        weight = _weight_of(module, shapes) or (_tied_head(shapes) if f"{module}.weight" == _HEAD else None)
        if weight is None:
            raise IncompatibleModelError(f"{refused}: the base has no module {module}")
        shape = (factors.b.shape[0], factors.a.shape[1])
        wanted = shapes[weight][::-1] if adapter.fan_in_fan_out else shapes[weight]
        if shape != wanted:
            raise IncompatibleModelError(
                f"{refused}: its update of {module} has shape {shape}, the base's weight {wanted}"
            )
    return adapter


def _weight_of(module: str, shapes: Mapping[str, tuple[int, ...]]) -> str | None:
    """The stored name of a module's weight; some checkpoints leave out the first parts of a name."""
    name = f"{module}.weight"
    while name not in shapes and "." in name.removesuffix(".weight"):
        name = name.partition(".")[2]
    return name if name in shapes else None


def _tied_head(shapes: Mapping[str, tuple[int, ...]]) -> str | None:
    return next((name for name in shapes if name.endswith(("embed_tokens.weight", "wte.weight"))), None)


def _check_same(base: LazyCheckpoint, other: LazyCheckpoint, member: str, *, tied: bool) -> None:
    """Both hold the same tensors in the same shapes; a tied output layer that is stored once more does not count."""
    again = {_HEAD} if tied and _tied(other.where) else set()
    refused = f"{member!r} ({other.where}) is no fine-tune of base {base.where}"
    if missing := sorted(base.shapes.keys() - other.shapes.keys()):
        raise IncompatibleModelError(f"{refused}: it lacks {len(missing)} tensor(s), first {missing[0]}")
    if extra := sorted(other.shapes.keys() - base.shapes.keys() - again):
        raise IncompatibleModelError(f"{refused}: it has {len(extra)} tensor(s) more, first {extra[0]}")
    for name, shape in base.shapes.items():
        if other.shapes[name] != shape:
            raise IncompatibleModelError(
                f"{refused}: tensor {name} has shape {other.shapes[name]}, the base's {shape} (another width or vocabulary)"
            )


def _note_dtype(folder: Path, dtypes: Iterable[torch.dtype | None]) -> None:
    """Let the configuration name the widest dtype of what was merged, which is the result's."""
    known = {dtype for dtype in dtypes if dtype is not None}
    if not known:
        return
    widest = reduce(torch.promote_types, known)
    config = _config(folder)
    key = next((key for key in ("dtype", "torch_dtype") if key in config), None)
    if key is not None:
        config[key] = str(widest).removeprefix("torch.")
        write_text(folder / "config.json", json.dumps(config, indent=2, sort_keys=True) + "\n")


def _tied(folder: Path) -> bool:
    return bool(_config(folder).get("tie_word_embeddings", True))


def _config(folder: Path) -> dict[str, Any]:
    file = folder / "config.json"
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise IncompatibleModelError(f"{file}: expected a model's configuration in JSON ({error})") from error
