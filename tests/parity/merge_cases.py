"""Random members of a merge, and what they are by definition, in float64 and without a line of the package.

Tests against PEFT hold this definition to what PEFT computes.
"""

from __future__ import annotations

import json
import math
import random
import re
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

V, D, H = 11, 8, 12
HEAD = "lm_head.weight"
LLAMA: dict[str, tuple[int, ...]] = {
    "model.embed_tokens.weight": (V, D),
    "model.layers.0.self_attn.q_proj.weight": (D, D),
    "model.layers.0.self_attn.q_proj.bias": (D,),
    "model.layers.0.mlp.up_proj.weight": (H, D),
    "model.layers.0.mlp.down_proj.weight": (D, H),
    "model.norm.weight": (D,),
    HEAD: (V, D),
}
GPT2: dict[str, tuple[int, ...]] = {
    "transformer.wte.weight": (V, D),
    "transformer.h.0.attn.c_attn.weight": (D, 3 * D),
    "transformer.h.0.attn.c_attn.bias": (3 * D,),
    "transformer.h.0.mlp.c_proj.weight": (H, D),
    "transformer.h.0.mlp.c_proj.bias": (D,),
    "transformer.ln_f.weight": (D,),
    HEAD: (V, D),
}
SHAPES = {"llama": LLAMA, "gpt2": GPT2}
EMBEDDING = {"llama": "model.embed_tokens", "gpt2": "transformer.wte"}


def draw(rng: random.Random, *shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(rng.randrange(2**31)))


def write_base(folder: Path, rng: random.Random, family: str, *, tied: bool) -> None:
    folder.mkdir()
    tensors = {name: draw(rng, *shape) for name, shape in SHAPES[family].items() if not (tied and name == HEAD)}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    config = {"model_type": family, "tie_word_embeddings": tied, "dtype": "float32"}
    (folder / "config.json").write_text(json.dumps(config))


