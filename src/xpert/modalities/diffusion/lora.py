"""LoRA adapters in diffusers' own file: put on a pipeline, and taken off so that the base is as before, bit for bit.

diffusers loads what fits and only warns about the rest; here every tensor of the file finds its place, or the adapter is refused.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from xpert.errors import IncompatibleModelError, WeightsError
from xpert.modalities.diffusion.pipeline import denoiser_of, parts_of
from xpert.tensors.files import sha256_bytes
from xpert.weights import LORA_FILE, check_finite, tensor_shapes

__all__ = ["lora_applied"]

_ADAPTER = "probed"
_LOUD = ("loaders.peft", "loaders.lora_base", "utils.peft_utils")


@contextmanager
def lora_applied(pipe: Any, folder: Path) -> Iterator[Any]:
    """The pipeline with an adapter on denoiser and text encoders, for the length of the block; afterwards as it was, after an error too.

    Args:
        pipe: The base, changed in place meanwhile.
        folder: The adapter's, with ``pytorch_lora_weights.safetensors``.

    Raises:
        xpert.errors.IncompatibleModelError: It is no adapter of this base: names or shapes are others, or a kind that diffusers
            would load in part.
        xpert.errors.WeightsError: Its file is truncated, or a tensor is not finite.
    """
    from safetensors.torch import load_file

    file = folder / LORA_FILE
    tensor_shapes([file])
    try:
        tensors = load_file(file)
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{file}: cannot be read ({error}): download it again") from error
    check_finite(tensors, str(file))
    if not hasattr(pipe, "load_lora_weights"):
        raise IncompatibleModelError(f"{folder}: {type(pipe).__name__} takes no LoRA adapters")
    try:
        _put_on(pipe, folder)
        _check_whole(pipe, tensors, file)
        yield pipe
    finally:
        _take_off(pipe)


def _put_on(pipe: Any, folder: Path) -> None:
    loggers = [logging.getLogger(f"diffusers.{name}") for name in _LOUD]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)  # what it would say is raised here, or in `_check_whole`
    try:
        with torch.random.fork_rng(devices=[]):
            pipe.load_lora_weights(
                str(folder), weight_name=LORA_FILE, adapter_name=_ADAPTER, local_files_only=True, use_safetensors=True
            )
    except (ValueError, TypeError, KeyError, AttributeError, RuntimeError, IndexError) as error:
        said = " ".join(str(error).split())[:300]
        raise IncompatibleModelError(f"{folder} is no adapter of this base: {said}") from error
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
    for part in parts_of(pipe).values():
        part.eval()  # new layers come in training mode, with their dropout


def _check_whole(pipe: Any, tensors: Mapping[str, torch.Tensor], file: Path) -> None:
    """What is in place is what the file has, tensor by tensor (the names are not the same); ``alpha`` values become part of the config."""
    from peft.utils import get_peft_model_state_dict

    dtype = denoiser_of(pipe).dtype
    placed: Counter[str] = Counter()
    for part in parts_of(pipe).values():
        if _ADAPTER in getattr(part, "peft_config", {}):
            state = get_peft_model_state_dict(part, adapter_name=_ADAPTER)
            placed.update(_bits(tensor, dtype) for tensor in state.values())
    there = Counter(_bits(tensor, dtype) for name, tensor in tensors.items() if not name.endswith(".alpha"))
    if not there:
        raise IncompatibleModelError(f"{file}: no LoRA tensors in it")
    if placed != there:
        raise IncompatibleModelError(
            f"{file} is no adapter of this base: {(there - placed).total()} of its {there.total()} tensors found no module of "
            f"the pipeline, {(placed - there).total()} are missing (another base, or a kind of adapter that is more than LoRA)"
        )


def _bits(tensor: torch.Tensor, dtype: torch.dtype) -> str:
    """What a tensor holds once it is in the pipeline's number type."""
    if tensor.is_meta:
        return "nothing"
    return sha256_bytes(tensor.detach().cpu().to(dtype).float().contiguous().numpy().tobytes())


def _take_off(pipe: Any) -> None:
    """Remove every layer of the adapter, also where loading stopped midway."""
    from diffusers.utils.peft_utils import recurse_remove_peft_layers

    for part in parts_of(pipe).values():
        recurse_remove_peft_layers(part)
        if "peft_config" in part.__dict__:
            del part.peft_config
        part._hf_peft_config_loaded = False
        part.requires_grad_(False)
