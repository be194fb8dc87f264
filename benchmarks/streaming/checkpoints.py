"""Writes the benchmark's checkpoints: random weights in the shapes of Llama-3.2-1B (2.5 GB) and Llama-3.1-8B (16 GB), sharded.

Run: ``python benchmarks/streaming/checkpoints.py FOLDER [NAME ...]``. A name is a shape (``1b``, ``8b``), ``-f32`` for weights stored as
float32 (without: bfloat16), and ``-4layers`` for the first four layers only: ``1b-f32``, ``8b-4layers-f32``. Tokenizer: the zoo's (fewer
tokens than the models have rows).
"""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, LlamaConfig

from xpert.tensors.checkpoint import ShardWriter
from xpert.tensors.files import atomic_folder
from xpert.zoo import path as zoo_path

ROPE = {
    "rope_type": "llama3",
    "factor": 32.0,
    "high_freq_factor": 4.0,
    "low_freq_factor": 1.0,
    "original_max_position_embeddings": 8192,
}
SHAPES: dict[str, dict[str, Any]] = {
    "1b": {
        "hidden_size": 2048,
        "intermediate_size": 8192,
        "num_hidden_layers": 16,
        "head_dim": 64,
        "tie_word_embeddings": True,
    },
    "8b": {
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "num_hidden_layers": 32,
        "head_dim": 128,
        "tie_word_embeddings": False,
    },
}
SHARD_BYTES = {"1b": 700_000_000, "8b": 4_000_000_000}


def parts_of(name: str) -> tuple[str, int | None, torch.dtype]:
    """Shape, layers (None: all) and dtype that a checkpoint's name asks for."""
    match = re.fullmatch(r"(1b|8b)(?:-([0-9]+)layers)?(-f32)?", name)
    if match is None:
        sys.exit(f"{name}: expected a name such as 1b, 8b, 1b-f32 or 8b-4layers-f32")
    return match[1], int(match[2]) if match[2] else None, torch.float32 if match[3] else torch.bfloat16


def config_of(shape: str, layers: int | None, dtype: torch.dtype) -> LlamaConfig:
    numbers = SHAPES[shape] | ({} if layers is None else {"num_hidden_layers": layers})
    return LlamaConfig(
        vocab_size=128256,
        num_attention_heads=32,
        num_key_value_heads=8,
        max_position_embeddings=131072,
        rms_norm_eps=1e-5,
        rope_theta=500000.0,
        rope_scaling=ROPE,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=None,
        dtype=str(dtype).removeprefix("torch."),
        architectures=["LlamaForCausalLM"],
        **numbers,
    )


def write(name: str, folder: Path) -> None:
    """Weights of spread 0.02 (norms: 1), one tensor in memory at a time but for a shard's."""
    shape, layers, dtype = parts_of(name)
    config = config_of(shape, layers, dtype)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    generator = torch.Generator().manual_seed(0)
    with atomic_folder(folder) as temporary:
        with ShardWriter(folder=temporary, max_bytes=SHARD_BYTES[shape]) as writer:
            for tensor, parameter in model.named_parameters():
                if parameter.dim() == 1:
                    values = torch.ones(parameter.shape, dtype=dtype)
                else:
                    values = torch.empty(parameter.shape, dtype=torch.bfloat16).normal_(0.0, 0.02, generator=generator)
                writer.add(tensor, values.to(dtype))
        config.save_pretrained(temporary)
        for file in zoo_path("summarizer").iterdir():
            if file.name.startswith(("tokenizer", "special_tokens", "chat_template")):
                shutil.copy2(file, temporary)


def main() -> None:
    root, asked = Path(sys.argv[1]), sys.argv[2:] or list(SHAPES)
    for name in asked:
        if not (root / name / "config.json").is_file():
            write(name, root / name)
        print(root / name)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
