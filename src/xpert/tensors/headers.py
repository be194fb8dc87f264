"""What the header of a safetensors file says: names, number types, shapes and places. No tensor is read, no torch is needed."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xpert.errors import WeightsError

__all__ = ["StoredTensor", "header_bytes", "read_header"]

_LARGEST_HEADER = 100 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredTensor:
    """Where a tensor lies, as a safetensors header says.

    Attributes:
        file: The file.
        dtype: As safetensors names it: ``F32``, ``BF16``, ``I8`` ...
        shape: Its shape.
        start: Its first byte, from the beginning of the file.
        n_bytes: How many there are.
    """

    file: Path
    dtype: str
    shape: tuple[int, ...]
    start: int
    n_bytes: int


def read_header(file: str | Path) -> dict[str, StoredTensor]:
    """Every tensor of a safetensors file by name, their extents held against the file's size.

    Raises:
        xpert.errors.WeightsError: The file is truncated or no safetensors file.
    """
    file = Path(file)
    try:
        size = file.stat().st_size
        with open(file, "rb") as stream:
            start = stream.read(8)
            length = struct.unpack("<Q", start)[0] if len(start) == 8 else -1
            if not 0 < length <= min(size - 8, _LARGEST_HEADER):
                raise WeightsError(f"{file}: truncated or no safetensors file ({size} bytes): download it again")
            values = _object(stream.read(length), file)
    except OSError as error:
        raise WeightsError(f"{file}: cannot be read ({error.strerror}): download it again") from error
    try:
        entries = {name: _entry(file, value, 8 + length) for name, value in values.items() if name != "__metadata__"}
    except (KeyError, IndexError, TypeError, ValueError):
        raise WeightsError(f"{file}: its header is not that of a safetensors file: download it again") from None
    expected = max((entry.start + entry.n_bytes for entry in entries.values()), default=8 + length)
    if size != expected:
        raise WeightsError(f"{file}: expected {expected} bytes by its header, it has {size}: download it again")
    return entries


def header_bytes(tensors: Mapping[str, tuple[str, tuple[int, ...], int]]) -> bytes:
    """The beginning of a safetensors file whose tensors follow in this order.

    Args:
        tensors: Name to number type, shape and size in bytes.
    """
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    place = 0
    for name, (dtype, shape, n_bytes) in tensors.items():
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [place, place + n_bytes]}
        place += n_bytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text


def _entry(file: Path, value: Mapping[str, Any], data: int) -> StoredTensor:
    start, end = (int(place) for place in value["data_offsets"])
    shape = tuple(int(side) for side in value["shape"])
    return StoredTensor(file=file, dtype=str(value["dtype"]), shape=shape, start=data + start, n_bytes=end - start)


def _object(data: bytes, file: Path) -> dict[str, Any]:
    try:
        value = json.loads(data)
    except ValueError as error:
        raise WeightsError(f"{file}: truncated or no safetensors file ({error}): download it again") from None
    if not isinstance(value, dict):
        raise WeightsError(f"{file}: its header is not that of a safetensors file: download it again")
    return value
