"""An LLM summarizer that is not held in memory: its layers are read from the disk, and all questions go through each."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from xpert.decoding import kv_bytes_per_token
from xpert.errors import IncompatibleModelError, ReferenceNotFoundError
from xpert.progress import say
from xpert.references import declared_base, kind_of, resolve
from xpert.streaming.budget import memory_bytes
from xpert.streaming.model import StreamedModel
from xpert.streaming.passes import Call
from xpert.streaming.quantize import origin_of
from xpert.streaming.report import Report
from xpert.summarizers.causal import (
    Head,
    finite,
    handful,
    micro_batches,
    output_layer,
    rest_inputs,
    whole_inputs,
    words_after,
)
from xpert.summarizers.hf import HFSummarizer
from xpert.summarizers.prefixes import shared_length
from xpert.tensors.files import sha256_bytes
from xpert.tensors.lora_files import is_plain_lora, read_adapter
from xpert.types import Array, Candidate
from xpert.weights import model_digest

__all__ = ["StreamedSummarizer"]

WORD_BYTES = 64 << 20
"""Keys and values of one layer that trying words out may take."""


class StreamedSummarizer(HFSummarizer):
    """A summarization LLM in a small part of the memory that it would take whole; gives what `HFSummarizer` gives, to the last bit.

    All questions of a call go through a layer before the next layer is read, so that each weight is read once a call. Writing
    texts (contrastive sub-vectors) reads all layers once a token, and is there for completeness.

    Args:
        reference: As `HFSummarizer`'s; also a folder that ``xpert quantize`` wrote, or a LoRA adapter, which is merged into its
            base while reading.
        memory_budget: Memory that it may use beside what the imports take, such as ``1.5GB``: layers that fit stay. None: as
            little as reading each weight once allows.
        options: Those of `HFSummarizer`.

    Raises:
        xpert.errors.SettingsError: The budget is no size, or (when it summarizes) too small; says how much is needed.
        xpert.errors.ReferenceNotFoundError: The reference, or an adapter's base, names nothing.
        xpert.errors.IncompatibleModelError: It is no causal LM with a list of layers, or has no tokenizer.
        xpert.errors.WeightsError: Its weights are missing, truncated, pickled, or of another shape than its config says.

    Source: Wang et al. 2025 (arXiv 2504.13938), section 5.1.
    """

    def __init__(self, reference: str | Path, *, memory_budget: str | int | None = None, **options: Any) -> None:
        self._memory = None if memory_budget is None else memory_bytes(memory_budget)
        self._adapter: Path | None = None
        if kind_of(reference) == "adapter":
            self._adapter = resolve(reference)
            base = declared_base(self._adapter)
            if base is None:
                raise ReferenceNotFoundError(
                    f"{reference}: the adapter names no base: write it into adapter_config.json"
                )
            options = {"name": f"streamed:{reference}", **options}
            reference = base
        named = str(reference) if str(reference).startswith("zoo:") else f"streamed:{reference}"
        super().__init__(reference, **{"name": named, **options})

    @property
    def report(self) -> Report:
        """What its passes over the layers took so far: time, share of it spent waiting for reads, bytes, memory."""
        return self._loaded().report

    @property
    def stands_for(self) -> str:
        """Its name, or that of the model that it is an int8 copy of (`xpert.streaming.quantize`)."""
        origin = origin_of(self._folder)
        return self.name if origin is None else f"streamed:{origin}"

    @cached_property
    def fingerprint(self) -> str:
        """That of `HFSummarizer`, for the results are the same; an adapter's weights count too."""
        own = super().fingerprint
        if self._adapter is None:
            return own
        return sha256_bytes(json.dumps([own, model_digest(self._adapter)]).encode())

    def close(self) -> None:
        """Free what stays in memory, and say what the passes took; a second call does nothing."""
        if self._model is not None:
            if self._model.report.n_passes:
                say(self._model.report.line(self._name))
            self._model.close()
        super().close()

    def _open(self, device: torch.device) -> StreamedModel:
        adapter = None
        if self._adapter is not None:
            if not is_plain_lora(self._adapter):
                raise IncompatibleModelError(
                    f"{self._adapter}: expected LoRA factors of linear layers alone; DoRA, biases, modules saved whole, embeddings and "
                    "replaced tokens are not merged while streaming: merge it into its base, or use hf:"
                )
            adapter = read_adapter(self._adapter)
        return StreamedModel(
            self._folder, device=device, dtype=self._dtype, memory_budget=self._memory, adapter=adapter
        )

    def _hidden(self, rows: Sequence[Sequence[int]], what: str, known: Any = None) -> Array:
        return self._through(rows, [None] * len(rows), [])

    def _paired(self, rows: Sequence[Sequence[int]], heads: Sequence[str]) -> Array:
        tokens = self._prefix_tokens(heads)
        total = kv_bytes_per_token(self._loaded()) * sum(map(len, tokens.values()))
        if not (self._loaded().shares_prefixes and self._prefixes.fits(total)):
            return self._through(rows, [None] * len(rows), [])
        numbers = {head: number for number, head in enumerate(tokens)}
        shares = [_share(numbers.get(head), tokens.get(head, []), row) for head, row in zip(heads, rows, strict=True)]
        return self._through(rows, shares, list(tokens.values()))

    def _through(
        self, rows: Sequence[Sequence[int]], shares: Sequence[tuple[int, int] | None], prefixes: Sequence[list[int]]
    ) -> Array:
        """Last hidden states ``(P, D)`` of rows, of which some take their first tokens from a prefix."""
        model: StreamedModel = self._loaded()
        lengths, shared = [len(row) for row in rows], [share is not None for share in shares]
        plan = micro_batches(lengths, shared, token_budget=self._token_budget, batch_size=self._batch_size)
        calls = [
            self._call([rows[i] for i in batch], [s for i in batch if (s := shares[i]) is not None]) for batch in plan
        ]
        hidden = np.zeros((len(rows), self.width), np.float32)
        with torch.inference_mode():
            results = model.run(calls, prefixes)
        for batch, result in zip(plan, results, strict=True):
            hidden[batch] = result.last[:, -1].float().cpu().numpy()
        return finite(hidden)

    def _call(self, rows: Sequence[Sequence[int]], shares: Sequence[tuple[int, int]]) -> Call:
        device = self._loaded().device
        if not shares:
            return Call(inputs=whole_inputs(rows, self._pad_id, device))
        longest = max(n for _, n in shares)
        before = torch.zeros((len(rows), longest), dtype=torch.long, device=device)
        for i, (_, n) in enumerate(shares):
            before[i, longest - n :] = 1
        rest = [row[n:] for row, (_, n) in zip(rows, shares, strict=True)]
        return Call(inputs=rest_inputs(rest, before, self._pad_id, device), shares=tuple(shares))

    def _words(self, rows: Sequence[Sequence[int]], probabilities: torch.Tensor, n: int) -> tuple[Candidate, ...]:
        model: StreamedModel = self._loaded()
        few = handful(rows)
        with torch.inference_mode():
            read = [Call(inputs={"input_ids": torch.tensor([row], device=model.device)}, keeps=True) for row in few]
            caches = [result.cache for result in model.run(read)]
        budget = self._word_budget
        if model.shares_prefixes:
            per_layer = kv_bytes_per_token(model) // model.config.get_text_config().num_hidden_layers
            budget = max(budget, len(few) * WORD_BYTES // per_layer)
            caches = [_Continued(cache, len(row)) for cache, row in zip(caches, few, strict=True)]
        return words_after(
            [Head(cache=cache, n_tokens=len(row), position=len(row)) for cache, row in zip(caches, few, strict=True)],
            probabilities,
            n,
            layer=output_layer(model),
            step=self._step,
            tokenizer=self._tokenizer,
            token_budget=budget,
            rules=self._instruction.rules,
        )

    def _step(self, ids: torch.Tensor, positions: Sequence[torch.Tensor], caches: Sequence[Any]) -> list[torch.Tensor]:
        """One token more after each thing read, all in one pass over the layers."""
        model: StreamedModel = self._loaded()
        calls: list[Call] = []
        prefixes: list[Any] = []
        for at, cache in zip(positions, caches, strict=True):
            if isinstance(cache, _Continued):
                calls.append(cache.call(ids, at, len(prefixes)))
                prefixes.append(cache.read)
            else:
                inputs = {"input_ids": ids, "position_ids": at, "past_key_values": cache}
                calls.append(Call(inputs=inputs, keeps=True))
        with torch.inference_mode():
            return [result.last[:, -1] for result in model.run(calls, prefixes)]


class _Continued:
    """One row's cache that many continuations share: they are tokens, their keys are computed anew, and no cache is copied.

    Offers what trying words out asks of a cache.

    Args:
        read: Keys and values of the row.
        n_tokens: How many tokens it has.
        pieces: ``(B, t)`` the continuations so far.
    """

    def __init__(self, read: Any, n_tokens: int, pieces: torch.Tensor | None = None) -> None:
        self.read, self._n_tokens, self._pieces = read, n_tokens, pieces

    def __deepcopy__(self, memo: Mapping[int, Any]) -> _Continued:
        return _Continued(self.read, self._n_tokens, self._pieces)

    def batch_repeat_interleave(self, repeats: int) -> None:
        """So many continuations, still empty."""
        self._pieces = torch.zeros((repeats, 0), dtype=torch.long)

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        """Some of the continuations go on."""
        assert self._pieces is not None
        self._pieces = self._pieces[indices.to(self._pieces.device)]

    def call(self, ids: torch.Tensor, positions: torch.Tensor, number: int) -> Call:
        """A call that reads the continuations with one token more ``(B, 1)``, at ``positions``, after prefix ``number``."""
        assert self._pieces is not None
        self._pieces = torch.cat([self._pieces.to(ids.device), ids], dim=1)
        rows, count = self._pieces.shape
        back = torch.arange(count - 1, -1, -1, device=ids.device)
        mask = torch.ones((rows, self._n_tokens + count), dtype=torch.long, device=ids.device)
        inputs = {"input_ids": self._pieces, "attention_mask": mask, "position_ids": positions - back}
        return Call(inputs=inputs, shares=((number, self._n_tokens),) * rows)


def _share(number: int | None, prefix: Sequence[int], row: Sequence[int]) -> tuple[int, int] | None:
    """Which prefix a row begins with, and how many of its tokens it takes; its last one is always its own."""
    n = min(shared_length(prefix, row), len(row) - 1)
    return None if number is None or n == 0 else (number, n)