def write_full(folder: Path, base: Path, rng: random.Random) -> None:
    folder.mkdir()
    dtype = rng.choice([torch.float32, torch.float32, torch.bfloat16, torch.float16])
    tensors = load_file(base / "model.safetensors")
    moved = {name: (t + 0.1 * draw(rng, *t.shape)).to(dtype) for name, t in tensors.items()}
    save_file(moved, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_bytes((base / "config.json").read_bytes())


def write_adapter(folder: Path, base: Path, rng: random.Random, family: str, *, dora: bool) -> None:
    """An adapter of random targets, rank, alpha, patterns, scaling, bias, whole modules, tokens, number type.

    Replaced tokens of tied embeddings beside another change of the output layer are no case: they are refused.
    """
    folder.mkdir()
    shapes, origin = SHAPES[family], load_file(base / "model.safetensors")
    linear = [
        n.removesuffix(".weight") for n, s in shapes.items() if len(s) == 2 and not n.startswith(EMBEDDING[family])
    ]
    targets = rng.sample(linear, rng.randint(1, len(linear)))
    if rng.random() < 0.3:
        targets.append(EMBEDDING[family])
    free = [name for name in ("lm_head", EMBEDDING[family]) if name not in targets]
    saved = [name for name in free if rng.random() < 0.2]
    tied = HEAD not in origin
    taken = EMBEDDING[family] in [*targets, *saved] or (tied and "lm_head" in [*targets, *saved])
    tokens = sorted(rng.sample(range(V), 3)) if not taken and rng.random() < 0.3 else []
    bias = rng.choice(["none", "none", "all", "lora_only"])
    rank, alpha = rng.randint(1, 4), rng.choice([1, 4, 7.5])
    config: dict[str, Any] = {"peft_type": "LORA", "r": rank, "lora_alpha": alpha, "target_modules": sorted(targets)}
    config |= {"use_rslora": rng.random() < 0.3, "use_dora": dora, "bias": bias, "modules_to_save": saved or None}
    config |= {"fan_in_fan_out": family == "gpt2", "base_model_name_or_path": str(base)}
    config["trainable_token_indices"] = {EMBEDDING[family].rpartition(".")[2]: tokens} if tokens else None
    config["alpha_pattern"] = {targets[0]: 3} if rng.random() < 0.3 else {}
    config["rank_pattern"] = {targets[-1]: rank + 2} if rng.random() < 0.3 else {}
    tensors: dict[str, torch.Tensor] = {}
    for module in targets:
        shape = shapes[f"{module}.weight"]
        embedding = module == EMBEDDING[family]
        turned = embedding or (family == "gpt2" and module != "lm_head")
        rows, columns = shape[::-1] if turned else shape
        r = config["rank_pattern"].get(module, rank)
        a, b = ("lora_embedding_A", "lora_embedding_B") if embedding else ("lora_A.weight", "lora_B.weight")
        tensors[f"{module}.{a}"], tensors[f"{module}.{b}"] = draw(rng, r, columns), 0.1 * draw(rng, rows, r)
        if dora:
            tensors[f"{module}.lora_magnitude_vector"] = 1 + draw(rng, rows).abs()
    for name, shape in shapes.items():
        module, _, kind = name.rpartition(".")
        if kind == "bias" and (bias == "all" or (bias == "lora_only" and module in targets)):
            inside = ".base_layer" if module in targets else ""
            tensors[f"{module}{inside}.bias"] = origin[name] + draw(rng, *shape)
    for module in saved:
        tensors[f"{module}.weight"] = draw(rng, V, D)
    if tokens:
        tensors[f"{EMBEDDING[family]}.token_adapter.trainable_tokens_delta"] = draw(rng, 3, D)
    dtype = rng.choice([torch.float32, torch.bfloat16])
    save_file(
        {f"base_model.model.{n}": t.to(dtype).contiguous() for n, t in tensors.items()},
        folder / "adapter_model.safetensors",
    )
    (folder / "adapter_config.json").write_text(json.dumps(config))


def whole(folder: Path) -> dict[str, torch.Tensor]:
    """A full model's tensors in float64, the output layer among them where it is tied."""
    tensors = {name: t.double() for name, t in load_file(folder / "model.safetensors").items()}
    if json.loads((folder / "config.json").read_text())["tie_word_embeddings"]:
        embedding = next(n for n in tensors if n.endswith(("embed_tokens.weight", "wte.weight")))
        tensors[HEAD] = tensors[embedding].clone()
    return tensors


def adapted(base: Path, folder: Path) -> dict[str, torch.Tensor]:
    """The base with an adapter, by the definitions of LoRA, rsLoRA and DoRA, in float64."""
    config = json.loads((folder / "adapter_config.json").read_text())
    found = load_file(folder / "adapter_model.safetensors")
    parts = {name.removeprefix("base_model.model."): t.double() for name, t in found.items()}
    total = whole(base)
    tied = json.loads((base / "config.json").read_text())["tie_word_embeddings"]
    for name, value in parts.items():
        if "lora_" not in name and "token_adapter" not in name:
            total[name.replace(".base_layer", "")] = value
        if name.endswith("trainable_tokens_delta"):
            module = name.removesuffix(".token_adapter.trainable_tokens_delta")
            indices = next(v for k, v in config["trainable_token_indices"].items() if module.endswith(k))
            for place in [f"{module}.weight", *([HEAD] if tied else [])]:
                total[place] = total[place].clone()
                total[place][indices] = value
    for name, a in parts.items():
        if not (match := re.fullmatch(r"(.+)\.lora_(embedding_)?A(\.weight)?", name)):
            continue
        module, b = match[1], parts[name.replace("lora_A", "lora_B").replace("embedding_A", "embedding_B")]
        alpha = next(
            (v for k, v in (config.get("alpha_pattern") or {}).items() if module.endswith(k)), config["lora_alpha"]
        )
        scale = alpha / (math.sqrt(len(a)) if config.get("use_rslora") else len(a))
        weight = total[f"{module}.weight"]
        turned = bool(match[2]) or (config.get("fan_in_fan_out") and module != "lm_head")
        updated = (weight.T if turned else weight) + scale * (b @ a)
        if config.get("use_dora"):
            norms = (updated**2).sum(1, keepdim=True).sqrt()
            updated = parts[f"{module}.lora_magnitude_vector"][:, None] * updated / norms
        total[f"{module}.weight"] = updated.T if turned else updated
    return total


def effective(base: Path, folder: Path) -> dict[str, torch.Tensor]:
    """What a folder's model computes with: every tensor in float64."""
    return adapted(base, folder) if (folder / "adapter_config.json").is_file() else whole(folder)
