"""The sum of adapters as an adapter: exact for LoRA, whatever ranks, scales, biases, whole modules and tokens the members have."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import torch

from xpert.mergers.vectors import HEAD, AdapterVector, BaseTensors, blocks
from xpert.tensors.lora import LoraAdapter, TokenRows, concatenate

__all__ = ["sum_of_adapters"]


def sum_of_adapters(vectors: Sequence[AdapterVector], base: BaseTensors) -> LoraAdapter | None:
    """The adapter whose delta is the weighted sum of the members' deltas; None where PEFT has no adapter for it.

    Factors are concatenated. A module that a member replaces whole is replaced whole (``modules_to_save``), the other members'
    updates of it added in; biases are summed, and so are replaced rows of embeddings. None: with DoRA among them, or with no
    update of low rank left.
    """
    if any(vector.adapter.extras.magnitudes for vector in vectors):
        return None
    dense = _dense(vectors, base)
    keys = {tensor: key for vector in vectors for tensor, key in vector.keys.items()} | (
        {HEAD: HEAD} if HEAD in dense else {}
    )
    adapters, weights = [], []
    for vector in vectors:
        left = {module: f for module, f in vector.adapter.modules.items() if vector.tensor_of(module) not in dense}
        if left:
            adapters.append(replace(vector.adapter, modules=left))
            weights.append(vector.weight)
    if not adapters:
        return None
    summed = concatenate(adapters, weights)
    stored: dict[str, torch.Tensor] = {}
    for tensor in sorted(dense):
        module, key = tensor.rpartition(".")[0], keys[tensor].rpartition(".")[0]
        for name in (f"{module}.weight", f"{module}.bias"):
            if name == HEAD or name in base.checkpoint.shapes:
                stored[f"{key}.{name.rpartition('.')[2]}"] = _total(name, vectors, base)
    saved = tuple(sorted({name.rpartition(".")[0] for name in stored}))
    bias, biases = _biases(vectors, base, summed, keys, saved)
    return replace(
        summed,
        targets=None if dense else summed.targets,
        extras=replace(
            summed.extras, stored=stored | biases, tokens=_tokens(vectors, base, dense), bias=bias, saved=saved
        ),
    )


def _dense(vectors: Sequence[AdapterVector], base: BaseTensors) -> set[str]:
    """Weights of which the sum is neither of low rank nor a few rows: those that a member replaces whole, or tied ones apart."""
    dense: set[str] = set()
    for vector in vectors:
        dense |= {name for name in vector.stored if name.endswith(".weight") or _is_saved(vector.keys[name], vector)}
    dense = {name.rpartition(".")[0] + ".weight" for name in dense}
    for name in {name for vector in vectors for name in vector.tokens}:
        if any(name in vector.modules for vector in vectors):
            dense.add(name)
    shared = base.shared
    both = {shared, HEAD}
    if shared is not None:
        tied = any(v.adapter.extras.tied and both & v.modules.keys() for v in vectors)
        tokens = any(both & v.tokens.keys() for v in vectors)
        if tied or (tokens and dense & both):
            dense |= {shared, HEAD}
    return dense


def _is_saved(key: str, vector: AdapterVector) -> bool:
    return any(f".{name}." in f".{key}" for name in vector.adapter.extras.saved)


def _total(name: str, vectors: Iterable[AdapterVector], base: BaseTensors) -> torch.Tensor:
    """A tensor of the base plus the weighted sum of what the members add, float32."""
    some = [vector for vector in vectors if vector.changes(name)]
    parts: list[torch.Tensor] = []
    for start, stop in blocks(base.shape(name)):
        total = base.rows(name, start, stop).float()
        origin = total.clone()
        for vector in some:
            total.add_(vector.delta(name, start, stop, origin), alpha=vector.weight)
        parts.append(total)
    return torch.cat(parts)


def _biases(
    vectors: Sequence[AdapterVector], base: BaseTensors, summed: LoraAdapter, keys: dict[str, str], saved: Sequence[str]
) -> tuple[str, dict[str, torch.Tensor]]:
    """PEFT's ``bias`` for the sum, and the biases that such an adapter stores."""
    modes = {vector.adapter.extras.bias for vector in vectors}
    mode = next((mode for mode in ("all", "lora_only") if mode in modes), "none")
    if mode == "none":
        return mode, {}
    stored = next((t for t in keys if t != HEAD), HEAD)
    prefix = keys[stored].removesuffix(stored)  # what the checkpoint leaves out of its names
    found: dict[str, torch.Tensor] = {}
    for name in base.checkpoint.shapes:
        module = f"{prefix}{name.rpartition('.')[0]}"
        wanted = name.endswith(".bias") and module not in saved
        if wanted and (mode == "all" or module in summed.modules):
            found[f"{module}.bias"] = _total(name, vectors, base)
    return mode, found


def _tokens(vectors: Sequence[AdapterVector], base: BaseTensors, dense: set[str]) -> dict[str, TokenRows]:
    """Of each embedding the rows that any member replaces, summed; a tied output layer follows by itself."""
    found: dict[str, TokenRows] = {}
    for name in sorted({n for v in vectors for n in v.tokens if n not in dense and not (n == HEAD and base.shared)}):
        some = [vector for vector in vectors if name in vector.tokens]
        own = [vector.adapter.extras.tokens[vector.tokens[name]] for vector in some]
        indices = torch.cat([rows.indices for rows in own]).unique()
        total = torch.cat([base.rows(name, int(i), int(i) + 1).float() for i in indices])
        origin = total.clone()
        for vector, rows in zip(some, own, strict=True):
            places = torch.searchsorted(indices, rows.indices)
            total.index_add_(0, places, rows.rows.float() - origin[places], alpha=vector.weight)
        found[some[0].tokens[name]] = TokenRows(indices=indices, rows=total)
    return found
