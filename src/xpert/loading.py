"""Loading causal LMs and their tokenizers, checked. Below the families: whoever holds a language model loads it here."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from xpert.errors import IncompatibleModelError, SettingsError, WeightsError
from xpert.weights import INT8, check_finite, tensor_shapes, weight_files

__all__ = [
    "checked",
    "choose_device",
    "choose_dtype",
    "decoder_of",
    "has_tokenizer",
    "load_config",
    "load_model",
    "load_tokenizer",
]

DTYPES: Mapping[str, Any] = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
    "auto": "auto",
}
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model")


def choose_device(device: str | None) -> torch.device:
    """The device asked for; None: a CUDA device if there is one, else the CPU.

    Raises:
        xpert.errors.SettingsError: It is not there.
    """
    try:
        chosen = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    except RuntimeError:
        raise SettingsError(f"device {device!r}: expected a device of torch, such as cpu or cuda:0") from None
    if chosen.type == "cuda" and (chosen.index or 0) >= torch.cuda.device_count():
        raise SettingsError(f"device {device!r}: torch sees {torch.cuda.device_count()} CUDA devices: choose another")
    return chosen


def choose_dtype(dtype: str | None, device: torch.device) -> Any:
    """The dtype asked for; None: float32 on the CPU, as stored elsewhere.

    Raises:
        xpert.errors.SettingsError: No such dtype.
    """
    if dtype is None:
        return DTYPES["float32" if device.type == "cpu" else "auto"]
    if dtype not in DTYPES:
        raise SettingsError(f"dtype {dtype!r}: expected one of {', '.join(DTYPES)}")
    return DTYPES[dtype]


def load_config(folder: Path) -> Any:
    """The config of a model that Transformers knows without running its code.

    Raises:
        xpert.errors.IncompatibleModelError: There is none, or it cannot be used.
    """
    from transformers import AutoConfig

    try:
        return AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        raise IncompatibleModelError(f"{folder}: its config cannot be used: {_line(error)}") from error


def load_model(folder: Path, *, device: torch.device, dtype: Any) -> Any:
    """A causal LM from safetensors, in evaluation mode, every tensor there and finite.

    Raises:
        xpert.errors.IncompatibleModelError: It is no causal LM that Transformers knows without running its code.
        xpert.errors.WeightsError: Tensors are missing, of another shape than its config says, or not finite.
    """
    from transformers import AutoModelForCausalLM

    if any(name.endswith(INT8) for name in tensor_shapes(weight_files(folder))):
        raise IncompatibleModelError(
            f"{folder}: its weights are int8 by xpert quantize, which only streamed:{folder} reads"
        )
    load_config(folder)
    try:
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=dtype,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
    except ValueError as error:
        raise IncompatibleModelError(f"{folder}: expected a causal LM: {_line(error)}") from error
    except (OSError, RuntimeError, SafetensorError) as error:
        raise WeightsError(f"{folder}: its weights do not fit its config: {_line(error)}") from error
    model, info = loaded
    return checked(model, info, folder).to(device)


def checked(model: Any, info: Mapping[str, Any], folder: Path) -> Any:
    """A model that Transformers has loaded with ``output_loading_info``, whole, finite and ready to be asked.

    Raises:
        xpert.errors.WeightsError: Tensors are missing or not finite.
    """
    if missing := sorted(info["missing_keys"]):
        raise WeightsError(f"{folder}: {len(missing)} tensors are missing, first {missing[0]}: download it again")
    check_finite(model.named_parameters(), str(folder))
    return model.requires_grad_(False).eval()


def decoder_of(model: Any) -> Any:
    """What of a causal LM comes before its output layer; some releases name it otherwise than they keep it (Gemma 3 in 4.57)."""
    return model.get_decoder() if model.base_model is model else model.base_model


def has_tokenizer(folder: Path) -> bool:
    """Whether the folder brings a tokenizer of its own."""
    return any((folder / name).is_file() for name in _TOKENIZER_FILES)


def load_tokenizer(folder: Path) -> Any:
    """The tokenizer of a model's folder.

    Raises:
        xpert.errors.IncompatibleModelError: There is none.
    """
    from transformers import AutoTokenizer

    if not has_tokenizer(folder):
        raise IncompatibleModelError(f"{folder}: no tokenizer: expected one of {', '.join(_TOKENIZER_FILES)}")
    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        raise IncompatibleModelError(f"{folder}: its tokenizer cannot be used: {_line(error)}") from error


def _line(error: Exception) -> str:
    """An error's first line that says something."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
