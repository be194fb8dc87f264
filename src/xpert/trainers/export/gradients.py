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


def optimizer_graph(*, weight_decay: float, clip: float) -> Any:
    """The gradients' common norm clipped, then AdamW as in ``torch.optim.AdamW`` (mode 0, eps 1e-8).

    Mode 1, which the runtime would choose, is Hugging Face's former AdamW: it drifts from torch's by 4e-3 in 20 steps.
    """
    from onnx import TensorProto, helper

    sequences = ("params", "gradients", "first_order_moments", "second_order_moments")
    inputs = [
        helper.make_tensor_value_info("learning_rate", TensorProto.FLOAT, [1]),
        helper.make_tensor_value_info("step", TensorProto.INT64, [1]),
        *(helper.make_tensor_sequence_value_info(name, TensorProto.FLOAT, None) for name in sequences),
    ]
    clipped = helper.make_node("InplaceClipGradNorm", ["gradients"], ["clipped"], domain=_CONTRIB, max_norm=float(clip))
    step = helper.make_node(
        "AdamWOptimizer",
        ["learning_rate", "step", "params", "clipped", "first_order_moments", "second_order_moments"],
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
    graph = helper.make_graph([clipped, step], "adamw", inputs, outputs)
    opsets = [helper.make_opsetid("", _OPSET), helper.make_opsetid(_CONTRIB, 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=MOST_RECENT_IR, producer_name="xpert")


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
