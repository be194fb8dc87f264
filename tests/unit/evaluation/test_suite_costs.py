"""Pools larger than the zoo, and what selecting comes to at the paper's sizes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from xpert.errors import SettingsError
from xpert.evaluation.paper.models import MODELS
from xpert.evaluation.suite.reckoned import (
    EXHAUSTIVE,
    XPERT,
    TextTokens,
    adapter_bytes,
    int8_bytes,
    operations,
    text_tokens,
)
from xpert.evaluation.suite.strengths import pool_of
from xpert.loading import load_tokenizer
from xpert.references import resolve
from xpert.summarizers.instructions import LANGUAGE_STYLE
from xpert.tensors.lora_files import read_adapter
from xpert.types import Example

ZOO = {style: f"zoo:{style}" for style in ("expert-concise-poetic", "expert-concise-neutral")}
ONE, EIGHT = MODELS["meta-llama/Llama-3.2-1B"], MODELS["meta-llama/Llama-3.1-8B-Instruct"]


def test_a_larger_pool_begins_with_the_smaller_ones_models(tmp_path: Path) -> None:
    small, large = (pool_of(ZOO, size, seed=0, folder=tmp_path) for size in (2, 5))
    assert large[:2] == small
    assert [one.name for one in large] == [
        *(one.style for one in small),
        *(f"{one.style} x 0.8" for one in small),
        f"{small[0].style} x 0.6",
    ]
    assert [one.reference for one in small] == [ZOO[one.style] for one in small]


def test_a_weakened_adapters_update_is_the_factor_times_the_others(tmp_path: Path) -> None:
    weak = pool_of(ZOO, 3, seed=0, folder=tmp_path)[-1]
    own, other = read_adapter(resolve(ZOO[weak.style])), read_adapter(weak.reference)
    assert own.modules.keys() == other.modules.keys()
    for name, factors in own.modules.items():
        assert torch.equal(factors.a, other.modules[name].a)
        assert other.modules[name].scale == pytest.approx(0.8 * factors.scale, rel=1e-12)
        assert torch.allclose(other.delta(name), 0.8 * own.delta(name), rtol=1e-5)


def test_what_cannot_be_weakened_is_told(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="expected 1 to 6, 2 models at 3 strengths, got 7"):
        pool_of(ZOO, 7, seed=0, folder=tmp_path)
    with pytest.raises(SettingsError, match="expected a plain LoRA adapter"):
        pool_of({"whole": "zoo:base"}, 2, seed=0, folder=tmp_path)


def test_operations_are_two_a_parameter_and_token() -> None:
    user = TextTokens(texts=2, foreseen=10, questions=30, answered=8)
    found = operations(28, user)
    large = EIGHT.parameters - 2 * EIGHT.vocab_size * EIGHT.hidden_size
    assert found[EXHAUSTIVE] == 2 * ONE.parameters * 10 * 28
    assert found[XPERT] == 2 * large * 30
    assert found["paired"] == 2 * large * 30 + 2 * ONE.parameters * 8
    assert found["paper"] == 2 * large * 400
    assert operations(56, user)[EXHAUSTIVE] == 2 * found[EXHAUSTIVE]
    assert operations(56, user)[XPERT] == found[XPERT]


def test_tokens_are_those_that_are_read() -> None:
    tokenizer = load_tokenizer(resolve("zoo:base"))
    texts = [Example(prompt="why is it so?", response="so it is")]
    short = text_tokens(tokenizer, texts, [Example(prompt="why?", response="it is")])
    long = text_tokens(tokenizer, texts, [Example(prompt="why?", response="it is so " * 1000)])
    assert short.texts == 1
    assert long.questions - short.questions <= LANGUAGE_STYLE.max_answer_tokens
    assert long.answered - short.answered > 1000
    assert short.foreseen == long.foreseen > len(tokenizer("so it is")["input_ids"])


def test_bytes_of_adapters_and_of_int8() -> None:
    from peft import LoraConfig, get_peft_model
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=ONE.vocab_size,
        hidden_size=ONE.hidden_size,
        intermediate_size=ONE.intermediate_size,
        num_hidden_layers=ONE.layers,
        num_attention_heads=32,
        num_key_value_heads=8,
        tie_word_embeddings=True,
    )
    with torch.device("meta"):
        model = LlamaForCausalLM(config)
        assert sum(one.numel() for one in model.parameters()) == ONE.parameters
        matrices = [m.weight for name, m in model.model.named_modules() if isinstance(m, torch.nn.Linear) and name]
        tuned = get_peft_model(model, LoraConfig(r=8, target_modules="all-linear"))
        factors = sum(one.numel() for name, one in tuned.named_parameters() if "lora_" in name)
    assert adapter_bytes(ONE, 8) == 2 * factors
    saved = sum(one.numel() - 4 * one.shape[0] for one in matrices)
    assert int8_bytes(ONE) == 2 * ONE.parameters - saved
