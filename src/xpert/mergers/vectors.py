"""Task vectors, read row by row: what a full model or an adapter adds to each tensor of the base.

A base with tied embeddings stores one tensor for two: its input embedding and its output layer, which is called `HEAD` here
as elsewhere. An adapter may change one of the two alone; the merged model then stores both.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

import torch

from xpert.errors import IncompatibleModelError
from xpert.tensors.checkpoint import LazyCheckpoint
from xpert.tensors.lora import LoraAdapter

__all__ = ["BLOCK", "HEAD", "AdapterVector", "BaseTensors", "FullVector", "TaskVector", "blocks"]

HEAD = "lm_head.weight"
BLOCK = 1 << 20
"""Numbers that are worked on at a time: small enough for a processor's cache, large enough for its libraries."""
_EMBEDDINGS = ("embed_tokens.weight", "wte.weight", "word_embeddings.weight", "embed_in.weight")


def blocks(shape: tuple[int, ...], size: int = BLOCK) -> list[tuple[int, int]]:
    """Ranges of rows, each of about ``size`` numbers and at least one row.

    >>> blocks((5, 4), 8), blocks(())
    ([(0, 2), (2, 4), (4, 5)], [(0, 1)])
    """
    if not shape:
        return [(0, 1)]
    step = max(1, size // max(math.prod(shape[1:]), 1))
    return [(start, min(start + step, shape[0])) for start in range(0, shape[0], step)]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BaseTensors:
    """The base's tensors by name.

    Attributes:
        checkpoint: What is stored.
        shared: Name of the embedding that is the output layer too, where they are tied; else None.
    """

    checkpoint: LazyCheckpoint
    shared: str | None

    @classmethod
    def of(cls, checkpoint: LazyCheckpoint, *, tied: bool) -> BaseTensors:
        """With ``tied``, the embedding that a causal language model shares with its output layer is looked for."""
        names = [name for name in checkpoint.shapes if name.endswith(_EMBEDDINGS)] if tied else []
        return cls(checkpoint=checkpoint, shared=names[0] if names else None)

    def source(self, name: str) -> str:
        """The stored name of a tensor: the tied output layer is stored as the embedding."""
        return self.shared if name == HEAD and self.shared is not None else name

    def shape(self, name: str) -> tuple[int, ...]:
        """Of a tensor."""
        return self.checkpoint.shapes[self.source(name)]

    def rows(self, name: str, start: int, stop: int) -> torch.Tensor:
        """As they are stored."""
        return self.checkpoint.rows(self.source(name), start, stop)

    def find(self, name: str) -> str | None:
        """A tensor by the name that an adapter has for it; some checkpoints leave out the first parts of a name."""
        if name == HEAD and self.shared is not None:
            return HEAD
        while name not in self.checkpoint.shapes and "." in name.rpartition(".")[0]:
            name = name.partition(".")[2]
        return name if name in self.checkpoint.shapes else None


class TaskVector(Protocol):
    """What a member adds to the base."""

    @property
    def name(self) -> str:
        """Of the member."""
        ...

    @property
    def weight(self) -> float:
        """Of the member."""
        ...

    def changes(self, name: str) -> bool:
        """Whether a tensor is another than the base's, as far as names tell."""
        ...

    def delta(self, name: str, start: int, stop: int, origin: torch.Tensor) -> torch.Tensor:
        """Rows of member minus base, in the type of ``origin``, the base's rows.

        Args:
            name: A tensor that it changes.
            start: First row.
            stop: Last row, exclusive.
            origin: ``(stop - start, ...)`` float32 or float64.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FullVector:
    """A fine-tuned model of the base's own tensors."""

    name: str
    weight: float
    checkpoint: LazyCheckpoint
    base: BaseTensors

    def changes(self, name: str) -> bool:
        """It has every tensor."""
        return self.base.source(name) in self.checkpoint.shapes

    def value(self, name: str, start: int, stop: int) -> torch.Tensor:
        """Rows as they are stored."""
        return self.checkpoint.rows(self.base.source(name), start, stop)

    def delta(self, name: str, start: int, stop: int, origin: torch.Tensor) -> torch.Tensor:
        """Its rows minus the base's."""
        return self.value(name, start, stop).to(origin.dtype) - origin


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AdapterVector:
    """An adapter seen as a task vector.

    Attributes:
        name: Of the member.
        weight: Of the member.
        adapter: What is added; extras that equal the base are left out.
        modules: Name of a tensor to the module that updates it.
        stored: Name of a tensor to what replaces it.
        tokens: Name of an embedding's tensor to the module whose rows are replaced.
        keys: Name of a tensor to PEFT's own name for it, of all that it changes.
        turned: Tensors that are stored transposed, ``(in, out)``.
        base: The base.
    """

    name: str
    weight: float
    adapter: LoraAdapter
    modules: Mapping[str, str]
    stored: Mapping[str, torch.Tensor]
    tokens: Mapping[str, str]
    keys: Mapping[str, str]
    turned: frozenset[str]
    base: BaseTensors
    _norms: dict[str, torch.Tensor] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, name: str, weight: float, adapter: LoraAdapter, base: BaseTensors, refused: str) -> AdapterVector:
        """Find the adapter's places in the base.

        Args:
            name: Of the member.
            weight: Of the member.
            adapter: As it was read.
            base: The base.
            refused: How messages begin: that this member is no adapter of this base.

        Raises:
            xpert.errors.IncompatibleModelError: The base has no such module, or of another shape.
        """
        modules: dict[str, str] = {}
        turned: set[str] = set()
        for module in adapter.modules:
            tensor = _found(base, f"{module}.weight", module, refused)
            modules[tensor] = module
            if _is_turned(adapter, module, base.shape(tensor), refused):
                turned.add(tensor)
        tokens = {_found(base, f"{module}.weight", module, refused): module for module in adapter.extras.tokens}
        for tensor, module in tokens.items():
            _check_tokens(adapter, module, base.shape(tensor), refused)
        stored: dict[str, torch.Tensor] = {}
        keys = {tensor: f"{module}.weight" for tensor, module in (modules | tokens).items()}
        for key, values in adapter.extras.stored.items():
            tensor = _found(base, key, key, refused)
            if tuple(values.shape) != base.shape(tensor):
                raise IncompatibleModelError(
                    f"{refused}: its {key} has shape {tuple(values.shape)}, the base's {base.shape(tensor)} "
                    "(another width or vocabulary)"
                )
            if not _same(values, tensor, base):
                stored[tensor], keys[tensor] = values, key
        made = cls(
            name=name,
            weight=weight,
            adapter=adapter,
            modules=modules,
            stored=stored,
            tokens=tokens,
            keys=keys,
            turned=frozenset(turned),
            base=base,
        )
        return made._with_tied_head(refused) if base.shared is not None else made

    def changes(self, name: str) -> bool:
        """Whether it updates a tensor, replaces it, or some of its rows."""
        return name in self.modules or name in self.stored or name in self.tokens

    def tensor_of(self, module: str) -> str:
        """The tensor that a module's factors update."""
        return next(tensor for tensor, name in self.modules.items() if name == module)

    @property
    def splits(self) -> bool:
        """Whether it changes the two sides of tied embeddings differently."""
        shared = self.base.shared
        if shared is None:
            return False
        places = ((self.modules.get(n), n in self.stored, self.tokens.get(n)) for n in (shared, HEAD))
        one, other = places
        return one != other or (HEAD in self.stored and not torch.equal(self.stored[HEAD], self.stored[shared]))

    def delta(self, name: str, start: int, stop: int, origin: torch.Tensor) -> torch.Tensor:
        """Its rows minus the base's."""
        begun = self.stored[name][start:stop].reshape(origin.shape).to(origin.dtype) if name in self.stored else origin
        module = self.modules.get(name)
        if module is None:
            total = begun
        else:
            update = self._update(name, start, stop, origin.dtype).reshape(origin.shape)
            dora = module in self.adapter.extras.magnitudes
            if begun is origin and not dora and name not in self.tokens:
                return update  # not (base + update) - base, which rounds
            total = begun + update
            if dora:
                total = total * self._factors(name, module, start, stop, total)
        return (self._replaced(name, start, stop, total) if name in self.tokens else total) - origin

    def _update(self, name: str, start: int, stop: int, dtype: torch.dtype) -> torch.Tensor:
        """Rows of the low-rank update, as the tensor is stored."""
        factors = self.adapter.modules[self.modules[name]]
        if name in self.turned:
            return factors.a[:, start:stop].T.to(dtype) @ (factors.scale * factors.b.to(dtype)).T
        return (factors.scale * factors.b[start:stop].to(dtype)) @ factors.a.to(dtype)

    def _factors(self, name: str, module: str, start: int, stop: int, total: torch.Tensor) -> torch.Tensor:
        """DoRA: what rows (or, stored transposed, columns) of the updated weight are multiplied by.

        Source: Liu et al., "DoRA", 2024 (arXiv 2402.09353), Eq. 5: ``W' = m (W + s B A) / || W + s B A ||``.
        """
        magnitude = self.adapter.extras.magnitudes[module].to(total.dtype)
        if name in self.turned:
            return magnitude / self._column_norms(name, total.dtype)
        factors = magnitude[start:stop] / total.flatten(1).norm(dim=1)
        return factors.reshape(-1, *(1 for _ in total.shape[1:]))

    def _column_norms(self, name: str, dtype: torch.dtype) -> torch.Tensor:
        """``(out,)`` norms over all rows of the stored weight; computed once a tensor."""
        if name not in self._norms:
            shape = self.base.shape(name)
            squares = torch.zeros(shape[1], dtype=torch.float64)
            for start, stop in blocks(shape):
                rows = self.stored[name][start:stop] if name in self.stored else self.base.rows(name, start, stop)
                squares += ((rows.to(dtype) + self._update(name, start, stop, dtype)).double() ** 2).sum(0)
            self._norms.clear()
            self._norms[name] = squares.sqrt().to(dtype)
        return self._norms[name]

    def _replaced(self, name: str, start: int, stop: int, total: torch.Tensor) -> torch.Tensor:
        tokens = self.adapter.extras.tokens[self.tokens[name]]
        inside = (tokens.indices >= start) & (tokens.indices < stop)
        if not bool(inside.any()):
            return total
        return total.index_copy(0, tokens.indices[inside] - start, tokens.rows[inside].to(total.dtype))

    def _with_tied_head(self, refused: str) -> AdapterVector:
        """Replaced rows of a tied embedding are those of the output layer too; with ``tied`` all else is as well."""
        shared = str(self.base.shared)
        if shared in self.tokens and (HEAD in self.modules or HEAD in self.stored):
            raise IncompatibleModelError(
                f"{refused}: it replaces tokens of tied embeddings and changes their output layer besides: "
                "which of the two holds is not told; train it with one of them"
            )
        tokens = dict(self.tokens) | ({HEAD: self.tokens[shared]} if shared in self.tokens else {})
        modules, stored, turned = dict(self.modules), dict(self.stored), self.turned
        keys = {HEAD: HEAD, **self.keys}
        if self.adapter.extras.tied:
            if shared in modules:
                modules[HEAD] = modules[shared]
                turned = turned | ({HEAD} if shared in turned else set())
            if shared in stored:
                stored[HEAD] = stored[shared]
        return replace(self, tokens=tokens, modules=modules, stored=stored, keys=keys, turned=turned)


