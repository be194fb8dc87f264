"""Pipelines into memory, checked: weights from safetensors alone, no code of the folder's own, no safety checker, no watermark."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from xpert.errors import IncompatibleModelError, MissingDependencyError, WeightsError
from xpert.weights import check_finite, part_files, tensor_shapes, weight_files

__all__ = [
    "IGNORED_PARTS",
    "denoiser_of",
    "diffusers_version",
    "load_part",
    "load_pipeline",
    "native_size",
    "parts_of",
    "stored_dtype",
]

IGNORED_PARTS = ("safety_checker", "feature_extractor", "image_encoder")
"""Parts that paint nothing: they are not loaded."""
_NEEDED = ("prompt", "num_inference_steps", "guidance_scale", "height", "width", "generator", "output_type")
_DTYPES: Mapping[str, torch.dtype] = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}


def load_pipeline(folder: Path, *, device: torch.device, dtype: Any) -> Any:
    """A text-to-image pipeline in evaluation mode, every weight there and finite.

    Args:
        folder: Of the whole pipeline.
        device: Where it goes.
        dtype: Of its weights; ``auto``: as its denoiser's are stored.

    Raises:
        xpert.errors.IncompatibleModelError: It is no text-to-image pipeline that diffusers knows.
        xpert.errors.WeightsError: Weights are missing, pickled, truncated, of other shapes than the config says, or not finite.
        xpert.errors.MissingDependencyError: diffusers is not installed.
    """
    kind = _pipeline_class(folder)
    tensor_shapes(weight_files(folder))
    takes = inspect.signature(kind.__init__).parameters
    absent: dict[str, Any] = dict.fromkeys((name for name in IGNORED_PARTS if name in takes), None)
    absent |= {name: False for name in ("requires_safety_checker", "add_watermarker") if name in takes}
    chosen = stored_dtype(folder) if dtype == "auto" else dtype
    try:
        with _quiet():
            pipe = kind.from_pretrained(
                folder,
                torch_dtype=chosen,
                use_safetensors=True,
                local_files_only=True,
                variant=_variant(folder),
                **absent,
            )
    except (SafetensorError, RuntimeError) as error:
        raise WeightsError(f"{folder}: its weights do not fit its configs: {_line(error)}") from error
    except (OSError, ValueError, TypeError, KeyError, AttributeError, ImportError) as error:
        raise IncompatibleModelError(f"{folder}: diffusers cannot load this pipeline: {_line(error)}") from error
    for name, part in parts_of(pipe).items():
        _check_part(part, folder / name)
    pipe.set_progress_bar_config(disable=True)
    return pipe.to(device)


def load_part(part: Any, folder: Path) -> Any:
    """Another folder's weights as a module of a part's class, number type and device.

    Raises:
        xpert.errors.WeightsError: They are missing, of other shapes, or not finite.
    """
    from diffusers.models.modeling_utils import ModelMixin

    name = "torch_dtype" if isinstance(part, ModelMixin) else "dtype"
    variant = _variant(folder.parent)
    try:
        with _quiet():
            loaded: Any = type(part).from_pretrained(
                folder, use_safetensors=True, local_files_only=True, variant=variant, **{name: part.dtype}
            )
    except (OSError, RuntimeError, ValueError, SafetensorError) as error:
        raise WeightsError(f"{folder}: its weights do not fit its config: {_line(error)}") from error
    _check_part(loaded, folder)
    return loaded.to(part.device)


def parts_of(pipe: Any) -> dict[str, Any]:
    """The pipeline's parts that have weights, by name."""
    return {name: part for name, part in pipe.components.items() if isinstance(part, torch.nn.Module)}


def denoiser_of(pipe: Any) -> Any:
    """The U-Net or transformer that denoises."""
    return pipe.unet if getattr(pipe, "unet", None) is not None else pipe.transformer


