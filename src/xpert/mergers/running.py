"""What all merge methods do alike: find and check the members, choose the result's form, write it, and tell how it was made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xpert.errors import IncompatibleModelError, SettingsError
from xpert.mergers.adapters import sum_of_adapters
from xpert.mergers.base import Member, Source, check_target, open_sources, write_notes
from xpert.mergers.checks import check_kind, check_same
from xpert.mergers.layouts import Layout, Part, layout_of
from xpert.mergers.vectors import AdapterVector, BaseTensors, FullVector, TaskVector
from xpert.mergers.whole import Combination, is_tied, plan_part, write_config, write_part
from xpert.progress import say
from xpert.references import require_weights
from xpert.tensors.checkpoint import open_checkpoint
from xpert.tensors.files import atomic_folder, check_space, sha256_file
from xpert.tensors.lora import LoraAdapter, compress

__all__ = ["MAX_SHARD_BYTES", "Recipe", "run_merge"]

MAX_SHARD_BYTES = 4_000_000_000
_SPARE_BYTES = 10_000_000  # tokenizer, card and record


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How a method merges.

    Attributes:
        title: For the card.
        options: Its settings, for the record.
        combination: How task vectors are combined where the result is a full model.
        sums: Whether it is a plain weighted sum, which of LoRA adapters is an adapter.
        rank: Compress an adapter to this rank; None: keep it exact.
        max_shard_bytes: Largest weight file of a full result.
    """

    title: str
    options: Mapping[str, Any]
    combination: Combination
    sums: bool = False
    rank: int | None = None
    max_shard_bytes: int = MAX_SHARD_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    """A merge whose members are found and checked."""

    recipe: Recipe
    base: Path
    layout: Layout
    sources: Sequence[Source]
    parts: Mapping[str, Part]
    adapters: Mapping[str, Mapping[str, LoraAdapter]]
    full: Mapping[str, Mapping[str, Part]]

    @contextmanager
    def vectors(self, part: Part) -> Iterator[tuple[BaseTensors, list[TaskVector]]]:
        """One part of the base, and the members' task vectors of it; members that do not have it are as the base."""
        with ExitStack() as stack:
            tied = self.layout.kind == "full" and is_tied(part.folder)
            base = BaseTensors.of(stack.enter_context(open_checkpoint(part.files)), tied=tied)
            vectors: list[TaskVector] = []
            for source in self.sources:
                name, weight = source.member.name, source.member.weight
                if part.name in self.adapters.get(name, ()):
                    refused = f"{name!r} ({source.folder}) is no adapter of base {self.base}"
                    vectors.append(AdapterVector.of(name, weight, self.adapters[name][part.name], base, refused))
                elif part.name in self.full.get(name, ()):
                    checkpoint = stack.enter_context(open_checkpoint(self.full[name][part.name].files))
                    check_same(base, checkpoint, name, tied=tied)
                    vectors.append(FullVector(name=name, weight=weight, checkpoint=checkpoint, base=base))
            yield base, vectors


def run_merge(
    recipe: Recipe, base: str | Path, members: Sequence[Member], out: str | Path, words: Sequence[tuple[str, float]]
) -> Path:
    """Merge by a recipe; arguments and errors as in `xpert.mergers.base.MergeMethod.merge`."""
    target = check_target(out)
    job = _job(recipe, base, open_sources(members))
    summed = _adapters(job) if recipe.sums else None
    notes: list[str] = []
    if summed is None:
        kind, library = job.layout.kind, job.layout.library
        if recipe.rank is not None:
            raise SettingsError(
                f"rank={recipe.rank}: the result is a full model, as {_why_full(job)}; only an adapter has a rank: leave it out"
            )
        if not job.full:
            notes.append(f"A full model, as {_why_full(job)}.")
    else:
        kind, library = "adapter", "peft" if job.layout.kind == "full" else job.layout.library
        if recipe.rank is not None:
            summed, notes = _compressed(summed, recipe.rank)
        check_space(target, _SPARE_BYTES + sum(map(_bytes_of, summed.values())))
    with atomic_folder(target) as folder:
        if summed is not None:
            job.layout.write_adapters(summed, folder, base)
        else:
            notes += _write_whole(job, folder)
        write_notes(
            folder,
            method=recipe.title,
            options=recipe.options,
            base=base,
            sources=job.sources,
            words=words,
            kind=kind,
            library=library,
            notes=notes,
        )
    for note in notes:
        say(note)
    return target


def _job(recipe: Recipe, base: str | Path, sources: Sequence[Source]) -> _Job:
    folder, layout = require_weights(base, "merge"), layout_of(base)
    for source in sources:
        check_kind(source, folder, layout)
    parts = layout.parts(folder)
    adapters: dict[str, Mapping[str, LoraAdapter]] = {}
    for source in sources:
        if source.kind == "adapter":
            own = adapters[source.member.name] = layout.adapters(source.folder, folder)
            if strange := sorted(own.keys() - parts.keys()):
                raise IncompatibleModelError(
                    f"{source.member.name!r} ({source.folder}) is no adapter of base {folder}: the base has no component {strange[0]}"
                )
    full = {s.member.name: layout.parts(s.folder) for s in sources if s.kind != "adapter"}
    return _Job(recipe=recipe, base=folder, layout=layout, sources=sources, parts=parts, adapters=adapters, full=full)


