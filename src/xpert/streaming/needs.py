"""What calls need in memory, told before they are made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from xpert.streaming.budget import Needs
from xpert.streaming.passes import Call
from xpert.streaming.weights import StreamedLayer

__all__ = ["needs_of"]

ALWAYS_BYTES = 48 << 20
"""The reader's own memory, embedding rows' share of it, and what allocators keep."""

PACKED_BYTES = 64 << 20
"""What the processor's threads lay parts of matrices out in before they multiply (measured with two), twice the matrix at most."""


def needs_of(
    model: Any,
    layers: Sequence[StreamedLayer],
    calls: Sequence[Call],
    prefixes: Sequence[Sequence[int]],
    *,
    fixed: int,
    device: torch.device,
) -> Needs:
    """Bytes that calls need.

    Within a layer the outputs of all its modules are counted, for the largest micro-batch: an upper bound, for some of
    them are gone before others come.

    Args:
        model: The model, without weights.
        layers: Its layers.
        calls: The micro-batches.
        prefixes: Token ids of shared prefixes.
        fixed: Bytes of parameters that are always there.
        device: Where it computes.
    """
    config, size = model.config.get_text_config(), model.dtype.itemsize
    width = config.hidden_size
    shapes = [_shape(call) for call in calls] + [(1, len(prefix), 0) for prefix in prefixes]
    outputs = max(_outputs(layer, config) for layer in layers)
    heads, kept = config.num_attention_heads, getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    head_width = getattr(config, "head_dim", None) or width // heads
    eager = heads * 8 if model.config._attn_implementation == "eager" else 0
    work = [b * t * (outputs * size + 2 * width * (size + 4)) + b * t * (t + p) * (eager + 8) for b, t, p in shapes]
    keys = [2 * b * (t + p) * kept * head_width * size * 2 for b, t, p in shapes]
    shared = sum(map(len, prefixes)) * (2 * kept * head_width + width) * size
    states = [
        b * t * width * size + b * t * (t + p) * (1 + eager // 2) + 4 * b * t * head_width * size for b, t, p in shapes
    ]
    cached = [_cached(call) for call in calls]
    rows = min(sum(b * t for b, t, _ in shapes), config.vocab_size) * width * size
    unit = max(unit.n_bytes for layer in layers for unit in layer.units)
    packed = min(PACKED_BYTES, 2 * unit) if device.type == "cpu" else 0
    return Needs(
        fixed=fixed + min(rows, ALWAYS_BYTES) + ALWAYS_BYTES,
        workspace=max(w + k for w, k in zip(work, keys, strict=True)) + shared + packed,
        states=[s + c for s, c in zip(states, cached, strict=False)],
        layers=[layer.n_bytes for layer in layers],
        unit=unit,
        prefixed=bool(prefixes),
    )


def _shape(call: Call) -> tuple[int, int, int]:
    """Rows, tokens of a row, and tokens before them."""
    given = call.inputs.get("input_ids")
    given = call.inputs["inputs_embeds"] if given is None else given
    return given.shape[0], given.shape[1], max((n for _, n in call.shares), default=0)


def _outputs(layer: StreamedLayer, config: Any) -> int:
    """Numbers that a layer's modules give for a token, all together; of experts, as many as a token goes to."""
    total, experts = 0, getattr(config, "num_local_experts", None) or getattr(config, "num_experts", None) or 1
    chosen = getattr(config, "num_experts_per_tok", None) or 1
    for unit in layer.units:
        for place in unit.places:
            shape = place.source.shape
            if len(shape) == 3:
                total += shape[1] * chosen
            elif len(shape) == 2:
                wide = max(shape) if not hasattr(place.owner, "out_features") else shape[0]
                total += -(-wide * chosen // experts) if ".experts." in place.source.name else wide
    return total


def _cached(call: Call) -> int:
    cache = call.inputs.get("past_key_values")
    layers = getattr(cache, "layers", None) or []
    held = [part for layer in layers for part in (layer.keys, layer.values) if part is not None]
    return 2 * sum(part.nbytes for part in held)
