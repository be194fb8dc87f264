from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from xpert.errors import IncompatibleModelError, WeightsError
from xpert.tensors.lora import LoraAdapter, LoraFactors, compress, concatenate
from xpert.tensors.lora_files import is_plain_lora, read_adapter, write_adapter
from xpert.testing.tiny import tiny_adapter


def adapter(seed: int, ranks: dict[str, int], scale: float = 2.0) -> LoraAdapter:
    generator = torch.Generator().manual_seed(seed)
    modules = {
        name: LoraFactors(
            a=torch.randn(rank, 6, generator=generator), b=torch.randn(5, rank, generator=generator), scale=scale
        )
        for name, rank in ranks.items()
    }
    return LoraAdapter(base="base", modules=modules)


ranks = st.dictionaries(st.sampled_from(["q", "k", "v"]), st.integers(1, 4), min_size=1)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(ranks, st.floats(-2, 2), st.floats(0.1, 4)), min_size=1, max_size=4), st.integers(0, 10**6))
def test_concatenation_is_the_exact_weighted_sum(parts: list[tuple[dict[str, int], float, float]], seed: int) -> None:
    adapters = [adapter(seed + i, ranks, scale) for i, (ranks, _, scale) in enumerate(parts)]
    weights = [weight for _, weight, _ in parts]
    merged = concatenate(adapters, weights)
    assert set(merged.modules) == {name for ranks, _, _ in parts for name in ranks}
    for name in merged.modules:
        expected = sum(
            (w * a.delta(name).double() for w, a in zip(weights, adapters, strict=True) if name in a.modules),
            torch.zeros(5, 6, dtype=torch.float64),
        )
        assert torch.allclose(merged.delta(name).double(), expected, atol=1e-4)
    assert len({factors.rank for factors in merged.modules.values()}) == 1


def test_adding_factors_would_be_wrong() -> None:
    one, two = adapter(1, {"q": 2}), adapter(2, {"q": 2})
    exact = concatenate([one, two], [1.0, 1.0]).delta("q")
    naive = 2.0 * (one.modules["q"].b + two.modules["q"].b) @ (one.modules["q"].a + two.modules["q"].a)
    assert float((naive - exact).norm() / exact.norm()) > 0.3


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    merged = concatenate([adapter(1, {"m.q": 2}), adapter(2, {"m.q": 1, "m.v": 3})], [0.5, 0.25])
    write_adapter(merged, tmp_path, base="org/base")
    again = read_adapter(tmp_path)
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"], config["target_modules"]) == (3, 6, ["m.q", "m.v"])
    assert again.base == "org/base"
    for name in merged.modules:
        assert torch.equal(again.delta(name), merged.delta(name))
    with pytest.raises(ValueError, match="one rank and one scale"):
        write_adapter(adapter(1, {"q": 1, "v": 2}), tmp_path)