def _found(base: BaseTensors, tensor: str, module: str, refused: str) -> str:
    found = base.find(tensor)
    if found is None:
        raise IncompatibleModelError(f"{refused}: the base has no module {module}")
    return found


def _is_turned(adapter: LoraAdapter, module: str, wanted: tuple[int, ...], refused: str) -> bool:
    """Whether a module's weight is stored ``(in, out)``; its shape is held against the update's."""
    factors = adapter.modules[module]
    shape = (factors.b.shape[0], factors.a.shape[1])
    flat = (wanted[0], math.prod(wanted[1:]))  # a convolution: the update is a matrix over its kernels
    turned = adapter.fan_in_fan_out or module in adapter.extras.embeddings
    if shape == (flat[::-1] if turned else flat):
        return turned
    if adapter.fan_in_fan_out and shape == flat:  # a linear layer among GPT-2's transposed ones
        return False
    raise IncompatibleModelError(
        f"{refused}: its update of {module} has shape {shape}, the base's weight {flat[::-1] if turned else flat}"
    )


def _check_tokens(adapter: LoraAdapter, module: str, shape: tuple[int, ...], refused: str) -> None:
    tokens = adapter.extras.tokens[module]
    if tokens.rows.shape[1] != shape[1] or int(tokens.indices.max()) >= shape[0]:
        raise IncompatibleModelError(
            f"{refused}: it replaces row {int(tokens.indices.max())} of width {tokens.rows.shape[1]} in {module}, "
            f"the base's has shape {shape} (another width or vocabulary)"
        )


def _same(values: torch.Tensor, name: str, base: BaseTensors) -> bool:
    """Whether a stored tensor is the base's own, as PEFT saves embedding layers along."""
    for start, stop in blocks(base.shape(name)):
        rows = base.rows(name, start, stop)
        if not torch.equal(rows, values[start:stop].reshape(rows.shape).to(rows.dtype)):
            return False
    return True
