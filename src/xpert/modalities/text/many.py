"""Many adapters of one base answer the same prompts: in groups whose rows share the batches, on the CPU as many groups at once as threads."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from queue import SimpleQueue
from threading import Event
from typing import Any

import torch

from xpert.decoding import fitting_batch, render, token_ids
from xpert.modalities.text.generate import answers
from xpert.modalities.text.grouped import side_by_side
from xpert.tensors.lora_files import read_adapter
from xpert.types import Generation

__all__ = ["answers_of_groups", "group_sizes"]

GROUP_ROWS = 256
"""Rows in a batch at most: beyond that the products gain nothing, and the key-value cache grows."""


def group_sizes(n_adapters: int, n_prompts: int, rows: int, n_workers: int = 1) -> list[int]:
    """Adapters a group, as even as can be, so that a group's prompts fill a batch of ``rows`` at most (one adapter always goes).

    There are as many groups for each worker, where there are adapters enough.

    >>> group_sizes(32, 50, 512), group_sizes(3, 50, 40), group_sizes(28, 50, 512, 2)
    ([8, 8, 8, 8], [1, 1, 1], [7, 7, 7, 7])
    """
    most = max(1, rows // max(n_prompts, 1))
    n_groups = min(n_adapters, math.ceil(math.ceil(n_adapters / most) / n_workers) * n_workers)
    return [n_adapters * (g + 1) // n_groups - n_adapters * g // n_groups for g in range(n_groups)]


def answers_of_groups(
    model: Any, tokenizer: Any, folders: Sequence[Path], prompts: Sequence[str], generation: Generation
) -> Iterator[list[list[str]]]:
    """Answers of plain LoRA adapters, one list an adapter, yielded group by group in the order of the folders.

    On the CPU the groups are spread over torch's threads, one thread each: small products gain more by that than by being cut
    into parts. Groups run ahead of what is asked for, and the caller's thread has no more of torch's threads than a group meanwhile;
    an error, or leaving off, stops them all.

    Args:
        model: The base; only read.
        tokenizer: Its tokenizer.
        folders: Adapters that passed `xpert.modalities.adapters.check_adapter` on this base.
        prompts: ``P`` prompts.
        generation: How to answer. Its batch size, if any, bounds the rows of all adapters together.

    Raises:
        xpert.errors.WeightsError: An adapter is not finite.
        xpert.modalities.text.grouped.NotRowwiseError: The base does not keep a batch's rows apart.
    """
    if not folders:
        return
    n_threads = torch.get_num_threads()
    n_workers = min(n_threads, len(folders)) if model.device.type == "cpu" else 1
    rows = generation.batch_size or _rows(model, tokenizer, prompts, generation) // n_workers or 1
    sizes = group_sizes(len(folders), len(prompts), rows, n_workers)
    ends = [sum(sizes[: g + 1]) for g in range(len(sizes))]
    stopped, free = Event(), SimpleQueue[Any]()
    for _ in range(n_workers):
        free.put(_same_weights(model))

    def work(group: Sequence[Path]) -> list[list[str]]:
        mine = free.get()
        try:
            return _group(mine, tokenizer, group, prompts, generation, n_rows=rows, stopped=stopped)
        finally:
            free.put(mine)

    share = n_threads // n_workers
    with ThreadPoolExecutor(n_workers, initializer=torch.set_num_threads, initargs=(share,)) as pool:
        try:
            torch.set_num_threads(share)
            for coming in [pool.submit(work, folders[end - n : end]) for end, n in zip(ends, sizes, strict=True)]:
                yield coming.result()
        finally:
            stopped.set()
            pool.shutdown(cancel_futures=True)
            torch.set_num_threads(n_threads)


def _group(
    model: Any,
    tokenizer: Any,
    folders: Sequence[Path],
    prompts: Sequence[str],
    generation: Generation,
    *,
    n_rows: int,
    stopped: Event,
) -> list[list[str]]:
    n = len(prompts)
    with side_by_side(model, [read_adapter(folder) for folder in folders], stopped=stopped) as rows:
        texts = answers(
            model,
            tokenizer,
            list(prompts) * len(folders),
            generation,
            what=None,
            batch_size=n_rows,
            arrange=lambda batch: rows.assign([i // n for i in batch]),
        )
    return [texts[g * n : (g + 1) * n] for g in range(len(folders))]


def _same_weights(model: Any) -> Any:
    """A model of its own modules (to hang hooks on) and the same tensors."""
    return copy.deepcopy(model, {id(tensor): tensor for tensor in chain(model.parameters(), model.buffers())})


def _rows(model: Any, tokenizer: Any, prompts: Sequence[str], generation: Generation) -> int:
    lengths = [len(row) for row in token_ids(tokenizer, [render(tokenizer, prompt) for prompt in prompts])]
    return fitting_batch(model, max(lengths, default=1) + generation.max_new_tokens, GROUP_ROWS)
