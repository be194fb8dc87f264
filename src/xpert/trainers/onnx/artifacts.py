"""The artifacts of a training, read and checked before the runtime sees them: it ends the process where it should raise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xpert.artifacts.header import check_files, read_header
from xpert.artifacts.tokenizer import FastTokenizer
from xpert.errors import IncompatibleModelError

__all__ = ["Artifacts", "Tensor"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensor:
    """One float32 tensor of a model.

    Attributes:
        parameter: Its name in the graphs.
        key: Its name in an ``adapter_model.safetensors``; empty for a frozen one.
        shape: Its shape.
        offset: Where it lies in its file of raw numbers, in bytes.
    """

    parameter: str
    key: str
    shape: tuple[int, ...]
    offset: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifacts:
    """A folder that `xpert.OnnxExporter` wrote.

    Attributes:
        folder: The folder.
        digest: What was exported: start, adapter, settings.
        base: Reference of the base.
        max_length: Longest row that may be trained.
        clip: Largest norm of the gradient, in the optimizer's graph.
        weight_decay: AdamW's, in the optimizer's graph.
        adapter: The content of ``adapter_config.json``.
        trained: The adapter's tensors.
        frozen: The base's tensors.
        tokenizer: The tokenizer.
        end_id: The token that ends a response; None: none does.
        pad_id: The token that pads.
    """

    folder: Path
    digest: str
    base: str
    max_length: int
    clip: float
    weight_decay: float
    adapter: Mapping[str, Any]
    trained: tuple[Tensor, ...]
    frozen: tuple[Tensor, ...]
    tokenizer: FastTokenizer
    end_id: int | None
    pad_id: int

    @classmethod
    def open(cls, folder: str | Path) -> Artifacts:
        """Read the header, hold every file against it, and load the tokenizer.

        Raises:
            xpert.errors.IncompatibleModelError: It is no folder of artifacts, of a newer version, or its tokenizer is another one.
            xpert.errors.WeightsError: A file is missing or damaged.
        """
        folder = Path(folder)
        header = read_header(folder, "training")
        check_files(folder, header)
        try:
            return cls(
                folder=folder,
                digest=str(header["digest"]),
                base=str(header["base"]),
                max_length=int(header["max_length"]),
                clip=float(header["optimizer"]["clip"]),
                weight_decay=float(header["optimizer"]["weight_decay"]),
                adapter=header["adapter"],
                trained=tuple(_tensor(one) for one in header["trained"]),
                frozen=tuple(_tensor(one) for one in header["frozen"]),
                tokenizer=FastTokenizer(folder, header["tokenizer"]),
                end_id=header["tokenizer"]["end_id"],
                pad_id=int(header["tokenizer"]["pad_id"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise IncompatibleModelError(
                f"{folder}: its header lacks what training needs ({error!r}): export it again"
            ) from None

    @property
    def n_trained(self) -> int:
        """Parameters that train."""
        total = 0
        for tensor in self.trained:
            size = 1
            for side in tensor.shape:
                size *= side
            total += size
        return total


def _tensor(said: Mapping[str, Any]) -> Tensor:
    shape = tuple(int(side) for side in said["shape"])
    return Tensor(parameter=said["parameter"], key=said.get("key", ""), shape=shape, offset=int(said["offset"]))
