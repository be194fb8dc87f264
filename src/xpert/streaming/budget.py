"""How memory is shared out before a pass: what must be there, what is read ahead, which layers stay."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from xpert.errors import SettingsError

__all__ = ["Needs", "Plan", "memory_bytes", "plan", "told"]

_UNITS = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12, "kib": 2**10, "mib": 2**20, "gib": 2**30}
STATES_BYTES = 256 << 20
"""Hidden states of one pass where no budget is given: more prompts go through the layers in several passes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What a pass needs, in bytes.

    Attributes:
        fixed: What is held all the time: parameters outside the layers, embedding rows, the reader's own.
        workspace: What a layer computes with, for the largest micro-batch.
        states: Hidden states, masks and shared keys of each micro-batch, which stay through the pass.
        layers: Weights of each layer.
        unit: The largest group of tensors that is read at once.
        prefixed: Whether prefixes go through each layer before the micro-batches.
    """

    fixed: int
    workspace: int
    states: Sequence[int]
    layers: Sequence[int]
    unit: int
    prefixed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How a call is carried out.

    Attributes:
        groups: Indices of the micro-batches of each pass over the layers.
        capacity: Bytes of weights that are read ahead and in use, beside the resident ones.
        resident: Layers that stay in memory.
        promised_bytes: Memory that is not exceeded.
    """

    groups: tuple[tuple[int, ...], ...]
    capacity: int
    resident: frozenset[int]
    promised_bytes: int


def memory_bytes(text: str | int) -> int:
    """A size as a number of bytes.

    Raises:
        xpert.errors.SettingsError: It is none.

    >>> memory_bytes("1.5GB"), memory_bytes("512 MiB"), memory_bytes(1000)
    (1500000000, 536870912, 1000)
    """
    match = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([a-zA-Z]*)\s*", str(text))
    if match is None or match[2].lower() not in _UNITS or float(match[1]) <= 0:
        raise SettingsError(f"memory_budget: expected a size such as 700MB or 1.5GB, got {text!r}")
    return int(float(match[1]) * _UNITS[match[2].lower()])


def told(n_bytes: int) -> str:
    """A number of bytes for people, rounded up.

    >>> told(1_234_567_890), told(5)
    ('1235MB', '1MB')
    """
    return f"{-(-n_bytes // 10**6)}MB"


def plan(needs: Needs, budget: int | None) -> Plan:
    """The plan for a budget; None: as little memory as reads each weight once, with some reading ahead.

    With less than that, fewer micro-batches go through the layers together, in the end one by one, for which one unit of weights
    must fit. With more, layers stay in memory, spread evenly, and what remains goes to reading ahead.

    Raises:
        xpert.errors.SettingsError: The budget is too small; says how much is needed.
    """
    base = needs.fixed + needs.workspace
    largest = max(needs.layers)
    groups = _grouped(needs.states, STATES_BYTES if budget is None else budget - base - largest)
    together = needs.prefixed or max(map(len, groups)) > 1
    held = base + max(sum(needs.states[i] for i in group) for group in groups)
    whole = held + sum(needs.layers)
    usual = min(largest if together else 2 * needs.unit, sum(needs.layers))
    if budget is None:
        return Plan(groups=groups, capacity=usual, resident=frozenset(), promised_bytes=held + usual)
    least = largest if together else needs.unit
    if held + least > budget:
        raise SettingsError(
            f"memory_budget: {told(budget)} is too small: this summarizer and these prompts need {told(held + least)} at least "
            "(smaller batches need less: lower token_budget)"
        )
    if whole <= budget:
        return Plan(groups=groups, capacity=0, resident=frozenset(range(len(needs.layers))), promised_bytes=whole)
    spare = budget - held
    capacity = min(usual, spare)
    count = min((spare - capacity) // largest, len(needs.layers) - 1)
    resident = frozenset(int((i + 0.5) * len(needs.layers) / count) for i in range(count))
    rest = spare - sum(needs.layers[i] for i in resident)
    capacity = min(max(rest, capacity), largest + usual)
    promised = held + capacity + sum(needs.layers[i] for i in resident)
    return Plan(groups=groups, capacity=capacity, resident=resident, promised_bytes=promised)


def _grouped(states: Sequence[int], room: int) -> tuple[tuple[int, ...], ...]:
    """Neighbouring micro-batches together as long as their states fit; one is always a group."""
    groups: list[list[int]] = []
    used = 0
    for i, size in enumerate(states):
        if not groups or used + size > room:
            groups.append([])
            used = 0
        groups[-1].append(i)
        used += size
    return tuple(tuple(group) for group in groups)
