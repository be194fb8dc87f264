"""A PEFT model's loss as an ONNX graph. Its parameters are inputs of the graph: no weight is copied here."""

from __future__ import annotations

from typing import Any

import torch

from xpert.errors import IncompatibleModelError
from xpert.tracing import additive, eager, trace
from xpert.trainers.data import IGNORE

__all__ = ["INPUTS", "trace_logits", "trace_loss"]

INPUTS = ("input_ids", "attention_mask", "labels", "tokens")
"""Inputs of the training graph, in the order in which the runtime wants them."""

_AXES = {0: "batch", 1: "length"}


def trace_loss(model: Any, max_length: int) -> Any:
    """The graph ``(input_ids, attention_mask, labels, tokens) -> (loss, logits)``.

    ``input_ids``, ``attention_mask`` and ``labels`` are ``(B, T)`` int64 (no loss where the label is -100), ``tokens`` is a float32
    scalar: the loss is the summed cross entropy in nats divided by it, so that the parts of a batch add up to the whole.

    Args:
        model: A PEFT model of a causal LM, on the CPU, in float32.
        max_length: Longest row that it will see: whether a sliding window matters.

    Returns:
        An ``onnx.ModelProto`` without initializers; each parameter is an input of the name ``model.NAME``.

    Raises:
        xpert.errors.IncompatibleModelError: The architecture cannot be traced.
    """
    ids = torch.arange(6).reshape(2, 3)
    example = (ids, torch.ones_like(ids), ids.clone(), torch.tensor(4.0))
    return _traced(_Loss(model, max_length), example, INPUTS, ("loss", "logits"))


def trace_logits(model: Any, max_length: int) -> Any:
    """The graph ``(input_ids, attention_mask) -> logits``, for answering; otherwise as `trace_loss`."""
    ids = torch.arange(6).reshape(2, 3)
    return _traced(_Logits(model, max_length), (ids, torch.ones_like(ids)), INPUTS[:2], ("logits",))


class _Logits(torch.nn.Module):
    def __init__(self, model: Any, max_length: int) -> None:
        super().__init__()
        self.model = model
        self._window = _window(model.config.get_text_config(), max_length)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        return _logits(self.model, self._window, input_ids, attention_mask)


class _Loss(torch.nn.Module):
    def __init__(self, model: Any, max_length: int) -> None:
        super().__init__()
        self.model = model
        self._window = _window(model.config.get_text_config(), max_length)

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, labels: torch.Tensor, tokens: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        logits = _logits(self.model, self._window, input_ids, attention_mask)
        total = torch.nn.functional.cross_entropy(
            logits[:, :-1].reshape(-1, logits.shape[-1]),
            labels[:, 1:].reshape(-1),
            ignore_index=IGNORE,
            reduction="sum",
        )
        return total / tokens, logits


def _logits(model: Any, window: int | None, ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
    """Logits ``(B, T, V)`` under a causal mask of our own: the models' code for masks cannot be traced."""
    rows, length = ids.shape
    place = torch.arange(length)
    seen = (place[None, :] <= place[:, None])[None, None] & (attention_mask[:, None, None, :] > 0)
    mask: Any = additive(seen)
    if window is not None:
        near = additive(seen & (place[None, :] > place[:, None] - window)[None, None])
        kinds = dict.fromkeys(model.config.get_text_config().layer_types)
        mask = {kind: near if kind == "sliding_attention" else mask for kind in kinds}
    positions = place[None].expand(rows, length)
    return model(input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=False).logits


def _window(config: Any, max_length: int) -> int | None:
    """The sliding window of some layers, where rows can be longer than it."""
    window = getattr(config, "sliding_window", None)
    kinds = getattr(config, "layer_types", None)
    if kinds is None and window is not None and getattr(config, "use_sliding_window", True) and window < max_length:
        raise IncompatibleModelError(
            f"{config.model_type}: every layer sees {window} tokens back, which is not exported: expected max_length={window} at most"
        )
    if window is None or window >= max_length or "sliding_attention" not in (kinds or ()):
        return None
    return int(window)


def _traced(
    module: _Loss | _Logits, example: tuple[torch.Tensor, ...], inputs: tuple[str, ...], outputs: tuple[str, ...]
) -> Any:
    model: Any = module.model
    with eager(model):
        return trace(
            module,
            example,
            inputs=inputs,
            outputs=outputs,
            axes=dict.fromkeys((*inputs[:3], "logits"), _AXES),
            name=model.config.model_type,
            weights=False,
        )
