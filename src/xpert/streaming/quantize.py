"""A copy of a model whose layers' matrices are int8: half the bytes to read of bfloat16, expanded again while streaming.

Each row is divided by its largest entry over 127 and rounded to the nearest integer; norms, biases, embeddings and the output layer
stay as they are.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from xpert.errors import SettingsError, WeightsError
from xpert.progress import track
from xpert.references import resolve
from xpert.streaming.skeleton import decoder_layers, empty_model
from xpert.streaming.sources import find_sources
from xpert.tensors.checkpoint import ShardWriter, open_checkpoint
from xpert.tensors.files import atomic_folder, write_text
from xpert.tensors.headers import StoredTensor
from xpert.weights import INT8, SCALE, stored_tensors, weight_files

__all__ = ["Quantized", "origin_of", "quantize"]

ORIGIN = "xpert_int8.json"
"""Says which model a folder is a copy of."""

COPIED = ("*.json", "*.jinja", "*.model", "*.txt")


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantized:
    """What quantising did.

    Attributes:
        folder: The new model's.
        n_tensors: Matrices that are int8 now.
        bytes_before: Of all weights.
        bytes_after: Of all weights.
        error: Root of the summed squared differences over the root of the summed squares, of all these matrices.
        worst_error: The same, of the worst of them.
        worst: Its name.
    """

    folder: Path
    n_tensors: int
    bytes_before: int
    bytes_after: int
    error: float
    worst_error: float
    worst: str


def quantize(model: str | Path, out: str | Path) -> Quantized:
    """Write a copy of a model with its layers' matrices as int8; ``streamed:`` reads it.

    Args:
        model: A folder, a Hub id or ``zoo:NAME`` of a causal LM.
        out: A folder that is new, empty, or an earlier quantising's.

    Raises:
        xpert.errors.SettingsError: The folder holds something else, or the model is int8 already.
        xpert.errors.IncompatibleModelError: It is no causal LM with a list of layers.
        xpert.errors.WeightsError: Its weights are missing, truncated or not finite.
    """
    folder, target = resolve(model), Path(out)
    files = weight_files(folder)
    stored = stored_tensors(files)
    if any(name.endswith(INT8) for name in stored):
        raise SettingsError(f"{folder}: its weights are int8 already: quantize the original")
    _check_target(target)
    chosen = _matrices(folder, stored)
    squares, errors, worst = 0.0, 0.0, (0.0, "")
    with atomic_folder(target) as temporary:
        with open_checkpoint(files) as checkpoint, ShardWriter(folder=temporary) as writer:
            for name in track(sorted(stored), "quantizing", unit="tensor"):
                tensor = checkpoint.tensor(name)
                if name not in chosen:
                    writer.add(name, tensor)
                    continue
                values, scale = as_int8(tensor)
                writer.add(name + INT8, values)
                writer.add(name + SCALE, scale)
                square = float(tensor.double().square().sum())
                error = float((values.double() * scale.double().unsqueeze(-1) - tensor.double()).square().sum())
                squares, errors = squares + square, errors + error
                worst = max(worst, (math.sqrt(error / square) if square else 0.0, name))
        write_text(temporary / ORIGIN, json.dumps({"model": str(model)}) + "\n")
        for kind in COPIED:
            for file in folder.glob(kind):
                if not file.name.endswith(".safetensors.index.json"):
                    shutil.copy2(file, temporary)
    return Quantized(
        folder=target,
        n_tensors=len(chosen),
        bytes_before=sum(file.stat().st_size for file in files),
        bytes_after=sum(file.stat().st_size for file in weight_files(target)),
        error=math.sqrt(errors / squares) if squares else 0.0,
        worst_error=worst[0],
        worst=worst[1],
    )


def origin_of(folder: Path) -> str | None:
    """Reference of the model that a folder is an int8 copy of, as `quantize` was given it; None: it is none, or does not say.

    Raises:
        xpert.errors.WeightsError: The file that says so is damaged.
    """
    file = folder / ORIGIN
    if not file.is_file():
        return None
    try:
        model = json.loads(file.read_text(encoding="utf-8"))["model"]
    except (ValueError, KeyError, TypeError) as error:
        raise WeightsError(f'{file}: expected {{"model": "REF"}}: quantize the model again') from error
    return str(model)


def as_int8(matrix: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """A matrix ``(n, m)`` as int8 ``(n, m)`` and factors ``(n,)`` float32.

    >>> values, scale = as_int8(torch.tensor([[1.0, -2.0], [0.0, 0.0]]))
    >>> values.tolist(), [round(s, 4) for s in scale.tolist()]
    ([[64, -127], [0, 0]], [0.0157, 1.0])
    """
    largest = matrix.float().abs().amax(dim=-1)
    scale = torch.where(largest > 0, largest / 127, torch.ones_like(largest))
    return (matrix.float() / scale.unsqueeze(-1)).round().to(torch.int8), scale


def _matrices(folder: Path, stored: Mapping[str, StoredTensor]) -> frozenset[str]:
    """Stored names of the matrices in layers."""
    model = empty_model(folder, "auto")
    names = {id(module): name for name, module in model.named_modules()}
    layers = tuple(f"{names[id(layer)]}." for layer in decoder_layers(model))
    sources = find_sources(model, stored, str(folder))
    inside = [source for name, source in sources.items() if name.startswith(layers)]
    return frozenset(part.name for source in inside for part in source.parts if len(part.tensor.shape) == 2)


def _check_target(target: Path) -> None:
    if target.is_dir() and any(target.iterdir()):
        try:
            again = any(name.endswith(INT8) for name in stored_tensors(weight_files(target)))
        except ValueError:
            again = False
        if not again:
            raise SettingsError(f"out: {target} holds something that is no quantized model: choose another folder")
    elif target.exists() and not target.is_dir():
        raise SettingsError(f"out: {target} is a file: choose a folder")
