"""How a kind of model lies on disk: its parts with weights, its adapters, and what else belongs to it.

A language model has one part; a pipeline has one a component. Merging is the same for every part.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

from xpert.errors import IncompatibleModelError, WeightsError
from xpert.mergers.base import copy_side_files
from xpert.references import kind_of, portable, require_weights
from xpert.tensors.lora import LoraAdapter
from xpert.tensors.lora_files import read_adapter, write_adapter
from xpert.tensors.lora_pipeline import read_pipeline_lora, write_pipeline_lora
from xpert.weights import weight_files

__all__ = ["Layout", "ModelLayout", "Part", "PipelineLayout", "layout_of"]

_INDEX = "model_index.json"
_STEMS = ("diffusion_pytorch_model", "model")
_OPTIONAL = frozenset({"safety_checker", "image_encoder", "feature_extractor"})
"""Components that look at a pipeline's results or inputs and may be left out of it."""
_WEIGHTS = (
    "*.safetensors",
    "*.index.json",
    "*.index.*.json",
    "*.bin",
    "*.ckpt",
    "*.msgpack",
    "*.h5",
    "*.onnx*",
    "*.pb",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One part of a model that has weights.

    Attributes:
        name: Name of the component; empty where the model is one part.
        folder: Where it lies.
        files: Its safetensors files.
        stem: What its files are called before ``.safetensors`` and shard numbers.
    """

    name: str
    folder: Path
    files: tuple[Path, ...]
    stem: str


class Layout(Protocol):
    """A kind of model on disk."""

    kind: ClassVar[str]
    library: ClassVar[str]

    def parts(self, folder: Path) -> Mapping[str, Part]:
        """Name to part, of a whole model."""
        ...

    def adapters(self, folder: Path, base: Path) -> Mapping[str, LoraAdapter]:
        """Name of a part to its LoRA adapter."""
        ...

    def check(self, folder: Path, base: Path, member: str) -> None:
        """Raise `IncompatibleModelError` if a whole model has other parts than the base."""
        ...

    def write_adapters(self, adapters: Mapping[str, LoraAdapter], folder: Path, base: str | Path) -> None:
        """Write adapters of one rank and scale, and what goes with them."""
        ...

    def copy_rest(self, base: Path, folder: Path, merged: Collection[str]) -> None:
        """Copy everything of the base but the weights of the merged parts."""
        ...


def layout_of(base: str | Path) -> Layout:
    """The layout of a base.

    Raises:
        xpert.errors.RecordedModelError: It has answers only.
        xpert.errors.IncompatibleModelError: It is no whole model.
    """
    folder, kind = require_weights(base, "merge"), kind_of(base)
    if kind == "full":
        return ModelLayout()
    if kind == "pipeline":
        return PipelineLayout()
    raise IncompatibleModelError(f"base {str(base)!r}: expected a full model or a pipeline, {folder} is none")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelLayout:
    """A model of Transformers: one part, PEFT adapters, a tokenizer."""

    kind: ClassVar[str] = "full"
    library: ClassVar[str] = "transformers"

    def parts(self, folder: Path) -> Mapping[str, Part]:
        """The model itself."""
        return {"": Part(name="", folder=folder, files=tuple(weight_files(folder)), stem="model")}

    def adapters(self, folder: Path, base: Path) -> Mapping[str, LoraAdapter]:
        """As PEFT saves them."""
        return {"": read_adapter(folder)}

    def check(self, folder: Path, base: Path, member: str) -> None:
        """One part is like another: tensors are compared when they are read."""

    def write_adapters(self, adapters: Mapping[str, LoraAdapter], folder: Path, base: str | Path) -> None:
        """As PEFT reads them, with the base's tokenizer."""
        write_adapter(adapters[""], folder, base=portable(base))
        copy_side_files(require_weights(base, "merge"), folder, model=False)

    def copy_rest(self, base: Path, folder: Path, merged: Collection[str]) -> None:
        """Configuration and tokenizer."""
        copy_side_files(base, folder, model=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineLayout:
    """A pipeline of diffusers: a part for each component with weights, LoRA files of diffusers or PEFT."""

    kind: ClassVar[str] = "pipeline"
    library: ClassVar[str] = "diffusers"

    def parts(self, folder: Path) -> Mapping[str, Part]:
        """Every component that ``model_index.json`` lists and that has weights."""
        found = (_part(folder / name) for name in _components(folder))
        return {part.name: part for part in found if part is not None}

    def adapters(self, folder: Path, base: Path) -> Mapping[str, LoraAdapter]:
        """As diffusers saves them, or PEFT of the denoiser."""
        denoiser = next((name for name in ("unet", "transformer") if name in _components(base)), "unet")
        return read_pipeline_lora(folder, denoiser)

    def check(self, folder: Path, base: Path, member: str) -> None:
        """The same class, and the same components but for those that may be left out."""
        mine, theirs = (_index(place).get("_class_name") for place in (base, folder))
        refused = f"{member!r} ({folder}) is no fine-tune of base {base}"
        if mine != theirs:
            raise IncompatibleModelError(f"{refused}: it is a {theirs}, the base a {mine}")
        names, others = (set(self.parts(place)) - _OPTIONAL for place in (base, folder))
        if names != others:
            first = min(names ^ others)
            raise IncompatibleModelError(f"{refused}: only one of them has weights of the component {first}")

    def write_adapters(self, adapters: Mapping[str, LoraAdapter], folder: Path, base: str | Path) -> None:
        """As ``load_lora_weights`` reads them."""
        write_pipeline_lora(adapters, folder)

    def copy_rest(self, base: Path, folder: Path, merged: Collection[str]) -> None:
        """Every component; of the weights of one that is not merged, the files that count."""
        for name in (_INDEX, "xpert_prompts.jsonl"):
            if (base / name).is_file():
                shutil.copyfile(base / name, folder / name)
        for name in _components(base):
            shutil.copytree(base / name, folder / name, ignore=shutil.ignore_patterns(*_WEIGHTS))
            part = None if name in merged else _part(base / name)
            for file in () if part is None else (*part.files, base / name / f"{part.stem}.safetensors.index.json"):
                if file.is_file():
                    shutil.copyfile(file, folder / name / file.name)


def _index(folder: Path) -> dict[str, Any]:
    try:
        values: Any = json.loads((folder / _INDEX).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise IncompatibleModelError(f"{folder / _INDEX}: expected a pipeline's index in JSON ({error})") from error
    if not isinstance(values, dict):
        raise IncompatibleModelError(f"{folder / _INDEX}: expected a JSON object, it is a {type(values).__name__}")
    return values


def _components(folder: Path) -> list[str]:
    """Names of the components that are there, as sub-folders."""
    listed = [name for name, value in _index(folder).items() if isinstance(value, list) and value and value[0]]
    return sorted(name for name in listed if (folder / name).is_dir())


def _part(folder: Path) -> Part | None:
    """A component's weights, not its variants in other number types; None: it has none, as a tokenizer."""
    for stem in _STEMS:
        index = folder / f"{stem}.safetensors.index.json"
        if index.is_file():
            try:
                shards: Any = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
                files = tuple(folder / name for name in sorted({str(value) for value in shards.values()}))
            except (ValueError, KeyError, AttributeError) as error:
                raise WeightsError(f"{index}: expected 'weight_map' in JSON ({error}): download it again") from error
        else:
            files = (folder / f"{stem}.safetensors",)
        if files and all(file.is_file() for file in files):
            return Part(name=folder.name, folder=folder, files=files, stem=stem)
    others = sorted(file.name for kind in ("*.safetensors", "*.bin", "*.ckpt") for file in folder.glob(kind))
    if others:
        raise WeightsError(
            f"{folder}: expected {_STEMS[0]}.safetensors or {_STEMS[1]}.safetensors, found {others[0]}: save the pipeline "
            "with save_pretrained, without a variant"
        )
    return None
