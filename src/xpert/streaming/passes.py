"""One pass over the layers: every micro-batch goes through a layer before the next layer's weights are asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers.cache_utils import DynamicCache

from xpert.decoding_cache import left_joined
from xpert.streaming.memory import lasting
from xpert.streaming.skeleton import Step, finished, recorded

__all__ = ["Call", "Result", "Wave", "begin", "end", "step_layer"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Call:
    """One forward pass of the decoder: a micro-batch.

    Attributes:
        inputs: Of the base model; ``use_cache`` is set here.
        keeps: Whether keys and values are wanted, in the cache given among the inputs or in a new one.
        shares: For each row which prefix it begins with, and how many of its tokens; the attention mask covers them.
    """

    inputs: Mapping[str, Any]
    keeps: bool = False
    shares: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Result:
    """What a call gives.

    Attributes:
        last: ``(B, 1, D)`` hidden states at the last position, after the final norm.
        cache: Keys and values, where they were wanted.
    """

    last: torch.Tensor
    cache: Any


@dataclass(slots=True, kw_only=True, eq=False)
class Wave:
    """A micro-batch on its way through the layers.

    Attributes:
        call: What was asked; None: a prefix, whose keys and values a layer's other waves take.
        hidden: Hidden states before the next layer.
        steps: What each layer is called with.
        cache: The call's own.
        prefix: Which prefix it is.
    """

    call: Call | None
    hidden: torch.Tensor
    steps: list[Step]
    cache: Any
    prefix: int = -1


def begin(
    model: Any,
    layers: Sequence[Any],
    calls: Sequence[Call],
    prefixes: Mapping[int, torch.Tensor],
    *,
    device: torch.device,
    as_tuple: bool,
) -> list[Wave]:
    """The waves before the first layer, prefixes first.

    Args:
        model: A causal LM, all but its layers in place.
        layers: Its layers.
        calls: The micro-batches.
        prefixes: Number to token ids ``(1, n)``, of prefixes that are still to be read.
        device: Where the model is.
        as_tuple: Whether its layers give tuples.
    """
    waves: list[Wave] = []
    for number, ids in prefixes.items():
        mask = torch.ones_like(ids)
        positions = mask.cumsum(1) - 1
        inputs = {"input_ids": ids, "attention_mask": mask, "position_ids": positions, "use_cache": True}
        hidden, steps, _ = recorded(model, layers, inputs, as_tuple=as_tuple)
        waves.append(Wave(call=None, hidden=lasting(hidden), steps=steps, cache=None, prefix=number))
    for call in calls:
        inputs = {**call.inputs, "use_cache": call.keeps or bool(call.shares)}
        if call.shares:
            inputs["past_key_values"] = _standing_in(call, device)
        hidden, steps, cache = recorded(model, layers, inputs, as_tuple=as_tuple)
        waves.append(Wave(call=call, hidden=lasting(hidden), steps=steps, cache=cache if call.keeps else None))
    return waves


def step_layer(
    layer: Any, number: int, waves: Sequence[Wave], held: Mapping[int, Any], on_wave: Callable[[int], None]
) -> None:
    """Take every wave through a layer.

    Args:
        layer: The layer, its weights in place or on their way.
        number: Its place.
        waves: The micro-batches, prefixes first; changed in place.
        held: Number to cache, of prefixes that were read before.
        on_wave: Is told the index of each wave before it goes.
    """
    shared: dict[int, tuple[torch.Tensor, torch.Tensor]] = {
        prefix: (cache.layers[number].keys[0], cache.layers[number].values[0]) for prefix, cache in held.items()
    }
    for i, wave in enumerate(waves):
        on_wave(i)
        cache: Any = wave.cache
        if wave.call is None:
            cache = DynamicCache()
        elif wave.call.shares:
            cache = _joined(wave.call, shared, number)
        wave.hidden.copy_(wave.steps[number].call(layer, wave.hidden, cache))
        wave.steps[number] = _GONE
        if wave.call is None:
            kept: Any = cache.layers[number]
            shared[wave.prefix] = (kept.keys[0], kept.values[0])


def end(model: Any, layers: Sequence[Any], waves: Sequence[Wave], *, as_tuple: bool) -> list[Result]:
    """The results of the calls after the last layer."""
    results: list[Result] = []
    for wave in waves:
        if wave.call is not None:
            out = finished(model, layers, wave.hidden, as_tuple=as_tuple)
            results.append(Result(last=out[:, -1:].clone(), cache=wave.cache))
        wave.hidden = wave.hidden[:0]
    return results


_GONE = Step(args=(), kwargs={})


def _standing_in(call: Call, device: torch.device) -> Any:
    """A cache that only says how many tokens there were: what the model makes its masks of."""
    longest = max(n for _, n in call.shares)
    cache, nothing = DynamicCache(), torch.zeros((len(call.shares), 1, longest, 1), device=device)
    cache.update(nothing, nothing, 0)
    return cache


def _joined(call: Call, shared: Mapping[int, tuple[torch.Tensor, torch.Tensor]], number: int) -> Any:
    """A cache with one layer's keys and values of what the rows share with the prefixes."""
    sides = [[shared[prefix][side][:, :n] for prefix, n in call.shares] for side in (0, 1)]
    cache = DynamicCache()
    cache.update(left_joined(sides[0]), left_joined(sides[1]), number)
    return cache
