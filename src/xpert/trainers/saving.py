"""A trained language model or adapter as PEFT and Transformers load it, with its tokenizer."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from xpert.trainers.loading import Loaded, adapter_state

__all__ = ["adapter_config", "save_tensors", "write_start"]

_USUAL = ("base_model_name_or_path", "bias", "fan_in_fan_out", "lora_alpha", "lora_dropout", "r", "target_modules")


def save_tensors(tensors: Mapping[str, torch.Tensor], file: Path) -> None:
    """Write a safetensors file.

    Raises:
        OSError: The disk is full, or the file cannot be written.
    """
    with _system_errors(file):
        save_file(dict(tensors), file, metadata={"format": "pt"})


def write_start(loaded: Loaded, folder: Path) -> None:
    """Write a language model or its adapter, and the tokenizer."""
    if loaded.method == "lora":
        _write_adapter(loaded, folder)
    else:
        with _system_errors(folder):
            loaded.model.save_pretrained(folder, safe_serialization=True)
    loaded.tokenizer.save_pretrained(folder)


@contextmanager
def _system_errors(path: Path) -> Iterator[None]:
    """The system's own errors, which safetensors wraps in a text such as "... code: 28 ..."."""
    try:
        yield
    except SafetensorError as error:
        found = re.search(r"code: (\d+)", str(error))
        if found is None:
            raise
        raise OSError(int(found[1]), os.strerror(int(found[1])), str(path)) from error


def _write_adapter(loaded: Loaded, folder: Path) -> None:
    tensors = {name: t.detach().cpu().contiguous() for name, t in adapter_state(loaded.model).items()}
    save_tensors(tensors, folder / "adapter_model.safetensors")
    values = adapter_config(loaded.model.peft_config["default"])
    text = json.dumps(values, indent=2, sort_keys=True, default=str)
    (folder / "adapter_config.json").write_text(text + "\n", encoding="utf-8")


def adapter_config(config: Any) -> dict[str, Any]:
    """What older and newer PEFT both read: the usual keys, and whatever is not PEFT's default."""
    usual, fixed = type(config)().to_dict(), {"inference_mode": True, "peft_type": "LORA", "task_type": "CAUSAL_LM"}
    values = {name: sorted(value) if isinstance(value, set) else value for name, value in config.to_dict().items()}
    chosen = {name: value for name, value in values.items() if name in _USUAL or value != usual.get(name)}
    return {**chosen, **fixed}
