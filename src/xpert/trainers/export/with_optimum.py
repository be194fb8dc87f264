"""A PEFT model's loss as an ONNX graph by optimum, the other route to what `xpert.trainers.export.graph` gives.

optimum brings its own patches of the models' code for masks. It exports in evaluation mode, where equal weights (new B factors, norms)
become one, and with weights in the file; both are undone here, so that the graph is trained as ours is.
"""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from xpert.artifacts.runtime import MOST_RECENT_IR
from xpert.errors import IncompatibleModelError, MissingDependencyError
from xpert.trainers.data import IGNORE
from xpert.trainers.export.graph import INPUTS

__all__ = ["optimum_logits", "optimum_loss"]

_OPSET = 17
_INNER = "model.base_model.model."
"""What stands before a parameter's name of the model within PEFT's."""


def optimum_logits(model: Any) -> Any:
    """The graph ``(input_ids, attention_mask) -> logits``, as `xpert.trainers.export.graph.trace_logits` has it.

    Args:
        model: A PEFT model of a causal LM, on the CPU, in float32.

    Raises:
        xpert.errors.IncompatibleModelError: optimum cannot export the architecture.
        xpert.errors.MissingDependencyError: optimum is not installed.
    """
    graph = _exported(model)
    _weights_as_inputs(graph, [name for name, _ in model.get_base_model().named_parameters()])
    _place_positions(graph)
    outputs = {value.name for value in graph.graph.output}
    if outputs != {"logits"}:
        raise IncompatibleModelError(f"{model.config.model_type}: optimum's graph gives {sorted(outputs)}, not logits")
    graph.ir_version = min(graph.ir_version, MOST_RECENT_IR)
    return graph


def optimum_loss(logits: Any) -> Any:
    """The graph ``(input_ids, attention_mask, labels, tokens) -> (loss, logits)`` on what `optimum_logits` gives, which stays as it is."""
    from onnx import TensorProto, helper, numpy_helper

    model = copy.deepcopy(logits)
    graph = model.graph
    (scores,) = graph.output
    vocabulary = scores.type.tensor_type.shape.dim[2].dim_value

    def node(kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> None:
        graph.node.append(helper.make_node(kind, list(inputs), [output], **attributes))

    def constant(name: str, *values: int) -> None:
        import numpy as np

        graph.initializer.append(numpy_helper.from_array(np.array(values, np.int64), name))

    for name, values in {
        "loss.first": (0,), "loss.second": (1,), "loss.last": (-1,), "loss.end": (2**31,), "loss.axis": (1,),
        "loss.rows": (-1, vocabulary), "loss.flat": (-1,),
    }.items():  # fmt: skip
        constant(name, *values)
    node("Slice", ["logits", "loss.first", "loss.last", "loss.axis"], "loss.told")
    node("Slice", ["labels", "loss.second", "loss.end", "loss.axis"], "loss.wanted")
    node("Reshape", ["loss.told", "loss.rows"], "loss.scores")
    node("Reshape", ["loss.wanted", "loss.flat"], "loss.labels")
    node(
        "SoftmaxCrossEntropyLoss",
        ["loss.scores", "loss.labels"],
        "loss.total",
        ignore_index=IGNORE,
        reduction="sum",
    )
    node("Div", ["loss.total", "tokens"], "loss")
    labels = copy.deepcopy(next(value for value in graph.input if value.name == "input_ids"))
    labels.name = "labels"
    given = {value.name: value for value in graph.input}
    given |= {"labels": labels, "tokens": helper.make_tensor_value_info("tokens", TensorProto.FLOAT, [])}
    order = copy.deepcopy([*(given[name] for name in INPUTS), *(v for n, v in given.items() if n not in INPUTS)])
    del graph.input[:]
    graph.input.extend(order)
    graph.output.insert(0, helper.make_tensor_value_info("loss", TensorProto.FLOAT, []))
    return model


def _exported(model: Any) -> Any:
    """Optimum's graph of the model within PEFT's, weights and all."""
    try:
        import onnx
        from optimum.exporters.onnx import onnx_export_from_model
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            f"the route optimum needs {error.name}: pip install optimum optimum-onnx (Transformers 4.57; without extras, "
            "which bring plain onnxruntime), or take the own route"
        ) from None
    logger = logging.getLogger("optimum")
    before = logger.level
    with TemporaryDirectory() as work, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own: it is deprecated, and traces Python values
        logger.setLevel(logging.ERROR)
        try:
            with torch.no_grad():
                onnx_export_from_model(
                    model.get_base_model(),
                    work,
                    task="text-generation",
                    opset=_OPSET,
                    no_post_process=True,
                    do_constant_folding=False,
                    do_validation=False,
                )
        except Exception as error:  # optimum's errors have no common class
            told = " ".join(str(error).split())[:300]
            raise IncompatibleModelError(f"{model.config.model_type}: optimum cannot export it: {told}") from error
        finally:
            logger.setLevel(before)
        return onnx.load(Path(work) / "model.onnx")


def _weights_as_inputs(model: Any, parameters: Sequence[str]) -> None:
    """Make each parameter an input of its name in the training graph; those that had become one part again."""
    from onnx import TensorProto, helper

    graph = model.graph
    held = {one.name: one for one in graph.initializer}
    alike = {
        node.output[0]: node.input[0] for node in graph.node if node.op_type == "Identity" and node.input[0] in held
    }
    parted: dict[str, Any] = {}
    for name in parameters:
        source = name if name in held else alike.get(name)
        if source is None:
            raise IncompatibleModelError(f"optimum's graph has no weight {name}: export it by the own route")
        parted[name] = held[source]
    inputs = [helper.make_tensor_value_info(_INNER + n, TensorProto.FLOAT, list(one.dims)) for n, one in parted.items()]
    kept = copy.deepcopy([node for node in graph.node if node.output[0] not in parted])
    for node in kept:
        for place, name in enumerate(node.input):
            if name in parted:
                node.input[place] = _INNER + name
    constants = copy.deepcopy([one for name, one in held.items() if name not in parted])
    del graph.node[:], graph.initializer[:]
    graph.node.extend(kept)
    graph.initializer.extend(constants)
    graph.input.extend(inputs)


def _place_positions(model: Any) -> None:
    """Where the graph asks for positions: 0, 1, 2 ... of each row, as rows are padded on the right."""
    import numpy as np
    from onnx import helper, numpy_helper

    graph = model.graph
    kept = copy.deepcopy([value for value in graph.input if value.name != "position_ids"])
    if len(kept) == len(graph.input):
        return
    del graph.input[:]
    graph.input.extend(kept)
    one = numpy_helper.from_array(np.array([1]), "one")
    made = [
        helper.make_node("Shape", ["input_ids"], ["positions.shape"]),
        helper.make_node("ConstantOfShape", ["positions.shape"], ["positions.ones"], value=one),
        helper.make_node("CumSum", ["positions.ones", "positions.axis"], ["position_ids"], exclusive=1),
        *copy.deepcopy(list(graph.node)),
    ]
    del graph.node[:]
    graph.node.extend(made)
    graph.initializer.append(numpy_helper.from_array(np.array(1), "positions.axis"))
