"""Batched decoding of causal language models whose answers do not depend on who else is in the batch.

Below the families: a text modality probes with it, an LLM summarizer writes with it. Prompts come as finished text (`render`
applies the chat template); rows are padded on the left with exact masks and positions. Finished rows leave the batch an eighth at
a time, since each time copies the key-value cache; that cache is written in place into room made once.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from xpert.decoding_cache import make_room
from xpert.errors import DataError, SettingsError, WeightsError
from xpert.progress import track
from xpert.rendering import render, token_ids

__all__ = [
    "fitting_batch",
    "generate",
    "kv_bytes_per_token",
    "left_padded",
    "render",
    "row_seed",
    "stop_ids_of",
    "token_ids",
]

CACHE_BYTES = 1 << 30
"""Key-value cache that a batch may fill where no batch size is given."""

LARGEST_BATCH = 128
LEAVING = 8
"""Finished rows leave the batch when they are one in so many of its rows."""
FULL_ATTENTION = ("llama", "qwen2", "qwen3")
"""Families in which a token sees all that its row's mask shows, so that the mask of a new token is known without asking."""
NUCLEUS = 512
"""Most probable tokens in which the nucleus is looked for first."""


def stop_ids_of(model: Any, tokenizer: Any) -> frozenset[int]:
    """Ids that end an answer: the generation config's and the tokenizer's end of sequence."""
    configured = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    found = list(configured) if isinstance(configured, (list, tuple)) else [configured]
    return frozenset(i for i in [*found, tokenizer.eos_token_id] if i is not None)


