"""A PEFT model's loss as an ONNX graph. Its parameters are inputs of the graph: no weight is copied here."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from xpert.artifacts.runtime import MOST_RECENT_IR
from xpert.errors import IncompatibleModelError
from xpert.trainers.data import IGNORE

__all__ = ["INPUTS", "trace_logits", "trace_loss"]

INPUTS = ("input_ids", "attention_mask", "labels", "tokens")
"""Inputs of the training graph, in the order in which the runtime wants them."""

_OPSET = 17
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
    axes = dict.fromkeys((*INPUTS[:3], "logits"), _AXES)
    return _traced(_Loss(model, max_length), example, INPUTS, ("loss", "logits"), axes)


def trace_logits(model: Any, max_length: int) -> Any:
    """The graph ``(input_ids, attention_mask) -> logits``, for answering; otherwise as `trace_loss`."""
    ids = torch.arange(6).reshape(2, 3)
    axes = dict.fromkeys((*INPUTS[:2], "logits"), _AXES)
    return _traced(_Logits(model, max_length), (ids, torch.ones_like(ids)), INPUTS[:2], ("logits",), axes)


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
    mask: Any = _additive(seen)
    if window is not None:
        near = _additive(seen & (place[None, :] > place[:, None] - window)[None, None])
        kinds = dict.fromkeys(model.config.get_text_config().layer_types)
        mask = {kind: near if kind == "sliding_attention" else mask for kind in kinds}
    positions = place[None].expand(rows, length)
    return model(input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=False).logits


def _additive(seen: torch.Tensor) -> torch.Tensor:
    return torch.where(seen, 0.0, torch.finfo(torch.float32).min)


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
    module: torch.nn.Module,
    example: tuple[torch.Tensor, ...],
    inputs: tuple[str, ...],
    outputs: tuple[str, ...],
    axes: Any,
) -> Any:
    import onnx

    with TemporaryDirectory() as work, _eager(module.get_submodule("model")), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own: it is deprecated, and traces Python values
        try:
            torch.onnx.export(
                module,
                example,
                Path(work) / "graph.onnx",
                dynamo=False,
                opset_version=_OPSET,
                do_constant_folding=False,
                export_params=False,
                training=torch.onnx.TrainingMode.TRAINING,  # otherwise equal weights, such as new B factors, become one
                input_names=list(inputs),
                output_names=list(outputs),
                dynamic_axes=axes,
            )
        except (RuntimeError, ValueError, TypeError, KeyError, AttributeError) as error:
            told = " ".join(str(error).split())[:300]
            kind = type(module.get_submodule("model")).__name__
            raise IncompatibleModelError(f"{kind}: its graph cannot be exported to ONNX: {told}") from error
        finally:
            module.eval()
        graph = onnx.load(Path(work) / "graph.onnx")
    _without_dropout(graph)
    graph.ir_version = min(graph.ir_version, MOST_RECENT_IR)
    return graph


def _without_dropout(model: Any) -> None:
    """Take dropout out of a graph, as every trainer here does: what reads a dropout's output reads its input."""
    dropouts = {node.output[0]: node.input[0] for node in model.graph.node if node.op_type == "Dropout"}
    if not dropouts:
        return
    kept = [node for node in model.graph.node if node.op_type != "Dropout"]
    for node in kept:
        for place in range(len(node.input)):
            while node.input[place] in dropouts:
                node.input[place] = dropouts[node.input[place]]
    kept = copy.deepcopy(kept)
    del model.graph.node[:]
    model.graph.node.extend(kept)


@contextmanager
def _eager(model: Any) -> Iterator[None]:
    """Attention written out, whose mask is ours; the model's own implementation afterwards."""
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    before = inner.config._attn_implementation
    inner.set_attn_implementation("eager")
    try:
        yield
    finally:
        inner.set_attn_implementation(before)
