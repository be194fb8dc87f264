"""LinearMerger: task arithmetic, ``theta_base + sum_i w_i (theta_i - theta_base)``."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any, ClassVar

import torch

from xpert.errors import IncompatibleModelError
from xpert.mergers.base import Member, Source, check_target, open_sources, write_notes
from xpert.mergers.layouts import Layout, Part, layout_of
from xpert.progress import track
from xpert.references import require_weights
from xpert.tensors.checkpoint import LazyCheckpoint, ShardWriter, open_checkpoint
from xpert.tensors.files import atomic_folder, sha256_file, write_text
from xpert.tensors.lora import LoraAdapter, concatenate
from xpert.weights import tensor_shapes

__all__ = ["LinearMerger"]

_HEAD = "lm_head.weight"


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearMerger:
    """Sums task vectors with their weights.

    Adapters only: the result is an adapter whose delta is exactly the weighted sum (factors concatenated, float32). With a full
    model among them: a full model (of a pipeline, the components that differ; the others are copied), summed tensor by tensor in float32 and stored in the widest dtype of base and members, with
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
        base_folder, layout = require_weights(base, "merge"), layout_of(base)
        for source in sources:
            _check_kind(source, base_folder, layout)
        parts = layout.parts(base_folder)
        adapters = {s.member.name: _adapters_of(s, base_folder, parts, layout) for s in sources if s.kind == "adapter"}
        kind = "adapter" if len(adapters) == len(sources) else layout.kind
        with atomic_folder(target) as folder:
            if kind == "adapter":
                layout.write_adapters(_summed(sources, adapters), folder, base)
            else:
                full = {s.member.name: layout.parts(s.folder) for s in sources if s.kind != "adapter"}
                changed = [part for name, part in parts.items() if _differs(part, name, full, adapters)]
                layout.copy_rest(base_folder, folder, [part.name for part in changed])
                for part in changed:
                    self._merge_part(part, sources, full, adapters, folder / part.name)
            library = "peft" if kind == "adapter" and layout.kind == "full" else layout.library
            notes = {"method": "task arithmetic (linear)", "kind": kind, "library": library}
            write_notes(folder, base=base, sources=sources, words=words, **notes)
        return target

    def _merge_part(
        self,
        part: Part,
        sources: Sequence[Source],
        full: Mapping[str, Mapping[str, Part]],
        adapters: Mapping[str, Mapping[str, LoraAdapter]],
        folder: Path,
    ) -> None:
        """Sum one part of the models, tensor by tensor; members that do not have it are as the base."""
        with ExitStack() as stack:
            base = stack.enter_context(open_checkpoint(part.files))
            tied = _tied(part.folder)
            vectors: list[tuple[float, LazyCheckpoint | _Delta]] = []
            opened: list[LazyCheckpoint] = [base]
            for source in sources:
                name = source.member.name
                if name in adapters and part.name in adapters[name]:
                    vectors.append((source.member.weight, _Delta.of(name, adapters[name][part.name], base)))
                elif name in full and part.name in full[name]:
                    checkpoint = stack.enter_context(open_checkpoint(full[name][part.name].files))
                    _check_same(base, checkpoint, name, tied=tied)
                    vectors.append((source.member.weight, checkpoint))
                    opened.append(checkpoint)
            writer = stack.enter_context(ShardWriter(folder=folder, max_bytes=self.max_shard_bytes, stem=part.stem))
            for tensor in track(list(base.shapes), f"merging {part.name}".strip()):
                writer.add(tensor, _merged(tensor, base, vectors))
            _note_dtype(folder, [d for checkpoint in opened for d in checkpoint.dtypes.values()])


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

    def tensor(self, name: str, shape: tuple[int, ...]) -> torch.Tensor:
        delta = self.adapter.delta(self.places[name])
        return (delta.T if self.adapter.fan_in_fan_out else delta).reshape(shape)


