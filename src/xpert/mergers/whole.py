"""A full model written out of core: tensor by tensor, block by block, in float32, whatever the members are.

No more than a block of each model is in memory, so that eight models need no more of it than two.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import reduce
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import torch

from xpert.errors import IncompatibleModelError, WeightsError
from xpert.mergers.vectors import HEAD, AdapterVector, BaseTensors, FullVector, TaskVector, blocks
from xpert.progress import track
from xpert.tensors.checkpoint import LazyCheckpoint
from xpert.tensors.files import write_text
from xpert.tensors.shards import RowWriter, TensorSpec

__all__ = ["BlockRule", "Combination", "checked", "is_tied", "model_config", "plan_part", "write_config", "write_part"]

BlockRule: TypeAlias = Callable[[int, int, torch.Tensor], torch.Tensor]
"""Rows ``start`` to ``stop`` of the merged tensor, from these and the base's rows in float32 or float64."""


class Combination(Protocol):
    """How task vectors become one."""

    def begin(self, name: str, base: BaseTensors, vectors: Sequence[TaskVector]) -> BlockRule:
        """Make ready for one tensor.

        Args:
            name: The tensor.
            base: The base.
            vectors: Those that change it, at least one.
        """
        ...


def plan_part(base: BaseTensors, vectors: Sequence[TaskVector]) -> tuple[list[TensorSpec], bool]:
    """What the merged model will store, and whether its embeddings are no longer tied.

    Each tensor has the widest number type of base and full members.
    """
    split = any(isinstance(vector, AdapterVector) and vector.splits for vector in vectors)
    names = [name for name in base.checkpoint.shapes if name != HEAD or base.shared is None]
    names += [HEAD] if split else []
    specs = [TensorSpec(name=name, shape=base.shape(name), dtype=_dtype(name, base, vectors)) for name in names]
    return specs, split


def write_part(
    folder: Path,
    specs: Sequence[TensorSpec],
    base: BaseTensors,
    vectors: Sequence[TaskVector],
    *,
    combination: Combination,
    stem: str,
    max_shard_bytes: int,
    label: str,
) -> None:
    """Write the tensors that `plan_part` gave.

    Raises:
        xpert.errors.WeightsError: A value is not finite, or does not fit the stored type.
        xpert.errors.IncompatibleModelError: Members differ in a tensor that is not floating.
    """
    with RowWriter(folder=folder, specs=specs, max_bytes=max_shard_bytes, stem=stem) as writer:
        for spec in track(writer.order, label, unit="tensor"):
            some = [vector for vector in vectors if vector.changes(spec.name)]
            if not spec.dtype.is_floating_point:
                writer.add(_unchanged(spec.name, base, some))
                continue
            rule = combination.begin(spec.name, base, some) if some else None
            for start, stop in blocks(spec.shape):
                stored = base.rows(spec.name, start, stop)
                if rule is None:
                    writer.add(checked(stored, spec.name, base.checkpoint))
                    continue
                origin = stored.to(torch.promote_types(stored.dtype, torch.float32))
                merged = rule(start, stop, origin)
                if not bool(merged.sum().isfinite()):
                    _blame(merged, spec.name, (start, stop), base, some)
                writer.add(_stored_as(merged, spec, folder))


def checked(rows: torch.Tensor, name: str, checkpoint: LazyCheckpoint) -> torch.Tensor:
    """The rows of a checkpoint, if they are finite.

    Raises:
        xpert.errors.WeightsError: Names file and tensor.
    """
    if rows.is_floating_point() and not bool(rows.isfinite().all()):
        raise WeightsError(
            f"{checkpoint.file_of(name)}: tensor {name} has NaN or infinite values: train or download it again"
        )
    return rows


def model_config(folder: Path) -> dict[str, Any]:
    """A model's ``config.json``; that of a part of a pipeline likewise.

    Raises:
        xpert.errors.IncompatibleModelError: There is none, or it is no JSON object.
    """
    file = folder / "config.json"
    try:
        values: Any = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise IncompatibleModelError(f"{file}: expected a model's configuration in JSON ({error})") from error
    if not isinstance(values, dict):
        raise IncompatibleModelError(f"{file}: expected a JSON object, it is a {type(values).__name__}")
    return values


def is_tied(folder: Path) -> bool:
    """Whether a model's configuration ties output layer and input embeddings (Transformers' default)."""
    return bool(model_config(folder).get("tie_word_embeddings", True))


def write_config(folder: Path, specs: Sequence[TensorSpec], *, split: bool) -> None:
    """Let the merged model's configuration name its number type, and that its embeddings are no longer tied."""
    config = model_config(folder)
    known = [spec.dtype for spec in specs if spec.dtype.is_floating_point]
    key = next((key for key in ("dtype", "torch_dtype") if key in config), None)
    if key is not None and known:
        config[key] = str(reduce(torch.promote_types, known)).removeprefix("torch.")
    if split:
        config["tie_word_embeddings"] = False
    write_text(folder / "config.json", json.dumps(config, indent=2, sort_keys=True) + "\n")


def _dtype(name: str, base: BaseTensors, vectors: Sequence[TaskVector]) -> torch.dtype:
    source = base.source(name)
    own = base.checkpoint.dtype(source)
    if not own.is_floating_point:
        return own
    full = (v.checkpoint for v in vectors if isinstance(v, FullVector) and source in v.checkpoint.shapes)
    return reduce(torch.promote_types, (checkpoint.dtype(source) for checkpoint in full), own)


def _unchanged(name: str, base: BaseTensors, vectors: Sequence[TaskVector]) -> torch.Tensor:
    start, stop = 0, (base.shape(name) or (1,))[0]
    rows = base.rows(name, start, stop)
    for vector in vectors:
        if isinstance(vector, FullVector) and not torch.equal(vector.value(name, start, stop), rows):
            raise IncompatibleModelError(
                f"{vector.checkpoint.file_of(name)}: tensor {name} is not floating and differs from the base's"
            )
    return rows


def _stored_as(merged: torch.Tensor, spec: TensorSpec, folder: Path) -> torch.Tensor:
    rows = merged.to(spec.dtype)
    if spec.dtype == torch.float16 and not bool(rows.isfinite().all()):
        raise WeightsError(
            f"merged tensor {spec.name}: {float(merged.abs().max()):.3g} does not fit float16 (at most 65504): "
            "use smaller weights, or a base in float32 or bfloat16"
        )
    return rows


def _blame(
    merged: torch.Tensor, name: str, rows: tuple[int, int], base: BaseTensors, vectors: Sequence[TaskVector]
) -> None:
    """Tell whose values are not finite; return where none is (a sum of finite values that is too large)."""
    checked(base.rows(name, *rows), base.source(name), base.checkpoint)
    for vector in vectors:
        if isinstance(vector, FullVector):
            checked(vector.value(name, *rows), base.source(name), vector.checkpoint)
    if not bool(merged.isfinite().all()):
        raise WeightsError(f"merged tensor {name} is not finite: use smaller weights")
