"""The other side: a careful loop in Transformers and PEFT, as a good engineer writes it. It uses nothing of xpert.

The base is loaded once, all adapters are loaded into one PEFT model and chosen with ``set_adapter``, the base answers once, prompts
are sorted by length and generated greedily in batches of 50 with left padding, and pairs are summarized in batches of 16 sorted by
length through the decoder alone (no logits, no ``output_hidden_states``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

GENERATE_BATCH, SUMMARIZE_BATCH = 50, 16


def load(folder: Path) -> tuple[Any, Any]:
    tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    return model, tokenizer


def with_adapters(base: Any, adapters: Sequence[Path]) -> Any:
    model = PeftModel.from_pretrained(base, str(adapters[0]), adapter_name="0")
    for i, folder in enumerate(adapters[1:], start=1):
        model.load_adapter(str(folder), adapter_name=str(i))
    return model.eval()


@torch.inference_mode()
def answer(model: Any, tokenizer: Any, prompts: Sequence[str], max_new_tokens: int) -> list[str]:
    texts = [
        tokenizer.apply_chat_template([{"role": "user", "content": p}], tokenize=False, add_generation_prompt=True)
        for p in prompts
    ]
    lengths = [len(ids) for ids in tokenizer(texts, add_special_tokens=False)["input_ids"]]
    order = sorted(range(len(texts)), key=lambda i: -lengths[i])
    answers = [""] * len(texts)
    for first in range(0, len(order), GENERATE_BATCH):
        batch = order[first : first + GENERATE_BATCH]
        inputs = tokenizer([texts[i] for i in batch], return_tensors="pt", padding=True, add_special_tokens=False)
        out = model.generate(
            input_ids=inputs["input_ids"],
            attention_mask=inputs["attention_mask"],
            max_new_tokens=max_new_tokens,
            do_sample=False,
            pad_token_id=tokenizer.pad_token_id,
        )
        decoded = tokenizer.batch_decode(out[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
        for i, text in zip(batch, decoded, strict=True):
            answers[i] = text.strip()
    return answers


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """The wording that is compared, and how much of an answer it shows."""

    template: str
    max_answer_tokens: int


@torch.inference_mode()
def summarize(model: Any, tokenizer: Any, pairs: Sequence[tuple[str, str]], question: Question) -> np.ndarray:
    """``(P, D)`` last hidden states of the question about each pair."""
    flat = [text for pair in pairs for text in pair]
    ids = tokenizer(flat, add_special_tokens=False)["input_ids"]
    most = question.max_answer_tokens
    cut = [t if len(row) <= most else tokenizer.decode(row[:most]) for t, row in zip(flat, ids, strict=True)]
    texts = [
        tokenizer.apply_chat_template(
            [{"role": "user", "content": question.template.format(a=cut[2 * i], b=cut[2 * i + 1])}],
            tokenize=False,
            add_generation_prompt=True,
        )
        for i in range(len(pairs))
    ]
    rows = tokenizer(texts, add_special_tokens=False)["input_ids"]
    order = sorted(range(len(rows)), key=lambda i: -len(rows[i]))
    hidden = np.zeros((len(rows), model.config.hidden_size), np.float32)
    for first in range(0, len(order), SUMMARIZE_BATCH):
        batch = order[first : first + SUMMARIZE_BATCH]
        inputs = tokenizer.pad({"input_ids": [rows[i] for i in batch]}, return_tensors="pt")
        mask = inputs["attention_mask"]
        out = model.model(
            input_ids=inputs["input_ids"],
            attention_mask=mask,
            position_ids=(mask.cumsum(1) - 1).clamp(min=0),
            use_cache=False,
        )
        hidden[batch] = out.last_hidden_state[:, -1].numpy()
    return hidden