def _merged(name: str, base: LazyCheckpoint, parts: Sequence[tuple[float, LazyCheckpoint | _Delta]]) -> torch.Tensor:
    """One tensor of the merged model, summed in float32 (float64 where the base has it)."""
    start = base.tensor(name)
    if not start.is_floating_point():
        for _, part in parts:
            if isinstance(part, _Delta) or name not in part.shapes:  # a buffer, which some versions do not store
                continue
            if not torch.equal(part.tensor(name), start):
                raise IncompatibleModelError(f"{part.where}: tensor {name} is not floating and differs from the base's")
        return start
    dtype = start.dtype
    origin = start.to(torch.promote_types(start.dtype, torch.float32))
    total = origin.clone()
    for weight, part in parts:
        if isinstance(part, _Delta):
            if name in part.places:
                total += weight * part.tensor(name, tuple(start.shape))
            continue
        tensor = part.tensor(name)
        dtype = torch.promote_types(dtype, tensor.dtype)
        total += weight * (tensor.to(origin.dtype) - origin)
    return total.to(dtype)


def _check_kind(source: Source, base: Path, layout: Layout) -> None:
    """A member is an adapter, or a whole model laid out as the base."""
    if source.kind == "adapter":
        return
    name = source.member.name
    if source.kind != layout.kind:
        raise IncompatibleModelError(
            f"{name!r} ({source.folder}) is of kind {source.kind}, the base {base} of kind {layout.kind}: "
            "expected an adapter or a model of this base"
        )
    layout.check(source.folder, base, name)


def _adapters_of(source: Source, base: Path, parts: Mapping[str, Part], layout: Layout) -> Mapping[str, LoraAdapter]:
    """A member's adapters by part, their shapes held against the base's."""
    adapters = layout.adapters(source.folder, base)
    refused = f"{source.member.name!r} ({source.folder}) is no adapter of base {base}"
    for name, adapter in adapters.items():
        if name not in parts:
            raise IncompatibleModelError(f"{refused}: the base has no component {name}")
        _check_shapes(adapter, tensor_shapes(parts[name].files), refused)
    return adapters


def _check_shapes(adapter: LoraAdapter, shapes: Mapping[str, tuple[int, ...]], refused: str) -> None:
    for module, factors in adapter.modules.items():
        weight = _weight_of(module, shapes) or (_tied_head(shapes) if f"{module}.weight" == _HEAD else None)
        if weight is None:
            raise IncompatibleModelError(f"{refused}: the base has no module {module}")
        shape, wanted = (factors.b.shape[0], factors.a.shape[1]), shapes[weight]
        if len(wanted) > 2:  # a convolution: the update is a matrix over its kernels
            wanted = (wanted[0], math.prod(wanted[1:]))
        wanted = wanted[::-1] if adapter.fan_in_fan_out else wanted
        if shape != wanted:
            raise IncompatibleModelError(
                f"{refused}: its update of {module} has shape {shape}, the base's weight {wanted}"
            )


def _summed(sources: Sequence[Source], adapters: Mapping[str, Mapping[str, LoraAdapter]]) -> dict[str, LoraAdapter]:
    """Part to the adapter whose delta is the weighted sum of the members' deltas."""
    names = sorted({part for own in adapters.values() for part in own})
    having = {part: [s for s in sources if part in adapters[s.member.name]] for part in names}
    return {
        part: concatenate([adapters[s.member.name][part] for s in some], [s.member.weight for s in some])
        for part, some in having.items()
    }


def _differs(
    part: Part,
    name: str,
    full: Mapping[str, Mapping[str, Part]],
    adapters: Mapping[str, Mapping[str, LoraAdapter]],
) -> bool:
    """Whether a member changes this part; told by the files' digests, so that what all share is copied as it is."""
    if any(name in own for own in adapters.values()) or not name:
        return True
    own = [sha256_file(file) for file in part.files]
    return any(name in parts and [sha256_file(file) for file in parts[name].files] != own for parts in full.values())


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
    kept = {name for name, dtype in (*base.dtypes.items(), *other.dtypes.items()) if dtype is None}
    if missing := sorted(base.shapes.keys() - other.shapes.keys() - kept):
        raise IncompatibleModelError(f"{refused}: it lacks {len(missing)} tensor(s), first {missing[0]}")
    if extra := sorted(other.shapes.keys() - base.shapes.keys() - again - kept):
        raise IncompatibleModelError(f"{refused}: it has {len(extra)} tensor(s) more, first {extra[0]}")
    for name, shape in base.shapes.items():
        if other.shapes.get(name, shape) != shape:
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
