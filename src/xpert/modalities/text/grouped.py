"""Several LoRA adapters on one base at once: each row of a batch goes through its own.

For a linear layer with input ``x`` the base's product is done once for all rows, and each adapter's rows get ``s B A x`` added by two
batched products of small matrices. The base's weights are never touched: the sum is added to a layer's output by a hook.

Source: the idea of batching adapters over a shared base is that of Chen et al., "Punica", 2023 (arXiv 2310.18547) and Sheng et al.,
"S-LoRA", 2023 (arXiv 2311.03285); here the rows of one adapter stand together, so plain batched products do.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from threading import Event
from typing import Any

import torch

from xpert.errors import IncompatibleModelError
from xpert.tensors.lora import LoraAdapter, stacked

__all__ = ["AdapterRows", "NotRowwiseError", "StoppedError", "side_by_side"]


class NotRowwiseError(Exception):
    """A layer does not see the batch's rows one beside the other (experts see some tokens of some rows). Never leaves the prober."""


class StoppedError(Exception):
    """Nobody waits for these answers any more. Never leaves the thread that computes them."""


class AdapterRows:
    """Which adapter each row of the batch goes through.

    Args:
        stacks: Module name to ``A (G, in, r)`` and ``B (G, r, out)``.
        stopped: When it is set, the next forward pass ends with `StoppedError`.
    """

    def __init__(self, stacks: Mapping[str, tuple[torch.Tensor, torch.Tensor]], stopped: Event | None = None) -> None:
        self._stacks, self._stopped = dict(stacks), stopped
        self._there: list[int] = []
        self._used = dict(stacks)
        self._n_rows = 0
        self._counts: list[int] = []

    def assign(self, adapters: Sequence[int]) -> None:
        """Say which adapter each of the ``B`` rows has; rows of one adapter stand together."""
        there = list(dict.fromkeys(adapters))
        counts = [adapters.count(g) for g in there]
        if [g for g, n in zip(there, counts, strict=True) for _ in range(n)] != list(adapters):
            raise ValueError("rows of one adapter must stand together")
        if there != self._there:
            self._used = {name: (a[there], b[there]) for name, (a, b) in self._stacks.items()}
        self._there, self._counts, self._n_rows = there, counts, len(adapters)

    def add(self, name: str, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """``y (B, T, out)`` plus each row's own update of ``x (B, T, in)``, added in float32, as PEFT does it; ``y`` is used up."""
        if self._stopped is not None and self._stopped.is_set():
            raise StoppedError
        if x.ndim != 3 or x.shape[0] != self._n_rows:
            raise NotRowwiseError(f"{name}: input of shape {tuple(x.shape)} for {self._n_rows} rows")
        a, b = self._used[name]
        x, total = x.to(a.dtype), y.to(a.dtype).contiguous()
        if len(set(self._counts)) == 1:
            total.view(len(a), -1, total.shape[-1]).baddbmm_(x.reshape(len(a), -1, x.shape[-1]) @ a, b)
        else:
            for g, (part, out) in enumerate(zip(x.split(self._counts), total.split(self._counts), strict=True)):
                out.view(-1, out.shape[-1]).addmm_(part.reshape(-1, part.shape[-1]) @ a[g], b[g])
        return total.to(y.dtype)


@contextmanager
def side_by_side(model: Any, adapters: Sequence[LoraAdapter], *, stopped: Event | None = None) -> Iterator[AdapterRows]:
    """The base with hooks that send each row through its adapter, for the length of the block; they go after an error too.

    Args:
        model: The base, a Transformers model in evaluation mode; its weights are only read.
        adapters: ``G`` adapters of it. Rows are assigned to them by number.
        stopped: Set from another thread, it ends the block's forward passes.

    Raises:
        xpert.errors.IncompatibleModelError: An adapter changes a module that the base has not, or that is of another shape.
    """
    names = sorted({name for adapter in adapters for name in adapter.modules})
    modules = {name: _module(model, name) for name in names}
    stacks = {name: _stack(name, modules[name], adapters) for name in names}
    rows, handles = AdapterRows(stacks, stopped), []
    try:
        for name, module in modules.items():
            handles.append(module.register_forward_hook(_hook(rows, name)))
        yield rows
    finally:
        for handle in handles:
            handle.remove()


def _hook(rows: AdapterRows, name: str) -> Any:
    def add(module: Any, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> torch.Tensor:
        return rows.add(name, inputs[0], output)

    return add


def _module(model: Any, name: str) -> Any:
    try:
        module = model.get_submodule(name)
    except AttributeError:
        raise IncompatibleModelError(f"the base has no module {name}, which an adapter changes") from None
    if getattr(module, "weight", None) is None or module.weight.ndim != 2:
        raise IncompatibleModelError(f"module {name} of the base is no linear layer: an adapter of it cannot be added")
    return module


def _stack(name: str, module: Any, adapters: Sequence[LoraAdapter]) -> tuple[torch.Tensor, torch.Tensor]:
    shape = tuple(module.weight.shape)
    rows, columns = shape if isinstance(module, torch.nn.Linear) else shape[::-1]  # Conv1D of GPT-2 is (in, out)
    try:
        a, b = stacked([adapter.modules.get(name) for adapter in adapters], columns, rows)
    except IncompatibleModelError as error:
        raise IncompatibleModelError(f"module {name}: {error}") from None
    return a.to(module.weight.device), b.to(module.weight.device)
