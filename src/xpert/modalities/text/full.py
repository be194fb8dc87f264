"""Whether a model belongs to the base, told from file headers and an empty copy of the base."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch

from xpert.errors import IncompatibleModelError
from xpert.weights import tensor_shapes, weight_files

__all__ = ["check_full", "skeleton_of"]

_MAY_DIFFER = re.compile(r"(^|\.)(lm_head\.weight|rotary_emb\.inv_freq|attn\.bias|attn\.masked_bias)$")
"""Tied output layers are saved or not, and buffers of old releases: their absence makes no other model."""


def check_full(folder: Path, base: Path) -> None:
    """Check that a full model has the base's tensors in the base's shapes.

    Raises:
        xpert.errors.IncompatibleModelError: Another vocabulary, width, depth or architecture; the message names a tensor.
        xpert.errors.WeightsError: A file is truncated.
    """
    own, expected = tensor_shapes(weight_files(folder)), tensor_shapes(weight_files(base))
    refused = f"{folder} is no model of the base {base}"
    for name in sorted(expected.keys() & own.keys()):
        if own[name] != expected[name]:
            raise IncompatibleModelError(f"{refused}: {name} has shape {own[name]}, the base's {expected[name]}")
    different = sorted(name for name in expected.keys() ^ own.keys() if not _MAY_DIFFER.search(name))
    if different:
        name = different[0]
        how = "the base has not" if name in own else "is missing"
        raise IncompatibleModelError(f"{refused}: {name} {how} ({len(different)} such tensors)")


def skeleton_of(base: Path) -> Any:
    """An empty copy of a base: all its modules, no memory."""
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.from_pretrained(base, local_files_only=True, trust_remote_code=False)
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(config, trust_remote_code=False)
