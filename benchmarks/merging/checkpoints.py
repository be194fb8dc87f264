"""Writes the benchmark's models: a base and fine-tunes of it, random bfloat16 weights in the shape of Llama-3.2-1B (2.5 GB each).

    python benchmarks/merging/checkpoints.py FOLDER [--models 3]

``FOLDER/base`` and ``FOLDER/model0`` ...; what is there already is kept. The tokenizer is the zoo's.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import sys
import zlib
from pathlib import Path

import torch

from xpert.tensors.files import atomic_folder
from xpert.tensors.shards import RowWriter, TensorSpec
from xpert.zoo import path as zoo_path

BLOCK = 1 << 22
WIDTH, INNER, KV, LAYERS, ROWS = 2048, 8192, 512, 16, 128256
CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": WIDTH,
    "intermediate_size": INNER,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 64,
    "vocab_size": ROWS,
    "max_position_embeddings": 131072,
    "rms_norm_eps": 1e-5,
    "rope_theta": 500000.0,
    "tie_word_embeddings": True,
    "torch_dtype": "bfloat16",
}


def specs() -> list[TensorSpec]:
    """Names and shapes of the checkpoint."""
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (ROWS, WIDTH)}
    for i in range(LAYERS):
        layer = f"model.layers.{i}"
        shapes |= {f"{layer}.self_attn.{n}_proj.weight": (r, WIDTH) for n, r in (("q", WIDTH), ("k", KV), ("v", KV))}
        shapes[f"{layer}.self_attn.o_proj.weight"] = (WIDTH, WIDTH)
        shapes |= {f"{layer}.mlp.{n}_proj.weight": (INNER, WIDTH) for n in ("gate", "up")}
        shapes[f"{layer}.mlp.down_proj.weight"] = (WIDTH, INNER)
        shapes |= {f"{layer}.{n}_layernorm.weight": (WIDTH,) for n in ("input", "post_attention")}
    shapes["model.norm.weight"] = (WIDTH,)
    return [TensorSpec(name=name, shape=shape, dtype=torch.bfloat16) for name, shape in shapes.items()]


def numbers(seed: int) -> torch.Tensor:
    """Random numbers of the base, or of a fine-tune: the base's plus a tenth of others."""
    base = 0.02 * torch.randn(BLOCK, generator=torch.Generator().manual_seed(0))
    own = 0.002 * torch.randn(BLOCK, generator=torch.Generator().manual_seed(seed)) if seed else torch.zeros(BLOCK)
    return (base + own).bfloat16()


def write(folder: Path, seed: int) -> None:
    """Every tensor repeats one block of random numbers from a place on that its name gives: quick to write."""
    if folder.is_dir():
        return
    block = numbers(seed).repeat(2)
    with atomic_folder(folder) as out:
        with RowWriter(folder=out, specs=specs()) as writer:
            for spec in writer.order:
                left, start = math.prod(spec.shape), zlib.crc32(spec.name.encode()) % BLOCK
                while left:
                    writer.add(block[start : start + min(left, BLOCK)])
                    left -= min(left, BLOCK)
        (out / "config.json").write_text(json.dumps(CONFIG, indent=1))
        for file in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
            if (zoo_path("base") / file).is_file():
                shutil.copyfile(zoo_path("base") / file, out / file)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--models", type=int, default=3)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    for name, seed in [("base", 0), *((f"model{i}", i + 1) for i in range(options.models))]:
        write(options.folder / name, seed)
    return 0


if __name__ == "__main__":
    sys.exit(main())
