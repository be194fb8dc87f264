"""Every kind of adapter, merged, against what PEFT computes from the members: logits, and the members alone."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import IA3Config, LoHaConfig, LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM

from xpert.errors import IncompatibleModelError
from xpert.mergers.base import Member
from xpert.mergers.linear import LinearMerger
from xpert.testing.tiny import tiny_causal_lm, tiny_full

pytestmark = pytest.mark.filterwarnings("ignore")
IDS = torch.tensor([[5, 3, 7, 99, 150, 3], [300, 2, 8, 77, 61, 12]])
LINEAR = {"qwen2": ["q_proj", "v_proj"], "gpt2": ["c_attn"]}
EMBEDDING = {"qwen2": "embed_tokens", "gpt2": "wte"}
KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "rslora": {"use_rslora": True},
    "patterns": {"rank_pattern": {"layers.0.self_attn.v_proj": 5}, "alpha_pattern": {"q_proj": 3}},
    "bias all": {"bias": "all"},
    "bias lora_only": {"bias": "lora_only"},
    "head saved": {"modules_to_save": ["lm_head"]},
    "embedding saved": {"modules_to_save": ["EMBEDDING"]},
    "embedding": {"target_modules": ["LINEAR", "EMBEDDING"]},
    "head": {"target_modules": ["LINEAR", "lm_head"]},
    "tokens": {"trainable_token_indices": {"EMBEDDING": [3, 7]}},
    "dora": {"use_dora": True},
    "dora of an embedding": {"use_dora": True, "target_modules": ["EMBEDDING"]},
}


def model(folder: Path, adapter: Path | None = None) -> Any:
    loaded: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    return loaded if adapter is None else PeftModel.from_pretrained(loaded, str(adapter))


def logits(loaded: Any) -> torch.Tensor:
    with torch.no_grad():
        return loaded.eval()(IDS).logits


def trained(base: Path, folder: Path, architecture: str, kind: dict[str, Any], seed: int) -> Path:
    """An adapter of PEFT's own making, all its parameters moved."""
    names = {"EMBEDDING": [EMBEDDING[architecture]], "LINEAR": LINEAR[architecture]}
    options = {"target_modules": ["LINEAR"], **kind}
    for key in ("target_modules", "modules_to_save"):
        if key in options:
            options[key] = [name for item in options[key] for name in names.get(item, [item])]
    if tokens := options.get("trainable_token_indices"):
        options["trainable_token_indices"] = {EMBEDDING[architecture]: tokens["EMBEDDING"]}
    config = LoraConfig(
        r=2 + seed, lora_alpha=4, task_type="CAUSAL_LM", fan_in_fan_out=architecture == "gpt2", **options
    )
    torch.manual_seed(seed)
    peft: Any = get_peft_model(model(base), config)
    for name, parameter in peft.named_parameters():
        if parameter.requires_grad:
            parameter.data += 0.1 * torch.randn_like(parameter)
            if "magnitude" in name:
                parameter.data *= 1.3
    peft.save_pretrained(folder)
    return folder


def state(base: Path, adapter: Path) -> dict[str, torch.Tensor]:
    """A member's weights as PEFT merges them; embeddings untied first, for PEFT would merge into both."""
    loaded = model(base)
    if loaded.config.tie_word_embeddings:
        loaded.lm_head.weight = torch.nn.Parameter(loaded.lm_head.weight.detach().clone())
    merged = PeftModel.from_pretrained(loaded, str(adapter)).merge_and_unload()
    return {name: tensor.clone() for name, tensor in merged.state_dict().items()}


@pytest.mark.parametrize("architecture", ["qwen2", "gpt2"])
@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_a_merge_answers_as_peft_does(kind: str, tied: bool, architecture: Any, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        base = tiny_causal_lm(tmp_path / "base", architecture=architecture, tied=tied)
        one = trained(base, tmp_path / "one", architecture, KINDS[kind], 1)
        alone = LinearMerger().merge(base, [Member(name="m", reference=str(one), weight=1.0)], tmp_path / "alone")
        is_adapter = (alone / "adapter_config.json").is_file()
        assert is_adapter == ("dora" not in kind)
        wanted = logits(model(base, one))
        assert float((wanted - logits(model(base))).abs().max()) > 1e-2
        close(logits(model(base, alone) if is_adapter else model(alone)), wanted)
        # Beside a full model the same member gives a full model: with weight 0 there, the same answers once more.
        full = tiny_full(base, tmp_path / "full", seed=3)
        members = [Member(name="m", reference=str(one), weight=1.0), Member(name="f", reference=str(full), weight=0.0)]
        close(logits(model(LinearMerger().merge(base, members, tmp_path / "whole"))), wanted)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("other", [kind for kind in KINDS if "dora" not in kind])
def test_members_of_two_kinds_give_the_same_adapter_and_full_model(other: str, tied: bool, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        base = tiny_causal_lm(tmp_path / "base", architecture="qwen2", tied=tied)
        one = trained(base, tmp_path / "one", "qwen2", KINDS["patterns"], 1)
        two = trained(base, tmp_path / "two", "qwen2", KINDS[other], 2)
        parts = [Member(name="one", reference=str(one), weight=0.6), Member(name="two", reference=str(two), weight=0.7)]
        adapter = LinearMerger().merge(base, parts, tmp_path / "adapter")
        whole = LinearMerger().merge(
            base, [*parts, Member(name="b", reference=str(base), weight=0.0)], tmp_path / "whole"
        )
        close(logits(model(base, adapter)), logits(model(whole)))
        if other not in ("tokens",) or not tied:
            origin, theirs = model(base).state_dict(), [state(base, folder) for folder in (one, two)]
            merged = model(whole).state_dict()
            for name, tensor in origin.items():
                expected = tensor + 0.6 * (theirs[0][name] - tensor) + 0.7 * (theirs[1][name] - tensor)
                assert float((merged[name] - expected).norm()) <= 2e-6 * float(expected.norm()), name


def close(found: torch.Tensor, wanted: torch.Tensor) -> None:
    assert float((found - wanted).abs().max()) < 2e-5 * float(wanted.abs().max())


@pytest.mark.parametrize("config", [IA3Config(task_type="CAUSAL_LM"), LoHaConfig(target_modules=["q_proj"])])
def test_other_peft_kinds_are_a_clear_error(config: Any, tiny_base: Path, tmp_path: Path) -> None:
    get_peft_model(model(tiny_base), config).save_pretrained(tmp_path / "other")
    member = Member(name="m", reference=str(tmp_path / "other"), weight=1.0)
    with pytest.raises(IncompatibleModelError, match=rf"adapters of type {config.peft_type.value} cannot be merged"):
        LinearMerger().merge(tiny_base, [member], tmp_path / "out")
    assert not (tmp_path / "out").exists()
