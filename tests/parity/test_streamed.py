"""A streamed summarizer gives what a resident one gives, bit for bit, for every architecture that Transformers drives."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from xpert.errors import IncompatibleModelError
from xpert.summarizers.hf import HFSummarizer
from xpert.summarizers.streamed import StreamedSummarizer
from xpert.testing.tiny import tiny_adapter, tiny_causal_lm, tiny_tokenizer
from xpert.types import AnswerPair

PAIRS = [AnswerPair(prompt=f"p{i}", base="rain falls " * (1 + i // 2), other="Oh, rain! " * (9 - i)) for i in range(7)]
SIZES = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4}
GROUPED = {**SIZES, "num_key_value_heads": 2, "max_position_embeddings": 1024}
MIXED = {"layer_types": ["sliding_attention", "full_attention", "sliding_attention"], "sliding_window": 16}
EXPERTS = {"num_experts_per_tok": 2, "moe_intermediate_size": 24}
ARCHITECTURES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("LlamaConfig", GROUPED),
    "llama-tied": ("LlamaConfig", {**GROUPED, "tie_word_embeddings": True}),
    "qwen2": ("Qwen2Config", GROUPED),
    "qwen3": ("Qwen3Config", {**GROUPED, "head_dim": 16}),
    "mistral": ("MistralConfig", {**GROUPED, "sliding_window": 16}),
    "gemma2": ("Gemma2Config", {**GROUPED, **MIXED, "head_dim": 16, "query_pre_attn_scalar": 16}),
    "gemma3": ("Gemma3TextConfig", {**GROUPED, **MIXED, "head_dim": 16, "query_pre_attn_scalar": 16}),
    "phi3": ("Phi3Config", {**GROUPED, "original_max_position_embeddings": 1024}),
    "smollm3": ("SmolLM3Config", {**GROUPED, "no_rope_layers": [1, 0, 1]}),
    "gpt-neox": ("GPTNeoXConfig", {**SIZES, "max_position_embeddings": 1024}),
    "gpt2": ("GPT2Config", {"n_embd": 32, "n_layer": 3, "n_head": 4, "n_positions": 1024}),
    "mixtral": ("MixtralConfig", {**GROUPED, "num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": None}),
    "qwen2-moe": (
        "Qwen2MoeConfig",
        {**GROUPED, **EXPERTS, "num_experts": 4, "shared_expert_intermediate_size": 40, "decoder_sparse_step": 1},
    ),
}


def made(folder: Path, name: str, shard: str = "20KB") -> Path:
    import transformers

    tokenizer = tiny_tokenizer(folder)
    kind, options = ARCHITECTURES[name]
    ids = {"pad_token_id": tokenizer.pad_token_id, "eos_token_id": tokenizer.eos_token_id, "bos_token_id": None}
    config = getattr(transformers, kind)(
        **{"vocab_size": len(tokenizer), **ids, "tie_word_embeddings": False, **options}
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        model: Any = transformers.AutoModelForCausalLM.from_config(config)
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.data.normal_(0.0, 0.2)
    model.save_pretrained(folder, max_shard_size=shard)
    return folder


@pytest.fixture(scope="module", params=sorted(ARCHITECTURES))
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("parity") / "model", request.param)


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_causal_lm(tmp_path_factory.mktemp("llama") / "llama", layers=4, tied=False)


def rows(make: Callable[..., Any], folder: Path, **options: Any) -> np.ndarray:
    summarizer = make(folder, **options)
    try:
        return summarizer.summarize(PAIRS).embeddings
    finally:
        summarizer.close()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"batch_size": 3},
        {"prefix_bytes": 0},
        {"dtype": "bfloat16", "batch_size": 4},
        {"dtype": "float16", "batch_size": 4},
    ],
)
def test_equal_bit_for_bit(folder: Path, options: dict[str, Any]) -> None:
    np.testing.assert_array_equal(rows(StreamedSummarizer, folder, **options), rows(HFSummarizer, folder, **options))


def test_same_words(folder: Path) -> None:
    resident, streamed = HFSummarizer(folder), StreamedSummarizer(folder)
    expected, got = (one.summarize(PAIRS, n_candidates=6).candidates for one in (resident, streamed))
    assert [c.word for c in got] == [c.word for c in expected]
    assert [c.score for c in got] == pytest.approx([c.score for c in expected], rel=1e-4)


def test_meaning_unembedding_and_texts(folder: Path) -> None:
    resident, streamed = HFSummarizer(folder), StreamedSummarizer(folder)
    words = ["friendly", "formal"]
    np.testing.assert_array_equal(streamed.meaning(words), resident.meaning(words))
    np.testing.assert_array_equal(streamed.unembedding(words), resident.unembedding(words))
    assert streamed.fingerprint == resident.fingerprint


def test_writing(llama: Path) -> None:
    expected, got = (
        make(llama).write("friendly", ["why", "tell me"], seed=3) for make in (HFSummarizer, StreamedSummarizer)
    )
    assert got == expected


@pytest.mark.parametrize(("more", "layers_kept"), [(0, 0), (1, 1), (2, 2), (3, 4)])
def test_equal_under_every_budget(llama: Path, more: int, layers_kept: int) -> None:
    expected = rows(HFSummarizer, llama, batch_size=2)
    probe = StreamedSummarizer(llama, batch_size=2)
    probe.summarize(PAIRS)
    least, layer = probe.report.promised_bytes, max(layer.n_bytes for layer in probe._model._layers)
    summarizer = StreamedSummarizer(llama, batch_size=2, memory_budget=least + more * layer)
    for _ in range(2):
        np.testing.assert_array_equal(summarizer.summarize(PAIRS).embeddings, expected)
    assert summarizer.report.resident_layers == layers_kept
    assert summarizer.report.promised_bytes <= least + more * layer
    assert (summarizer.report.bytes_read < probe.report.bytes_read * 1.95) == (layers_kept > 0)


def test_each_weight_is_read_once_however_many_pairs(llama: Path) -> None:
    read = []
    for times in (1, 8):
        summarizer = StreamedSummarizer(llama, batch_size=1)
        summarizer.summarize(PAIRS * times)
        assert summarizer.report.n_passes == 1
        read.append(summarizer.report.bytes_read)
    assert read[0] == read[1]


def test_adapter_is_merged_while_reading(llama: Path, tmp_path: Path) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    adapter = tiny_adapter(llama, tmp_path / "adapter", scale=3.0)
    merged: Any = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(llama), adapter).merge_and_unload()
    tiny_tokenizer(tmp_path / "merged")
    merged.save_pretrained(tmp_path / "merged")
    expected = rows(HFSummarizer, tmp_path / "merged")
    np.testing.assert_allclose(rows(StreamedSummarizer, adapter), expected, rtol=0, atol=1e-5)
    assert not np.allclose(rows(StreamedSummarizer, llama), expected, atol=1e-3)
    assert StreamedSummarizer(adapter).fingerprint != StreamedSummarizer(llama).fingerprint


@pytest.mark.parametrize(
    "more",
    [
        {"use_dora": True},
        {"modules_to_save": ["norm"]},
        {"modules_to_save": ["lm_head"]},
        {"target_modules": ["q_proj", "lm_head"]},
        {"target_modules": ["q_proj", "embed_tokens"]},
        {"bias": "all"},
    ],
    ids=["dora", "saved norm", "saved output", "output layer", "embeddings", "biases"],
)
def test_adapters_that_are_not_merged_while_reading_are_refused(
    llama: Path, tmp_path: Path, more: dict[str, Any]
) -> None:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    model: Any = AutoModelForCausalLM.from_pretrained(llama)
    settings: dict[str, Any] = {"r": 2, "target_modules": ["q_proj"], "task_type": "CAUSAL_LM", **more}
    get_peft_model(model, LoraConfig(**settings)).save_pretrained(tmp_path / "adapter", save_embedding_layers=False)
    with pytest.raises(IncompatibleModelError, match=r"use hf:|none of"):
        StreamedSummarizer(tmp_path / "adapter").summarize(PAIRS)
