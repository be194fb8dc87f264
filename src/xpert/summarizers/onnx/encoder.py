"""An exported text encoder as a summarizer: the rows and words of `xpert.EncoderSummarizer`, without torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from xpert.protocols import SummarizerDefaults
from xpert.summarizers.answers import check_texts
from xpert.summarizers.aspects import InstructionLike
from xpert.summarizers.encoding import defaults, described, difference_rows, find_candidates, find_exemplars
from xpert.summarizers.exemplars import Exemplars
from xpert.summarizers.instructions import LANGUAGE_STYLE, Instruction
from xpert.summarizers.onnx.model import ExportedModel
from xpert.summarizers.ranking import WordDirections, encoder_wording
from xpert.summarizers.whole_texts import encode_whole
from xpert.tensors.files import sha256_bytes
from xpert.types import AnswerPair, Array, Summary

__all__ = ["OnnxEncoder"]


class OnnxEncoder:
    """Matches `xpert.protocols.Summarizer` and ``TextEncoder``; see `xpert.EncoderSummarizer`.

    Args:
        folder: What ``xpert export --summarizer encoder:REF`` wrote.
        instruction: The aspect, as `xpert.EncoderSummarizer` has it.
        threads: Of the processor; None: one a core.
        token_budget: Tokens in a batch at most, padding included.
        batch_size: Chunks in a batch at most; None: the budget alone decides.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        instruction: InstructionLike | None = None,
        threads: int | None = None,
        token_budget: int = 4096,
        batch_size: int | None = None,
    ) -> None:
        self._wording = encoder_wording(instruction, LANGUAGE_STYLE, None, None)
        self._model = ExportedModel(folder, "encoder", threads=threads)
        self._token_budget, self._batch_size = token_budget, batch_size
        self._directions = WordDirections(self.encode, self.words, self.carriers)

    @property
    def name(self) -> str:
        """``onnx:`` and what was exported: the same model as ``encoder:`` that."""
        return f"onnx:{self._model.header['target']}"

    @property
    def instruction(self) -> str:
        """How it encodes."""
        return described(self._wording, self._model.header["max_tokens"])

    @cached_property
    def fingerprint(self) -> str:
        """What rows and words depend on: the exported files, how it encodes, the words."""
        return sha256_bytes(repr([self._model.header["files"], self.instruction, self.words]).encode())

    @property
    def wording(self) -> Instruction:
        """The whole instruction, words and carriers."""
        return self._wording

    @property
    def width(self) -> int:
        """``D``: the width of the encoder's embeddings."""
        return int(self._model.header["width"])

    @property
    def words(self) -> tuple[str, ...]:
        """The candidate words."""
        return self._wording.words

    @property
    def carriers(self) -> tuple[str, ...]:
        """The sentences that say a word of a text."""
        return self._wording.carriers

    @property
    def defaults(self) -> SummarizerDefaults:
        """Those of `xpert.EncoderSummarizer`."""
        return defaults(self._learnt)

    @property
    def exemplars(self) -> Mapping[str, Array]:
        """Words that are known by example, each with its sub-vector ``(D,)``; mostly none."""
        learnt = self._learnt
        return {} if learnt is None else {word: learnt.of(word) for word in learnt.words}

    @cached_property
    def _learnt(self) -> Exemplars | None:
        """What was learnt of the exported weights, for this aspect; None: nothing."""
        return find_exemplars(self._wording, self.width, lambda: str(self._model.header["weights"]))

    def summarize(self, pairs: Sequence[AnswerPair], *, n_candidates: int = 0) -> Summary:
        """Embed each pair; with ``n_candidates``, also words, as `xpert.EncoderSummarizer` finds them.

        Raises:
            xpert.errors.DataError: No pairs, or pairs of images.
            xpert.errors.SummarizerError: It is closed.
            xpert.errors.WeightsError: An embedding is not finite.
        """
        check_texts(pairs, self.name)
        embeddings = difference_rows(pairs, self.encode)
        words = find_candidates(
            pairs, embeddings, n_candidates, directions=self._directions, words=self.words, learnt=self._learnt
        )
        return Summary(embeddings=embeddings, candidates=words)

    def encode(self, texts: Sequence[str]) -> Array:
        """``(N, D)`` float32 embeddings of whole texts: the mean of their chunks' unit vectors, weighted by tokens."""
        return encode_whole(
            texts,
            self._forward,
            tokenizer=self._model.tokenizer,
            max_tokens=self._model.header["max_tokens"],
            width=self.width,
            token_budget=self._token_budget,
            batch_size=self._batch_size,
            name=self.name,
        )

    def close(self) -> None:
        """Free the weights; a second call does nothing."""
        self._model.close()

    def _forward(self, chunks: Sequence[Sequence[int]]) -> Array:
        """``(B, D)`` embeddings of token chunks."""
        width = max(map(len, chunks))
        ids = np.full((len(chunks), width), self._model.tokenizer.pad_token_id or 0, np.int64)
        mask = np.zeros_like(ids)
        for row, chunk in enumerate(chunks):
            ids[row, : len(chunk)] = chunk
            mask[row, : len(chunk)] = 1
        return self._model.run(ids, mask)[0]
