"""Merged models against what Transformers and PEFT compute from the parts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from xpert.mergers.base import Member
from xpert.mergers.linear import LinearMerger
from xpert.testing.tiny import tiny_adapter, tiny_causal_lm, tiny_full

IDS = torch.tensor([[5, 17, 40, 99, 150, 3], [300, 2, 8, 77, 61, 12]])


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        return model.eval()(IDS).logits


def by_hand(base: Path, parts: list[tuple[float, Path]]) -> torch.Tensor:
    """Logits of the base with every adapter's own merged weights added, by PEFT's `merge_and_unload`."""
    start = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    origin = {name: tensor.clone() for name, tensor in start.state_dict().items()}
    total = {name: tensor.clone() for name, tensor in origin.items()}
    for weight, folder in parts:
        model: Any = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
        merged = PeftModel.from_pretrained(model, str(folder)).merge_and_unload()
        for name, tensor in merged.state_dict().items():
            total[name] += weight * (tensor - origin[name])
    start.load_state_dict(total)
    return logits(start)


@pytest.mark.parametrize("architecture", ["llama", "qwen2", "gpt2"])
def test_merged_adapters_are_base_plus_the_sum_of_deltas(architecture: Any, tmp_path: Path) -> None:
    base = tiny_causal_lm(tmp_path / "base", architecture=architecture)
    one = tiny_adapter(base, tmp_path / "one", rank=4, alpha=8, seed=1)
    targets = {"gpt2": ["c_fc", "c_attn"]}.get(architecture, ["q_proj", "down_proj"])
    two = tiny_adapter(base, tmp_path / "two", rank=3, alpha=2, seed=2, target_modules=targets)
    members = [Member(name="one", reference=str(one), weight=0.7), Member(name="two", reference=str(two), weight=0.45)]
    out = LinearMerger().merge(base, members, tmp_path / "out")
    plain: Any = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    untouched = logits(plain)
    merged = logits(PeftModel.from_pretrained(plain, str(out)))
    expected = by_hand(base, [(0.7, one), (0.45, two)])
    assert float((merged - expected).abs().max()) < 1e-5 * float(expected.abs().max())
    assert float((merged - untouched).abs().max()) > 1e-2 * float(expected.abs().max())


def test_peft_adds_factors_with_linear_and_is_exact_with_cat(
    tiny_base: Path, tiny_adapters: dict[str, Path], tmp_path: Path
) -> None:
    members = [
        Member(name=name, reference=str(tiny_adapters[name]), weight=weight)
        for name, weight in (("tutor", 0.6), ("poet", 0.3))
    ]
    out = LinearMerger().merge(tiny_base, members, tmp_path / "out")
    model: Any = AutoModelForCausalLM.from_pretrained(tiny_base, dtype=torch.float32)
    peft: Any = PeftModel.from_pretrained(model, str(tiny_adapters["tutor"]), adapter_name="tutor")
    peft.load_adapter(str(tiny_adapters["poet"]), adapter_name="poet")
    found = {}
    for kind in ("cat", "linear"):
        peft.add_weighted_adapter(["tutor", "poet"], [0.6, 0.3], adapter_name=kind, combination_type=kind)
        peft.set_adapter(kind)
        found[kind] = logits(peft)
    fresh: Any = AutoModelForCausalLM.from_pretrained(tiny_base, dtype=torch.float32)
    ours = logits(PeftModel.from_pretrained(fresh, str(out)))
    scale = float(ours.abs().max())
    assert float((found["cat"] - ours).abs().max()) < 1e-5 * scale
    assert float((found["linear"] - ours).abs().max()) > 1e-2 * scale


@pytest.mark.parametrize("tied", [True, False])
def test_full_models_are_merged_by_the_formula(tied: bool, tmp_path: Path) -> None:
    base = tiny_causal_lm(tmp_path / "base", tied=tied)
    one, two = (tiny_full(base, tmp_path / f"full{seed}", seed=seed) for seed in (1, 2))
    members = [Member(name="one", reference=str(one), weight=0.5), Member(name="two", reference=str(two), weight=0.25)]
    out = LinearMerger(max_shard_bytes=20_000).merge(base, members, tmp_path / "out")
    assert len(list(out.glob("model-*.safetensors"))) > 1
    origin, first, second = (load_file(folder / "model.safetensors") for folder in (base, one, two))
    merged = AutoModelForCausalLM.from_pretrained(out).state_dict()
    for name, tensor in origin.items():
        expected = tensor + 0.5 * (first[name] - tensor) + 0.25 * (second[name] - tensor)
        assert torch.allclose(merged[name], expected, atol=1e-6)
    assert any(not torch.equal(merged[name], origin[name]) for name in origin)


@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
def test_an_adapter_and_a_full_model_give_a_full_model(architecture: Any, tmp_path: Path) -> None:
    base = tiny_causal_lm(tmp_path / "base", architecture=architecture)
    full, adapter = tiny_full(base, tmp_path / "full", seed=3), tiny_adapter(base, tmp_path / "adapter", seed=4)
    members = [
        Member(name="full", reference=str(full), weight=0.8),
        Member(name="adapter", reference=str(adapter), weight=0.4),
    ]
    out = LinearMerger().merge(base, members, tmp_path / "out")
    plain = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    tuned = AutoModelForCausalLM.from_pretrained(full, dtype=torch.float32).state_dict()
    loaded: Any = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    adapted = PeftModel.from_pretrained(loaded, str(adapter)).merge_and_unload().state_dict()
    origin = plain.state_dict()
    plain.load_state_dict({n: t + 0.8 * (tuned[n] - t) + 0.4 * (adapted[n] - t) for n, t in origin.items()})
    expected, merged = logits(plain), logits(AutoModelForCausalLM.from_pretrained(out))
    assert float((merged - expected).abs().max()) < 1e-5 * float(expected.abs().max())
