"""A layer's weights put into the model when their turn comes, and taken out after."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch

from xpert.streaming.skeleton import Step, execution_order
from xpert.streaming.sources import Source
from xpert.streaming.window import Place, Unit, Window

__all__ = ["StreamedLayer", "split_layer"]

SMALL_SHARE = 64
"""Tensors below this part of their layer's bytes are read together with the next larger one."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StreamedLayer:
    """A decoder layer whose weights come and go.

    Attributes:
        number: Its place.
        module: The layer.
        units: Its tensors in groups, in the order in which they are asked for.
        ordered: Whether that order is known; if not, there is one unit, for the whole layer.
    """

    number: int
    module: Any
    units: tuple[Unit, ...]
    ordered: bool

    @property
    def n_bytes(self) -> int:
        """Of all its weights, in memory."""
        return sum(unit.n_bytes for unit in self.units)

    @contextmanager
    def weights(
        self, window: Window, resident: dict[Unit, list[torch.Tensor]], kept: frozenset[Unit]
    ) -> Iterator[_Turn]:
        """The layer as it can be called: weights come when they are asked for; what is in is out when the context is left."""
        turn = _Turn(layer=self, window=window, resident=resident, kept=kept)
        hooks: list[Any] = []
        try:
            if self.ordered:
                for unit in self.units:
                    for owner in dict.fromkeys(place.owner for place in unit.places):
                        hooks.append(owner.register_forward_pre_hook(_asks(turn, unit)))
                        hooks.append(owner.register_forward_hook(_done(turn, unit)))
            else:
                turn.put(self.units[0])
            yield turn
        finally:
            for hook in hooks:
                hook.remove()
            for unit in list(turn.inside):
                turn.take_out(unit)


@dataclass(slots=True, kw_only=True, eq=False)
class _Turn:
    """A layer's turn.

    Attributes:
        last: Whether the last micro-batch goes through: a weight leaves as soon as it is used.
        inside: What is in the model.
    """

    layer: StreamedLayer
    window: Window
    resident: dict[Unit, list[torch.Tensor]]
    kept: frozenset[Unit]
    last: bool = False
    inside: dict[Unit, list[torch.Tensor]] = field(default_factory=dict)
    _called: dict[Unit, int] = field(default_factory=dict)

    def put(self, unit: Unit) -> None:
        """Put the unit's weights in, if they are not."""
        if unit in self.inside:
            return
        tensors = self.resident.get(unit)
        if tensors is None:
            tensors = self.window.take(unit)
            if unit in self.kept:
                self.resident[unit] = tensors
        self.inside[unit] = tensors
        for place, tensor in zip(unit.places, tensors, strict=True):
            place.owner._parameters[place.name] = torch.nn.Parameter(tensor, requires_grad=False)

    def used(self, unit: Unit) -> None:
        """One of the unit's modules has been called."""
        if self.last:
            self._called[unit] = self._called.get(unit, 0) + 1
            if self._called[unit] == len({id(place.owner) for place in unit.places}):
                self.take_out(unit)

    def take_out(self, unit: Unit) -> None:
        """Leave the model without the unit's weights."""
        tensors = self.inside.pop(unit)
        for place in unit.places:
            place.owner._parameters[place.name] = torch.nn.Parameter(
                torch.empty(place.source.shape, dtype=place.source.dtype, device="meta"), requires_grad=False
            )
        if unit not in self.kept:
            self.window.give_back(unit, tensors)


def _asks(turn: _Turn, unit: Unit) -> Callable[..., None]:
    return lambda module, _: turn.put(unit)


def _done(turn: _Turn, unit: Unit) -> Callable[..., None]:
    return lambda module, args, output: turn.used(unit)


def split_layer(
    number: int, layer: Any, *, name: str, sources: Mapping[str, Source], step: Step, hidden: torch.Tensor
) -> StreamedLayer:
    """A layer in units: as small as its own order of calls allows.

    Args:
        number: Its place.
        layer: The layer, its parameters on the meta device.
        name: What its parameters' names begin with.
        sources: Of all parameters.
        step: What it is called with.
        hidden: Hidden states to try it out with.
    """
    order = execution_order(layer, step, hidden)
    names = {id(module): inner for inner, module in layer.named_modules()}
    owners = order or [module for module in layer.modules() if module._parameters]
    groups = [
        [
            Place(owner=owner, name=leaf, source=sources[".".join(p for p in (name, names[id(owner)], leaf) if p)])
            for leaf, parameter in owner._parameters.items()
            if parameter is not None
        ]
        for owner in owners
    ]
    units = [[place for group in groups for place in group]] if order is None else _joined(groups)
    made = tuple(Unit(layer=number, places=tuple(places)) for places in units)
    return StreamedLayer(number=number, module=layer, units=made, ordered=order is not None)


def _joined(groups: Sequence[list[Place]]) -> list[list[Place]]:
    """Small tensors with the next larger one, those at the end with the one before."""
    total = sum(place.source.n_bytes for group in groups for place in group)
    units: list[list[Place]] = []
    waiting: list[Place] = []
    for group in groups:
        waiting = waiting + group
        if sum(place.source.n_bytes for place in waiting) >= max(1, total // SMALL_SHARE):
            units.append(waiting)
            waiting = []
    if waiting:
        units = [*units[:-1], [*units[-1], *waiting]] if units else [waiting]
    return units