@pytest.mark.parametrize(
    ("change", "scale"),
    [
        ({}, 8 / 4),
        ({"use_rslora": True}, 8 / 2),
        ({"alpha_pattern": {"layers.1.self_attn.q_proj": 2}}, 2 / 4),
        ({"alpha_pattern": {"q_proj": 6, "layers.1.self_attn.q_proj": 2}}, 6 / 4),
        ({"alpha_pattern": {"k_proj": 2}}, 8 / 4),
    ],
)
def test_scales(tiny_base: Path, tmp_path: Path, change: dict[str, Any], scale: float) -> None:
    folder = tiny_adapter(tiny_base, tmp_path / "a", rank=4, alpha=8)
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps({**config, **change}))
    read = read_adapter(folder)
    assert read.modules["model.layers.1.self_attn.q_proj"].scale == pytest.approx(scale)
    assert read.modules["model.layers.1.self_attn.v_proj"].scale == pytest.approx(
        4.0 if change.get("use_rslora") else 2.0
    )
    assert read.delta("model.layers.1.self_attn.q_proj").shape == (32, 32)
    with pytest.raises(IncompatibleModelError, match="does not change module nothing"):
        read.delta("nothing")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"peft_type": "IA3"}, "adapters of type IA3 cannot be merged yet"),
        ({"peft_type": "LOHA"}, "adapters of type LOHA"),
        ({"layer_replication": [[0, 1]]}, "layer replication"),
        ({"lora_bias": True}, "LoRA with a bias"),
        ({"target_parameters": ["w"]}, "target_parameters"),
        ({"kasa_config": {"beta": 1}}, "KaSA"),
        ({"init_lora_weights": "pissa_niter_4"}, "changes the base's own weights"),
        ({"lora_alpha": None}, None),
    ],
)
def test_other_kinds_are_named(tiny_base: Path, tmp_path: Path, change: dict[str, Any], message: str | None) -> None:
    folder = tiny_adapter(tiny_base, tmp_path / "a")
    config = {**json.loads((folder / "adapter_config.json").read_text()), **change}
    if message is None:
        del config["lora_alpha"]
    (folder / "adapter_config.json").write_text(json.dumps(config))
    with pytest.raises(IncompatibleModelError, match=message or "lacks lora_alpha") as caught:
        read_adapter(folder)
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_weights_that_cannot_be_used(tiny_base: Path, tmp_path: Path) -> None:
    folder = tiny_adapter(tiny_base, tmp_path / "a")
    file = folder / "adapter_model.safetensors"
    tensors, content = load_file(file), file.read_bytes()
    name = sorted(tensors)[0]
    save_file({**tensors, name: tensors[name] * math.inf}, file)
    with pytest.raises(WeightsError, match="NaN or infinite"):
        read_adapter(folder)
    save_file({n: t for n, t in tensors.items() if n != name}, file)
    with pytest.raises(WeightsError, match="has lora_B alone"):
        read_adapter(folder)
    save_file({**tensors, name: tensors[name][:-1].clone()}, file)
    with pytest.raises(WeightsError, match="do not fit"):
        read_adapter(folder)
    save_file({**tensors, "base_model.model.lm_head.oft_r": torch.ones(2)}, file)
    with pytest.raises(IncompatibleModelError, match=r"lm_head.oft_r is no part of a LoRA adapter"):
        read_adapter(folder)
    save_file({**tensors, "base_model.model.lm_head.lora_magnitude_vector": torch.ones(2)}, file)
    with pytest.raises(WeightsError, match=r"does not announce"):
        read_adapter(folder)
    tokens = "base_model.model.model.embed_tokens.token_adapter.trainable_tokens_delta"
    save_file({**tensors, tokens: torch.ones(2, 32)}, file)
    with pytest.raises(WeightsError, match=r"has 2 trained tokens, adapter_config.json lists 0"):
        read_adapter(folder)
    file.write_bytes(content[: len(content) // 2])
    with pytest.raises(WeightsError, match="truncated"):
        read_adapter(folder)
    file.unlink()
    with pytest.raises(WeightsError, match="does not exist"):
        read_adapter(folder)


def test_adapters_that_do_not_belong_together() -> None:
    one = adapter(1, {"q": 2})
    other = LoraAdapter(base="base", modules={"q": LoraFactors(a=torch.ones(2, 7), b=torch.ones(5, 2), scale=1.0)})
    with pytest.raises(IncompatibleModelError, match="different shapes"):
        concatenate([one, other], [1.0, 1.0])
    turned = LoraAdapter(base="base", modules=one.modules, fan_in_fan_out=True)
    with pytest.raises(IncompatibleModelError, match="fan_in_fan_out"):
        concatenate([one, turned], [1.0, 1.0])


def test_dora_without_magnitudes(tiny_base: Path, tmp_path: Path) -> None:
    folder = tiny_adapter(tiny_base, tmp_path / "a")
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps({**config, "use_dora": True}))
    with pytest.raises(WeightsError, match="lacks its DoRA magnitudes"):
        read_adapter(folder)


@pytest.mark.parametrize(
    "change", [{"use_dora": True}, {"bias": "all"}, {"modules_to_save": ["lm_head"]}, {"trainable_token_indices": [1]}]
)
def test_what_is_more_than_plain_lora(tiny_base: Path, tmp_path: Path, change: dict[str, Any]) -> None:
    folder = tiny_adapter(tiny_base, tmp_path / "a")
    assert is_plain_lora(folder)
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps({**config, **change}))
    assert not is_plain_lora(folder)


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 5), st.integers(0, 10**6))
def test_compression_is_the_truncated_svd_of_the_product(rank: int, seed: int) -> None:
    merged = concatenate([adapter(seed, {"q": 3}), adapter(seed + 1, {"q": 2, "v": 1})], [0.7, 0.4])
    small, error = compress(merged, rank)
    lost = whole = 0.0
    for name in merged.modules:
        u, values, v = torch.linalg.svd(merged.delta(name).double(), full_matrices=False)
        nearest = (u[:, :rank] * values[:rank]) @ v[:rank]
        assert torch.allclose(small.delta(name).double(), nearest, atol=1e-4)
        assert small.modules[name].rank == rank
        lost, whole = lost + float((values[rank:] ** 2).sum()), whole + float((values**2).sum())
    assert error == pytest.approx(math.sqrt(lost / whole), abs=1e-5)
