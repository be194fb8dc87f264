"""torch modules as ONNX graphs, through the exporter that ONNX Runtime's training build can read."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from xpert.artifacts.runtime import MOST_RECENT_IR
from xpert.errors import IncompatibleModelError, MissingDependencyError

__all__ = ["additive", "eager", "trace"]

_OPSET = 17


def trace(
    module: torch.nn.Module,
    example: tuple[torch.Tensor, ...],
    *,
    inputs: Sequence[str],
    outputs: Sequence[str],
    axes: Mapping[str, Mapping[int, str]],
    name: str,
    weights: bool,
) -> Any:
    """The graph of a module as an ``onnx.ModelProto``.

    Args:
        module: What is traced; in evaluation mode afterwards.
        example: Inputs to trace it with.
        inputs: Names of the inputs.
        outputs: Names of the outputs.
        axes: Which axes of inputs and outputs may have any length.
        name: Whose graph it is, for messages.
        weights: Whether the graph holds the weights; else each is an input with the parameter's name, and no two become one.

    Raises:
        xpert.errors.IncompatibleModelError: The module cannot be traced.
        xpert.errors.MissingDependencyError: The package ``onnx`` is not installed.
    """
    try:
        import onnx
    except ModuleNotFoundError:
        raise MissingDependencyError.of("onnx", "onnx", "exporting") from None
    mode = torch.onnx.TrainingMode.EVAL if weights else torch.onnx.TrainingMode.TRAINING
    with TemporaryDirectory() as work, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own: it is deprecated, and traces Python values
        try:
            torch.onnx.export(
                module,
                example,
                Path(work) / "graph.onnx",
                dynamo=False,
                opset_version=_OPSET,
                do_constant_folding=False,
                export_params=weights,
                training=mode,
                input_names=list(inputs),
                output_names=list(outputs),
                dynamic_axes={key: dict(value) for key, value in axes.items()},
            )
        except (RuntimeError, ValueError, TypeError, KeyError, AttributeError) as error:
            told = " ".join(str(error).split())[:300]
            raise IncompatibleModelError(f"{name}: its graph cannot be exported to ONNX: {told}") from error
        finally:
            module.eval()
        graph = onnx.load(Path(work) / "graph.onnx")
    _without_dropout(graph)
    graph.ir_version = min(graph.ir_version, MOST_RECENT_IR)
    return graph


@contextmanager
def eager(model: Any) -> Iterator[None]:
    """Attention written out, whose mask is ours; the model's own implementation afterwards."""
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    before = inner.config._attn_implementation
    inner.set_attn_implementation("eager")
    try:
        yield
    finally:
        inner.set_attn_implementation(before)


def additive(seen: torch.Tensor) -> torch.Tensor:
    """A mask to be added to scores: 0 where something is seen, else the lowest number."""
    return torch.where(seen, 0.0, torch.finfo(torch.float32).min)


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
