"""The training graph of a loss, and AdamW as torch has it, in the runtime's own operators.

The runtime's ``generate_artifacts`` is not used: it wants every weight within one message of 2 GB, writes and deletes ``temp.onnx`` in
the working folder, copies the logits out at every step, and has Hugging Face's former AdamW. What it calls underneath is used.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from xpert.artifacts.runtime import MOST_RECENT_IR, session_options, training_build
from xpert.errors import IncompatibleModelError
from xpert.trainers.export.schedule import schedule_nodes

__all__ = ["optimizer_graph", "training_graphs"]

_EPS = 1e-8
_BETAS = (0.9, 0.999)
_LIKE_TORCH = 0
_CONTRIB = "com.microsoft"
_OPSET = 17


def training_graphs(loss: Any, trained: Sequence[str], *, logits: bool) -> tuple[Any, Any]:
    """The training graph, which accumulates gradients, and the validation graph.

    Args:
        loss: What `xpert.trainers.export.graph.trace_loss` gives.
        trained: Its inputs that are trained.
        logits: Whether validation gives them beside the loss. Training never does.

    Raises:
        xpert.errors.IncompatibleModelError: The runtime has no gradient for one of its operators.
    """
    from onnx import shape_inference

    tools = training_build("training.onnxblock._training_graph_utils")
    model = shape_inference.infer_shapes(loss)
    wanted = set(trained)
    order = [value for value in model.graph.input if value.name not in wanted]
    order += [
        value for value in model.graph.input if value.name in wanted
    ]  # trained ones last, as the runtime has them
    ordered = copy.deepcopy(order)
    del model.graph.input[:]
    model.graph.input.extend(ordered)
    _only_output(model, "loss", *(["logits"] if logits else []))
    validation = copy.deepcopy(model)
    _only_output(model, "loss")
    training = _with_gradients(model, wanted)
    tools.build_gradient_accumulation_graph(training, wanted)
    training.ir_version = min(training.ir_version, MOST_RECENT_IR)
    return training, validation


def optimizer_graph(*, n_tensors: int, weight_decay: float, clip: float) -> Any:
    """The gradients' common norm clipped as torch does it, then AdamW as in ``torch.optim.AdamW`` (mode 0, eps 1e-8).

    The rate is the one that the runtime was told, or the schedule's that is written into the file (`schedule_nodes`).

    Mode 1, which the runtime would choose, is Hugging Face's former AdamW: it drifts from torch's by 4e-3 in 20 steps. Its own
    operator for clipping adds the tensors up in an order that depends on addresses in memory, so that two runs differ.

    Args:
        n_tensors: How many tensors are trained.
        weight_decay: AdamW's.
        clip: Largest norm.
    """
    from onnx import TensorProto, helper, numpy_helper

    sequences = ("params", "gradients", "first_order_moments", "second_order_moments")
    inputs = [
        helper.make_tensor_value_info("learning_rate", TensorProto.FLOAT, [1]),
        helper.make_tensor_value_info("step", TensorProto.INT64, [1]),
        *(helper.make_tensor_sequence_value_info(name, TensorProto.FLOAT, None) for name in sequences),
    ]
    clipping, constants = _clipping(n_tensors, clip)
    rate, numbers = schedule_nodes()
    constants += [numpy_helper.from_array(value, name) for name, value in numbers.items()]
    step = helper.make_node(
        "AdamWOptimizer",
        ["rate", "step", "params", "clipped", "first_order_moments", "second_order_moments"],
        ["updated"],
        domain=_CONTRIB,
        alpha=_BETAS[0],
        beta=_BETAS[1],
        epsilon=_EPS,
        weight_decay=float(weight_decay),
        correct_bias=1,
        adam_mode=_LIKE_TORCH,
    )
    outputs = [helper.make_tensor_value_info("updated", TensorProto.BOOL, [1])]
    graph = helper.make_graph([*clipping, *rate, step], "adamw", inputs, outputs, initializer=constants)
    opsets = [helper.make_opsetid("", _OPSET), helper.make_opsetid(_CONTRIB, 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=MOST_RECENT_IR, producer_name="xpert")


def _clipping(n_tensors: int, clip: float) -> tuple[list[Any], list[Any]]:
    """Nodes that make ``clipped`` of ``gradients``, and their constants; squared norms are sorted before they are added up."""
    import numpy as np
    from onnx import helper, numpy_helper

    def node(kind: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: Any) -> Any:
        return helper.make_node(kind, list(inputs), list(outputs), **attributes)

    values = {
        "first": np.array([0]),
        "all": np.array([n_tensors]),
        "largest": np.array([clip], np.float32),
        "little": np.array([1e-6], np.float32),
        "one": np.array([1], np.float32),
        **{f"place.{i}": np.array(i) for i in range(n_tensors)},
    }
    nodes: list[Any] = []
    for i in range(n_tensors):
        nodes += [
            node("SequenceAt", ["gradients", f"place.{i}"], [f"gradient.{i}"]),
            node("ReduceSumSquare", [f"gradient.{i}"], [f"total.{i}"], keepdims=0),
            node("Unsqueeze", [f"total.{i}", "first"], [f"square.{i}"]),
            node("Mul", [f"gradient.{i}", "share"], [f"scaled.{i}"]),
        ]
    nodes += [
        node("Concat", [f"square.{i}" for i in range(n_tensors)], ["squares"], axis=0),
        node("TopK", ["squares", "all"], ["sorted", "order"]),
        node("ReduceSum", ["sorted"], ["square"]),
        node("Sqrt", ["square"], ["norm"]),
        node("Add", ["norm", "little"], ["divisor"]),
        node("Div", ["largest", "divisor"], ["wanted"]),
        node("Min", ["wanted", "one"], ["share"]),
        node("SequenceConstruct", [f"scaled.{i}" for i in range(n_tensors)], ["clipped"]),
    ]
    ready = [one for one in nodes if one.op_type != "Mul"]
    multiplied = [one for one in nodes if one.op_type == "Mul"]
    return [*ready[:-1], *multiplied, ready[-1]], [
        numpy_helper.from_array(value, name) for name, value in values.items()
    ]


def _with_gradients(model: Any, trained: set[str]) -> Any:
    """The loss optimized for training, with the gradients behind it: outputs are the loss, then gradients in the order of inputs."""
    import onnx

    native, options = training_build("capi._pybind_state"), session_options(None)
    try:
        optimized = native.get_optimized_model(model.SerializeToString(), trained, options)
        builder = native.GradientGraphBuilder(optimized, {"loss"}, trained, "loss", options)
        builder.build()
    except Exception as error:  # the runtime's own classes have no common root
        told = " ".join(str(error).split())[-200:]
        raise IncompatibleModelError(
            f"ONNX Runtime has no gradients for a part of this architecture, train it with torch: {told}"
        ) from error
    training = onnx.load_from_string(builder.get_model())
    outputs = {value.name: value for value in training.graph.output}
    names = ["loss", *(f"{value.name}_grad" for value in training.graph.input if value.name in trained)]
    ordered = copy.deepcopy([outputs[name] for name in names])
    del training.graph.output[:]
    training.graph.output.extend(ordered)
    return training


def _only_output(model: Any, *names: str) -> None:
    kept = copy.deepcopy([value for value in model.graph.output if value.name in names])
    del model.graph.output[:]
    model.graph.output.extend(kept)
