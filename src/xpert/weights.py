"""Weight files as they lie on disk: which there are, what their headers say, their digest. No tensor is read.

Only safetensors files count: pickled weights can run code and are refused.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xpert.errors import WeightsError
from xpert.tensors.files import sha256_file
from xpert.tensors.headers import StoredTensor, read_header

if TYPE_CHECKING:
    import torch

__all__ = [
    "INT8",
    "LORA_FILE",
    "SCALE",
    "check_finite",
    "digest",
    "model_digest",
    "part_files",
    "stored_tensors",
    "tensor_shapes",
    "weight_files",
]

LORA_FILE = "pytorch_lora_weights.safetensors"
"""The file in which diffusers keeps a LoRA adapter of a pipeline."""

INT8, SCALE = ".xpert_int8", ".xpert_scale"
"""What the name of a tensor that ``xpert quantize`` stored as int8 ends with, and that of its factors, one a row."""

_SETTINGS = ("*.json", "*.jinja", "*.model", "*.txt")
_VARIANT = re.compile(r"\.(fp16|bf16|non_ema)(-\d+-of-\d+)?\.safetensors$")
"""Further copies of a pipeline's weights in one folder, in another number type."""
_PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt")


def weight_files(folder: str | Path) -> list[Path]:
    """The safetensors files that hold a model, an adapter or a pipeline, sorted by name.

    A pipeline's lie in its sub-folders (a full copy, not variants such as ``.fp16``, where both are there); a model's are the
    shards that its index lists, or ``model.safetensors``, or else all; an adapter's is ``adapter_model.safetensors``, or
    diffusers' `LORA_FILE`.

    Raises:
        xpert.errors.WeightsError: There are none, only pickled ones, or a shard is missing.
    """
    folder = Path(folder)
    if (folder / "model_index.json").is_file():
        files = sorted(file for part in _modules(folder) for file in part_files(part))
    elif (folder / "adapter_config.json").is_file():
        files = sorted(folder.glob("adapter_model.safetensors"))
    elif (folder / LORA_FILE).is_file() and not (folder / "config.json").is_file():
        files = [folder / LORA_FILE]
    elif (index := folder / "model.safetensors.index.json").is_file():
        return _shards(index)
    else:
        files = sorted(folder.glob("model.safetensors")) or sorted(folder.glob("*.safetensors"))
    if files:
        return files
    parts = [folder, *_modules(folder)]
    pickled = sorted(path.name for kind in _PICKLED for part in parts for path in part.glob(kind))
    if pickled:
        raise WeightsError(
            f"{folder}: only pickled weights ({pickled[0]}), which can run code: save them as safetensors "
            "(save_pretrained does)"
        )
    raise WeightsError(f"{folder}: no weights: expected a .safetensors file")


def part_files(folder: str | Path) -> list[Path]:
    """The safetensors files of one part of a pipeline (its U-Net, say), sorted; none for a tokenizer or scheduler."""
    files = sorted(Path(folder).glob("*.safetensors"))
    return [file for file in files if not _VARIANT.search(file.name)] or files


def stored_tensors(files: Iterable[str | Path]) -> dict[str, StoredTensor]:
    """Every tensor in safetensors files by name, from their headers.

    Raises:
        xpert.errors.WeightsError: A file is truncated or no safetensors file.
    """
    tensors: dict[str, StoredTensor] = {}
    for file in files:
        tensors |= read_header(file)
    return tensors


def tensor_shapes(files: Iterable[str | Path]) -> dict[str, tuple[int, ...]]:
    """Name and shape of every tensor in safetensors files, from their headers.

    Raises:
        xpert.errors.WeightsError: A file is truncated or no safetensors file.
    """
    return {name: tensor.shape for name, tensor in stored_tensors(files).items()}


def digest(folder: str | Path, files: Iterable[Path]) -> str:
    """SHA-256 over the files' relative names and contents: the same for two copies of a model anywhere."""
    total = hashlib.sha256()
    for file in files:
        total.update(f"{file.relative_to(folder).as_posix()}\0{sha256_file(file)}\n".encode())
    return total.hexdigest()


def model_digest(folder: str | Path) -> str:
    """SHA-256 over everything in a model's folder that its results depend on: weights, configs, tokenizer, chat template."""
    folder = Path(folder)
    parts = [folder, *_modules(folder)]
    settings = {file for kind in _SETTINGS for part in parts for file in part.glob(kind) if file.is_file()}
    return digest(folder, sorted(settings | set(weight_files(folder))))


def _modules(folder: Path) -> list[Path]:
    """The sub-folders that belong to a model (a pipeline and a sentence encoder list theirs); others may hold anything, such as checkpoints."""
    index = folder / "model_index.json"
    if index.is_file():
        return [folder / name for name in _json_object(index.read_bytes(), index) if (folder / name).is_dir()]
    file = folder / "modules.json"
    listed: Any = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else []
    return [folder / str(entry["path"]) for entry in listed if entry.get("path")]


def check_finite(tensors: Mapping[str, torch.Tensor] | Iterable[tuple[str, torch.Tensor]], where: str) -> None:
    """Raise at the first tensor with a NaN or an infinite entry.

    Raises:
        xpert.errors.WeightsError: Names the tensor and ``where`` it came from.
    """
    for name, tensor in tensors.items() if isinstance(tensors, Mapping) else tensors:
        # A sum is not finite if an entry is not; it may also overflow, so only a suspicion is looked at in full.
        if tensor.is_floating_point() and not bool(tensor.sum().isfinite()) and not bool(tensor.isfinite().all()):
            raise WeightsError(f"{where}: tensor {name} has NaN or infinite values: train or download it again")


def _shards(index: Path) -> list[Path]:
    listed = _json_object(index.read_bytes(), index).get("weight_map")
    if not isinstance(listed, dict) or not listed:
        raise WeightsError(f"{index}: expected an object 'weight_map' of tensor names to files: download it again")
    shards = [index.parent / name for name in sorted({str(name) for name in listed.values()})]
    for shard in shards:
        if not shard.is_file():
            raise WeightsError(f"{index}: lists {shard.name}, which is not there: download the model again")
    return shards


def _json_object(data: bytes, file: Path) -> dict[str, Any]:
    try:
        value = json.loads(data)
    except ValueError as error:
        raise WeightsError(f"{file}: expected JSON ({error}): download it again") from None
    if not isinstance(value, dict):
        raise WeightsError(f"{file}: expected a JSON object, it is a {type(value).__name__}: download it again")
    return value