def _adapters(job: _Job) -> dict[str, LoraAdapter] | None:
    """Part to the adapter that is the members' sum; None where the sum is no adapter."""
    if job.full:
        return None
    found: dict[str, LoraAdapter] = {}
    for name in sorted({part for own in job.adapters.values() for part in own}):
        with job.vectors(job.parts[name]) as (base, vectors):
            summed = sum_of_adapters([v for v in vectors if isinstance(v, AdapterVector)], base)
        if summed is None:
            return None
        found[name] = summed
    return found


def _why_full(job: _Job) -> str:
    if job.full:
        return f"{next(iter(job.full))!r} is one"
    for name, own in job.adapters.items():
        if any(adapter.extras.magnitudes for adapter in own.values()):
            return f"{name!r} is a DoRA adapter, whose change is of full rank"
    return "the sum has no part of low rank" if job.recipe.sums else f"{job.recipe.title} gives changes of full rank"


def _compressed(summed: Mapping[str, LoraAdapter], rank: int) -> tuple[dict[str, LoraAdapter], list[str]]:
    found: dict[str, LoraAdapter] = {}
    notes: list[str] = []
    for name, adapter in summed.items():
        before = max(factors.rank for factors in adapter.modules.values())
        if rank >= before:
            found[name] = adapter
            continue
        found[name], error = compress(adapter, rank)
        where = f" ({name})" if name else ""
        notes.append(
            f"Compressed from rank {before} to {rank}{where}: {100 * error:.2f}% of the updates is lost (Frobenius norm)."
        )
    return found, notes


def _bytes_of(adapter: LoraAdapter) -> int:
    held = [t for factors in adapter.modules.values() for t in (factors.a, factors.b)]
    held += [*adapter.extras.stored.values(), *(tokens.rows for tokens in adapter.extras.tokens.values())]
    return sum(tensor.numel() * tensor.element_size() for tensor in held)


def _write_whole(job: _Job, folder: Path) -> list[str]:
    """Write a full model or pipeline; what is to be told of it."""
    changed = [part for name, part in job.parts.items() if _differs(job, part, name)]
    notes: list[str] = []
    with ExitStack() as stack:
        opened = [(part, *stack.enter_context(job.vectors(part))) for part in changed]
        plans = [plan_part(base, vectors) for _, base, vectors in opened]
        kept = [part for name, part in job.parts.items() if part not in changed]
        size = sum(spec.n_bytes for specs, _ in plans for spec in specs)
        check_space(folder, _SPARE_BYTES + size + sum(file.stat().st_size for part in kept for file in part.files))
        job.layout.copy_rest(job.base, folder, [part.name for part in changed])
        for (part, base, vectors), (specs, split) in zip(opened, plans, strict=True):
            write_part(
                folder / part.name,
                specs,
                base,
                vectors,
                combination=job.recipe.combination,
                stem=part.stem,
                max_shard_bytes=job.recipe.max_shard_bytes,
                label=f"merging {part.name}".strip(),
            )
            write_config(folder / part.name, specs, split=split)
            notes += _told(part, base, specs, vectors, split=split)
    return notes


def _told(
    part: Part, base: BaseTensors, specs: Sequence[Any], vectors: Sequence[TaskVector], *, split: bool
) -> list[str]:
    notes: list[str] = []
    wider = next((s for s in specs if s.dtype != base.checkpoint.dtype(base.source(s.name))), None)
    full = [v for v in vectors if isinstance(v, FullVector)]
    narrow = next((v for v in full for s in specs if v.checkpoint.dtype(base.source(s.name)) != s.dtype), None)
    if wider is not None or narrow is not None:
        types = {"the base": base.checkpoint} | {f"{v.name!r}": v.checkpoint for v in full}
        name = base.source((wider or specs[0]).name)
        said = ", ".join(f"{who} {str(c.dtype(name)).removeprefix('torch.')}" for who, c in types.items())
        notes.append(f"Number types differ ({said}): the widest was kept{f' in {part.name}' if part.name else ''}.")
    if split:
        notes.append(
            "Input embedding and output layer are no longer tied, as a member changes only one of them: both are stored."
        )
    return notes


def _differs(job: _Job, part: Part, name: str) -> bool:
    """Whether a member changes this part; told by the files' digests, so that what all share is copied as it is."""
    if any(name in own for own in job.adapters.values()) or not name:
        return True
    own = [sha256_file(file) for file in part.files]
    return any(
        name in parts and [sha256_file(file) for file in parts[name].files] != own for parts in job.full.values()
    )
