"""An exported LLM as a summarizer: the rows and words of `xpert.HFSummarizer`, without torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np

from xpert.errors import DataError, SettingsError, WeightsError
from xpert.progress import track
from xpert.protocols import SummarizerDefaults
from xpert.rendering import render, token_ids
from xpert.summarizers.answers import check_texts
from xpert.summarizers.aspects import InstructionLike, find_instruction
from xpert.summarizers.batching import batches
from xpert.summarizers.instructions import LANGUAGE_STYLE, Instruction, load_instruction
from xpert.summarizers.onnx.model import ExportedModel
from xpert.summarizers.onnx.words import next_words
from xpert.tensors.files import sha256_bytes
from xpert.types import AnswerPair, Array, Summary

__all__ = ["OnnxLLM"]

_ROOM = 12
"""Positions kept free for a word, as `xpert.HFSummarizer` keeps them."""


class OnnxLLM:
    """Matches `xpert.protocols.Summarizer`; see `xpert.HFSummarizer`. It reads and names; it does not write.

    Args:
        folder: What ``xpert export --summarizer hf:REF`` wrote.
        instruction: What it is asked, as `xpert.HFSummarizer` has it.
        threads: Of the processor; None: one a core.
        token_budget: Tokens in a batch at most, padding included.
        batch_size: Pairs in a batch at most; None: the token budget alone decides.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        instruction: InstructionLike | None = None,
        threads: int | None = None,
        token_budget: int = 2048,
        batch_size: int | None = None,
    ) -> None:
        asked = load_instruction(folder) or LANGUAGE_STYLE if instruction is None else find_instruction(instruction)
        if not asked.asks:
            raise SettingsError(
                f"instruction {asked.name}: expected compare, write and meaning, which an LLM is asked; it has words alone, for encoders"
            )
        self._instruction = replace(asked, max_answer_tokens=asked.max_answer_tokens)
        self._model = ExportedModel(folder, "llm", threads=threads)
        self._token_budget, self._batch_size = token_budget, batch_size

    @property
    def name(self) -> str:
        """``onnx:`` and what was exported: the same model as ``hf:`` or ``zoo:`` that."""
        return f"onnx:{self._model.header['target']}"

    @property
    def instruction(self) -> str:
        """The question, and how much of each answer is read."""
        return self._instruction.provenance

    @cached_property
    def fingerprint(self) -> str:
        """What rows and words depend on: the exported files, the instruction."""
        return sha256_bytes(repr([self._model.header["files"], self._instruction.to_json()]).encode())

    @property
    def wording(self) -> Instruction:
        """The whole instruction."""
        return self._instruction

    @property
    def width(self) -> int:
        """``D``: the width of the output layer's input."""
        return int(self._model.header["width"])

    @property
    def defaults(self) -> SummarizerDefaults:
        """Those of `xpert.HFSummarizer`."""
        own = self._instruction
        return SummarizerDefaults(eps_orth=own.eps_orth, eps_dec=own.eps_dec, max_candidates=own.max_candidates)

    def summarize(self, pairs: Sequence[AnswerPair], *, n_candidates: int = 0) -> Summary:
        """Embed each pair; with ``n_candidates``, also the words that it would most likely say, best first.

        Raises:
            xpert.errors.DataError: No pairs, pairs of images, or one that is longer than the model's positions.
            xpert.errors.SummarizerError: It is closed.
            xpert.errors.WeightsError: A hidden state is not finite.
        """
        check_texts(pairs, self.name)
        rows = self._rows(pairs)
        hidden, logits = self._last(rows, "summarizing")
        if not np.isfinite(hidden).all():
            raise WeightsError("the summarizer's hidden states are not finite: its weights hold NaN")
        if n_candidates < 1:
            return Summary(embeddings=hidden)
        words = next_words(
            lambda read: softmax(self._last(read, "reading words")[1]),
            self._model.tokenizer,
            rows,
            softmax(logits).mean(axis=0),
            n_candidates,
            special=frozenset(self._model.header["special_ids"]),
            rules=self._instruction.rules,
        )
        return Summary(embeddings=hidden, candidates=words)

    def close(self) -> None:
        """Free the weights; a second call does nothing."""
        self._model.close()

    def _rows(self, pairs: Sequence[AnswerPair]) -> list[list[int]]:
        """The questions as token ids, each answer cut to the instruction's length."""
        tokenizer, most = self._model.tokenizer, self._instruction.max_answer_tokens
        answers = list(dict.fromkeys(text for pair in pairs for text in (pair.base, pair.other)))
        ids = tokenizer(answers, add_special_tokens=False)["input_ids"]
        cut = {a: a if len(row) <= most else tokenizer.decode(row[:most]) for a, row in zip(answers, ids, strict=True)}
        asked = [
            self._instruction.compare.format(a=cut[pair.base], b=cut[pair.other], prompt=pair.prompt) for pair in pairs
        ]
        rows = token_ids(tokenizer, [render(tokenizer, text) + self._instruction.answer_prefix for text in asked])
        longest, positions = max(map(len, rows)), self._model.header["positions"]
        if positions is not None and longest + _ROOM > positions:
            raise DataError(
                f"pair {[len(row) for row in rows].index(longest) + 1} of {len(rows)}: {longest} tokens exceed the "
                f"{positions} positions of {self.name}; lower max_answer_tokens (now {most})"
            )
        return rows

    def _last(self, rows: Sequence[Sequence[int]], what: str) -> tuple[Array, Array]:
        """Last hidden states ``(P, D)`` and logits ``(P, V)`` of token rows, in their order; a row depends on itself alone."""
        hidden: list[Array] = [np.zeros(0, np.float32)] * len(rows)
        logits = [*hidden]
        plan = list(batches([len(r) for r in rows], token_budget=self._token_budget, batch_size=self._batch_size))
        for batch in track(plan, what, unit="batch"):
            width = max(len(rows[i]) for i in batch)
            ids = np.full((len(batch), width), self._model.tokenizer.pad_token_id or 0, np.int64)
            mask = np.zeros_like(ids)
            for row, i in enumerate(batch):
                ids[row, width - len(rows[i]) :] = rows[i]
                mask[row, width - len(rows[i]) :] = 1
            for i, state, scores in zip(batch, *self._model.run(ids, mask), strict=True):
                hidden[i], logits[i] = state, scores
        return np.stack(hidden), np.stack(logits)


def softmax(logits: Array) -> np.ndarray:
    """Probabilities ``(P, V)`` float64 of logits ``(P, V)``."""
    shifted = logits.astype(np.float64)
    shifted = np.exp(shifted - shifted.max(axis=-1, keepdims=True))
    return shifted / shifted.sum(axis=-1, keepdims=True)
