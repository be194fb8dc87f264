"""The learning rate's schedule as a part of the optimizer's graph, for runtimes that cannot set a rate (onnxruntime-web).

Five numbers lie in the graph, at a place that the header names (``optimizer.schedule_at``), and a page writes its own there before it
hands the file to the runtime. As exported the peak is 0: then the rate is what the runtime was told, as Python and Java tell it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from xpert.errors import IncompatibleModelError

__all__ = ["NUMBERS", "place_of_schedule", "schedule_nodes"]

NUMBERS = ("peak", "warmup", "steps", "kind", "first")
"""Float32 each: the peak rate, steps of warm-up, steps in all, 0 constant | 1 cosine | 2 linear, and the first step of this session."""
_NAME = "schedule"
_OFF = np.array([0, 0, 1, 0, 0], np.float32)


def schedule_nodes() -> tuple[list[Any], Mapping[str, np.ndarray]]:
    """Nodes that make ``rate`` of ``learning_rate`` and ``step`` (which the runtime counts from 1), both ``[1]``, and their constants.

    With a peak above 0 the rate is `xpert.trainers.settings.learning_rate`'s to float32's accuracy, and 0 once a cosine or a line is at its end.
    """
    from onnx import TensorProto, helper

    constants: dict[str, np.ndarray] = {
        _NAME: _OFF,
        "rate.zero": np.zeros(1, np.float32),
        "rate.half": np.full(1, 0.5, np.float32),
        "rate.unit": np.ones(1, np.float32),
        "rate.two": np.full(1, 2, np.float32),
        "rate.pi": np.full(1, math.pi, np.float32),
        **{f"rate.at.{name}": np.array([i]) for i, name in enumerate(NUMBERS)},
    }
    nodes = [helper.make_node("Gather", [_NAME, f"rate.at.{name}"], [f"rate.{name}"]) for name in NUMBERS]

    def add(kind: str, inputs: str, output: str, **attributes: Any) -> None:
        given = [one if one in ("learning_rate", "step") else f"rate.{one}" for one in inputs.split()]
        nodes.append(helper.make_node(kind, given, [f"rate.{output}"], **attributes))

    add("Cast", "step", "counted", to=TensorProto.FLOAT)
    add("Add", "counted first", "next")
    add("Sub", "next unit", "now")
    add("Max", "warmup unit", "warming")
    add("Div", "next warming", "warm")
    add("Sub", "now warmup", "after")
    add("Sub", "steps warmup", "rest")
    add("Max", "rest unit", "length")
    add("Div", "after length", "done")
    add("Min", "done unit", "share")
    add("Sub", "unit share", "line")
    add("Mul", "pi share", "angle")
    add("Cos", "angle", "cosine")
    add("Add", "unit cosine", "raised")
    add("Mul", "half raised", "halfway")
    add("Equal", "kind unit", "is_cosine")
    add("Equal", "kind two", "is_line")
    add("Where", "is_line line unit", "straight")
    add("Where", "is_cosine halfway straight", "bent")
    add("Less", "now warmup", "is_warm")
    add("Where", "is_warm warm bent", "factor")
    add("Mul", "peak factor", "planned")
    add("Greater", "peak zero", "is_planned")
    nodes.append(helper.make_node("Where", ["rate.is_planned", "rate.planned", "learning_rate"], ["rate"]))
    return nodes, constants


def place_of_schedule(graph: bytes) -> int:
    """Where the five numbers begin in a file that has `schedule_nodes`.

    Raises:
        xpert.errors.IncompatibleModelError: They are not there.
    """
    from onnx import numpy_helper

    written = numpy_helper.from_array(_OFF, _NAME).SerializeToString(deterministic=True)
    begin = graph.find(written)
    if begin < 0 or not written.endswith(_OFF.tobytes()):
        raise IncompatibleModelError("this version of the package onnx writes tensors otherwise: install onnx 1.23")
    return begin + len(written) - _OFF.nbytes
