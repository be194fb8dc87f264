"""Weights beside a graph: one file of raw numbers that training, validation and inference share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

__all__ = ["ADAPTER_DATA", "WEIGHTS_DATA", "Place", "attach", "lay_out", "write_weights"]

WEIGHTS_DATA = "weights.data"
"""The frozen weights, in float32; the runtime maps the file into memory instead of reading it."""
ADAPTER_DATA = "adapter.data"
"""The trained weights of an inference model."""

_ALIGNED = 4096

Place = tuple[int, int]
"""Offset and length in bytes."""


def lay_out(shapes: Mapping[str, Sequence[int]]) -> dict[str, Place]:
    """Where each float32 tensor lies in its file, in the given order, each at the beginning of a page."""
    places: dict[str, Place] = {}
    end = 0
    for name, shape in shapes.items():
        begin = -(-end // _ALIGNED) * _ALIGNED
        length = 4
        for side in shape:
            length *= int(side)
        places[name] = (begin, length)
        end = begin + length
    return places


def write_weights(file: Path, places: Mapping[str, Place], tensors: Mapping[str, torch.Tensor]) -> None:
    """Write tensors to their places, one at a time."""
    with open(file, "wb") as stream:
        for name, (begin, _) in places.items():
            stream.write(b"\0" * (begin - stream.tell()))
            stream.write(tensors[name].detach().to("cpu", torch.float32).contiguous().numpy().tobytes())


def attach(model: Any, places: Mapping[str, Place], location: str) -> None:
    """Turn inputs of a graph into weights that lie in the file ``location`` beside it."""
    from onnx import TensorProto

    graph = model.graph
    given = [value for value in graph.input if value.name in places]
    others = [value for value in graph.input if value.name not in places]
    for value in given:
        begin, length = places[value.name]
        tensor = graph.initializer.add()
        tensor.name, tensor.data_type = value.name, TensorProto.FLOAT
        tensor.dims.extend(side.dim_value for side in value.type.tensor_type.shape.dim)
        tensor.data_location = TensorProto.EXTERNAL
        for key, said in (("location", location), ("offset", str(begin)), ("length", str(length))):
            entry = tensor.external_data.add()
            entry.key, entry.value = key, said
    del graph.input[:]
    graph.input.extend(others)