def row_seed(seed: int, *parts: str) -> int:
    """A seed for one row that depends on the run's seed and the row's own text, not on its place in a batch."""
    digest = hashlib.sha256("\x1f".join([str(seed), *parts]).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def left_padded(rows: Sequence[Sequence[int]], pad_id: int, device: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Token rows as ``ids`` and ``mask``, both ``(B, T)`` int64, padded on the left."""
    width = max(len(row) for row in rows)
    ids = torch.full((len(rows), width), pad_id, dtype=torch.long)
    mask = torch.zeros((len(rows), width), dtype=torch.long)
    for i, row in enumerate(rows):
        ids[i, width - len(row) :] = torch.tensor(row, dtype=torch.long)
        mask[i, width - len(row) :] = 1
    return ids.to(device), mask.to(device)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rules:
    """How next tokens are chosen, and when a row ends."""

    max_new_tokens: int
    temperature: float
    top_p: float
    stop_ids: frozenset[int]


Arrange = Callable[[Sequence[int]], None]
"""Is told which prompts (their indices) are the rows of the batch, in their order, before the model sees it."""


def generate(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[str],
    *,
    max_new_tokens: int,
    temperature: float = 0.0,
    top_p: float = 1.0,
    seeds: Sequence[int] | None = None,
    batch_size: int | None = None,
    stop_ids: Iterable[int] | None = None,
    description: str = "answering",
    arrange: Arrange | None = None,
) -> list[str]:
    """Continue each prompt; the continuation is decoded without special tokens and stripped of outer white space.

    Args:
        model: A causal LM in evaluation mode (PEFT-wrapped ones too).
        tokenizer: Its tokenizer.
        prompts: ``N`` rendered prompts (see `render`).
        max_new_tokens: Longest continuation, in tokens.
        temperature: 0 is greedy; above 0 each row samples from its own generator.
        top_p: Nucleus of the sampling distribution, in (0, 1].
        seeds: ``N`` seeds, one a row (see `row_seed`); needed only for sampling.
        batch_size: Rows at once; None: as many as fill 1 GiB of key-value cache, at most 128.
        stop_ids: Ids that end a row; None: `stop_ids_of`.
        description: What the progress bar says; empty: no bar.
        arrange: Told which prompts are the batch's rows whenever that changes; ascending, so that neighbours stay neighbours.

    Returns:
        ``N`` continuations in the order of the prompts.

    Raises:
        xpert.errors.SettingsError: Options out of range, or sampling without one seed a prompt.
        xpert.errors.DataError: A prompt that is empty or leaves no room in the model's positions.
        xpert.errors.WeightsError: The model's logits are not finite.
    """
    stops = stop_ids_of(model, tokenizer) if stop_ids is None else frozenset(stop_ids)
    rules = _Rules(max_new_tokens=max_new_tokens, temperature=temperature, top_p=top_p, stop_ids=stops)
    _check(rules, batch_size, len(prompts), seeds)
    rows = token_ids(tokenizer, prompts)
    size = batch_size or fitting_batch(model, max(map(len, rows), default=1) + max_new_tokens)
    _check_room(model, rows, max_new_tokens)
    row_seeds = list(seeds) if seeds is not None else [0] * len(rows)
    order = sorted(range(len(rows)), key=lambda i: (-len(rows[i]), i))
    batches = [sorted(order[i : i + size]) for i in range(0, len(order), size)]
    pad_id = _pad_id(tokenizer, stops)
    answers = [""] * len(rows)
    with torch.inference_mode():
        for batch in track(batches, description, unit="batch"):
            ids, mask = left_padded([rows[i] for i in batch], pad_id, model.device)
            produced = _decode(
                model, ids, mask, rules, seeds=[row_seeds[i] for i in batch], prompts=batch, arrange=arrange
            )
            for i, tokens in zip(batch, produced, strict=True):
                answers[i] = tokenizer.decode(tokens, skip_special_tokens=True).strip()
    return answers


def fitting_batch(model: Any, n_tokens: int, most: int = LARGEST_BATCH) -> int:
    """Rows of ``n_tokens`` whose key-value cache fits into 1 GiB, ``most`` at most."""
    return max(1, min(most, CACHE_BYTES // (kv_bytes_per_token(model) * n_tokens)))


def kv_bytes_per_token(model: Any) -> int:
    """Bytes of keys and values that one token takes in all layers."""
    config = model.config.get_text_config()
    heads = config.num_attention_heads
    head_width = getattr(config, "head_dim", None) or config.hidden_size // heads
    kept = getattr(config, "num_key_value_heads", None) or heads
    return 2 * config.num_hidden_layers * kept * head_width * model.dtype.itemsize


def _check(rules: _Rules, batch_size: int | None, n_prompts: int, seeds: Sequence[int] | None) -> None:
    if rules.max_new_tokens < 1:
        raise SettingsError(f"max_new_tokens: expected 1 or more, got {rules.max_new_tokens}")
    if rules.temperature < 0:
        raise SettingsError(f"temperature: expected 0 (greedy) or more, got {rules.temperature}")
    if not 0 < rules.top_p <= 1:
        raise SettingsError(f"top_p: expected a number above 0 and at most 1, got {rules.top_p}")
    if batch_size is not None and batch_size < 1:
        raise SettingsError(f"batch_size: expected 1 or more, got {batch_size}")
    if rules.temperature > 0 and (seeds is None or len(seeds) != n_prompts):
        came = "none" if seeds is None else len(seeds)
        raise SettingsError(f"seeds: sampling needs one seed a prompt, expected {n_prompts}, got {came}")


def _check_room(model: Any, rows: Sequence[Sequence[int]], max_new_tokens: int) -> None:
    positions = getattr(model.config, "max_position_embeddings", None)
    for number, row in enumerate(rows, start=1):
        if positions is not None and len(row) + max_new_tokens > positions:
            raise DataError(
                f"prompt {number} of {len(rows)}: {len(row)} tokens and {max_new_tokens} new ones exceed the model's "
                f"{positions} positions; shorten the prompt or lower max_new_tokens"
            )


def _pad_id(tokenizer: Any, stop_ids: frozenset[int]) -> int:
    """Padding is masked, so any id serves where the tokenizer has none."""
    return tokenizer.pad_token_id if tokenizer.pad_token_id is not None else min(stop_ids, default=0)


def _decode(
    model: Any,
    ids: torch.Tensor,
    mask: torch.Tensor,
    rules: _Rules,
    *,
    seeds: Sequence[int],
    prompts: Sequence[int],
    arrange: Arrange | None,
) -> list[list[int]]:
    """New tokens of each row, without the one that ended it. A finished row may stay for a while: its tokens are not kept."""
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    last_only = {"logits_to_keep": 1} if "logits_to_keep" in inspect.signature(inner.forward).parameters else {}
    generators = [torch.Generator().manual_seed(seed) for seed in seeds] if rules.temperature > 0 else []
    produced: list[list[int]] = [[] for _ in seeds]
    rows, done = list(range(len(seeds))), [False] * len(seeds)
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    mask = torch.cat([mask, mask.new_ones((len(seeds), rules.max_new_tokens))], dim=1)
    seen, cache, rowwise = ids.shape[1], None, _takes_rowwise_masks(inner)
    if arrange:
        arrange(prompts)
    for step in range(rules.max_new_tokens):
        out = model(
            input_ids=ids,
            attention_mask=mask[:, None, None, :seen].bool() if step and rowwise else mask[:, :seen],
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            **last_only,
        )
        cache = out.past_key_values
        if step == 0:
            make_room(cache, rules.max_new_tokens)
        tokens = _choose(out.logits[:, -1], rules, [generators[i] for i in rows] if generators else [])
        for i, token in zip(rows, tokens, strict=True):
            done[i] = done[i] or token in rules.stop_ids
            if not done[i]:
                produced[i].append(token)
        kept = [k for k, i in enumerate(rows) if not done[i]]
        if not kept or step + 1 == rules.max_new_tokens:
            break
        positions = positions[:, -1:] + 1
        if (len(rows) - len(kept)) * LEAVING >= len(rows):
            index = torch.tensor(kept, device=mask.device)
            cache.batch_select_indices(index)
            mask, positions = mask[index], positions[index]
            rows, tokens = [rows[k] for k in kept], [tokens[k] for k in kept]
            if arrange:
                arrange([prompts[i] for i in rows])
        ids = torch.tensor(tokens, device=mask.device).unsqueeze(1)
        seen += 1
    return produced


def _takes_rowwise_masks(model: Any) -> bool:
    """Whether one new token a row may be given the mask ``(B, 1, 1, T)`` that the model would make of ``(B, T)`` at each step."""
    config = model.config.get_text_config()
    kinds = getattr(config, "layer_types", None) or ["full_attention"]
    return (
        config.model_type in FULL_ATTENTION
        and config._attn_implementation == "sdpa"
        and set(kinds) == {"full_attention"}
    )


def _choose(logits: torch.Tensor, rules: _Rules, generators: Sequence[torch.Generator]) -> list[int]:
    """Next tokens ``(B,)`` for logits ``(B, V)``; sampling inverts the distribution in vocabulary order with one uniform a row."""
    if not bool(logits.sum().isfinite()) and not bool(torch.isfinite(logits).all()):  # a sum may overflow: look again
        raise WeightsError(
            "the model's logits are not finite: its weights hold NaN or infinite values, or the dtype overflows"
        )
    if rules.temperature == 0:
        return logits.argmax(dim=-1).tolist()
    p = torch.softmax(logits.double().cpu() / rules.temperature, dim=-1)
    if rules.top_p < 1:
        ordered = p.topk(min(NUCLEUS, p.shape[1])).values
        if bool((ordered.sum(1) < rules.top_p).any()):
            ordered = p.sort(dim=-1, descending=True).values
        inside = ordered.cumsum(-1) - ordered < rules.top_p
        floor = ordered.gather(1, inside.sum(1, keepdim=True) - 1)
        p = p.masked_fill(p < floor, 0.0)
    heights = p.cumsum(-1)
    draws = torch.stack([torch.rand((), generator=g, dtype=torch.float64) for g in generators])
    picked = torch.searchsorted(heights, (draws * heights[:, -1]).unsqueeze(1), right=True).squeeze(1)
    return picked.clamp(max=p.shape[1] - 1).tolist()
