"""Many adapters of one base answer the same prompts: in groups whose rows share the batches, the next group read meanwhile."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from xpert.decoding import fitting_batch, render, token_ids
from xpert.modalities.text.generate import answers
from xpert.modalities.text.grouped import side_by_side
from xpert.tensors.lora import LoraAdapter, read_adapter
from xpert.types import Generation

__all__ = ["answers_of_groups", "group_sizes"]

GROUP_ROWS = 512
"""Rows in a batch at most: beyond that the products gain nothing, and the key-value cache grows."""


def group_sizes(n_adapters: int, n_prompts: int, rows: int) -> list[int]:
    """Adapters a group, as even as can be, so that a group's prompts fill a batch of ``rows`` at most (one adapter always goes).

    >>> group_sizes(32, 50, 512), group_sizes(3, 50, 40)
    ([8, 8, 8, 8], [1, 1, 1])
    """
    most = max(1, rows // max(n_prompts, 1))
    n_groups = math.ceil(n_adapters / most)
    return [n_adapters * (g + 1) // n_groups - n_adapters * g // n_groups for g in range(n_groups)]


def answers_of_groups(
    model: Any, tokenizer: Any, folders: Sequence[Path], prompts: Sequence[str], generation: Generation
) -> Iterator[list[list[str]]]:
    """Answers of plain LoRA adapters, one list an adapter, yielded group by group in the order of the folders.

    Args:
        model: The base, unchanged afterwards.
        tokenizer: Its tokenizer.
        folders: Adapters that passed `xpert.modalities.adapters.check_adapter` on this base.
        prompts: ``P`` prompts.
        generation: How to answer. Its batch size, if any, bounds the rows of all adapters together.

    Raises:
        xpert.errors.WeightsError: An adapter is not finite.
        xpert.modalities.text.grouped.NotRowwiseError: The base does not keep a batch's rows apart.
    """
    rows = generation.batch_size or _rows(model, tokenizer, prompts, generation)
    sizes = group_sizes(len(folders), len(prompts), rows)
    ends = [sum(sizes[: g + 1]) for g in range(len(sizes))]
    groups = [folders[end - size : end] for end, size in zip(ends, sizes, strict=True)]
    with ThreadPoolExecutor(1) as reader:
        coming = reader.submit(_read, groups[0]) if groups else None
        for g in range(len(groups)):
            assert coming is not None
            adapters = coming.result()
            coming = reader.submit(_read, groups[g + 1]) if g + 1 < len(groups) else None
            what = f"{len(adapters)} adapters, group {g + 1} of {len(groups)}"
            yield _group(model, tokenizer, adapters, prompts, generation, n_rows=rows, what=what)


def _group(
    model: Any,
    tokenizer: Any,
    adapters: Sequence[LoraAdapter],
    prompts: Sequence[str],
    generation: Generation,
    *,
    n_rows: int,
    what: str,
) -> list[list[str]]:
    n = len(prompts)
    with side_by_side(model, adapters) as rows:
        texts = answers(
            model,
            tokenizer,
            list(prompts) * len(adapters),
            generation,
            what=what,
            batch_size=n_rows,
            arrange=lambda batch: rows.assign([i // n for i in batch]),
        )
    return [texts[g * n : (g + 1) * n] for g in range(len(adapters))]


def _rows(model: Any, tokenizer: Any, prompts: Sequence[str], generation: Generation) -> int:
    lengths = [len(row) for row in token_ids(tokenizer, [render(tokenizer, prompt) for prompt in prompts])]
    return fitting_batch(model, max(lengths, default=1) + generation.max_new_tokens, GROUP_ROWS)


def _read(folders: Sequence[Path]) -> list[LoraAdapter]:
    return [read_adapter(folder) for folder in folders]