def native_size(pipe: Any) -> tuple[int, int]:
    """Height and width in pixels that the pipeline was made for.

    Raises:
        xpert.errors.IncompatibleModelError: Its denoiser's config does not say.
    """
    size = getattr(denoiser_of(pipe).config, "sample_size", None)
    if size is None:
        raise IncompatibleModelError(
            f"{type(pipe).__name__}: its denoiser's config has no sample_size: give height and width"
        )
    height, width = (size, size) if isinstance(size, int) else size
    scale = getattr(pipe, "vae_scale_factor", 1)
    return int(height * scale), int(width * scale)


def stored_dtype(folder: Path) -> torch.dtype:
    """The number type in which a pipeline's denoiser is stored."""
    part = next(folder / name for name in ("unet", "transformer", "") if (folder / name).is_dir())
    with safe_open(part_files(part)[0], framework="pt") as file:
        return _DTYPES.get(file.get_slice(next(iter(file.keys()))).get_dtype(), torch.float32)


def diffusers_version() -> str:
    """The installed version of diffusers: another one may paint other pixels."""
    return str(_diffusers().__version__)


def _pipeline_class(folder: Path) -> Any:
    """The class that ``model_index.json`` names, one of diffusers' own that paints from a prompt."""
    diffusers, file = _diffusers(), folder / "model_index.json"
    try:
        name = json.loads(file.read_text(encoding="utf-8")).get("_class_name")
    except (ValueError, AttributeError) as error:
        raise IncompatibleModelError(f"{file}: expected a JSON object ({error}): download the pipeline again") from None
    kind = getattr(diffusers, name, None) if isinstance(name, str) else None
    if not (inspect.isclass(kind) and issubclass(kind, diffusers.DiffusionPipeline)):
        raise IncompatibleModelError(
            f"{folder}: {name!r} is no pipeline of diffusers {diffusers.__version__}: expected one such as "
            "StableDiffusionPipeline (code that a folder brings is not run)"
        )
    takes = inspect.signature(kind.__call__).parameters
    if missing := [needed for needed in _NEEDED if needed not in takes]:
        raise IncompatibleModelError(
            f"{folder}: {name} paints no image from a prompt (it takes no {missing[0]!r}): expected a text-to-image pipeline"
        )
    if "image" in takes and takes["image"].default is not None:
        raise IncompatibleModelError(f"{folder}: {name} needs an image: expected a text-to-image pipeline")
    return kind


def _check_part(part: Any, folder: Path) -> None:
    """Every tensor of a diffusers module is in its files (diffusers only warns), and all of them are finite."""
    from diffusers.models.modeling_utils import ModelMixin

    there = tensor_shapes(part_files(folder)).keys() if isinstance(part, ModelMixin) else part.state_dict().keys()
    if missing := sorted(part.state_dict().keys() - there):
        raise WeightsError(f"{folder}: {len(missing)} tensors are missing, first {missing[0]}: download it again")
    check_finite(part.named_parameters(), str(folder))
    part.requires_grad_(False).eval()


def _variant(folder: Path) -> str | None:
    """``fp16`` where a pipeline's weights are there in this variant alone."""
    names = [file.name for file in weight_files(folder)]
    return "fp16" if names and all(".fp16" in name for name in names) else None


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the bars of loading: diffusers and Transformers have one for every part."""
    from diffusers.utils import logging as theirs
    from transformers.utils import logging as transformers

    shown = [(logger, logger.is_progress_bar_enabled()) for logger in (theirs, transformers)]
    for logger, _ in shown:
        logger.disable_progress_bar()
    try:
        yield
    finally:
        for logger, was in shown:
            if was:
                logger.enable_progress_bar()


def _diffusers() -> Any:
    try:
        import diffusers
    except ModuleNotFoundError:
        raise MissingDependencyError.of("diffusers", "diffusion", "a text-to-image pipeline") from None
    return diffusers


def _line(error: Exception) -> str:
    """An error's first line that says something."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:300] if lines else type(error).__name__
