"""A causal language model as prompt tuning sees it: input embeddings in, last hidden states out, with gradients."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from xpert.decoding import render
from xpert.errors import DataError
from xpert.loading import decoder_of
from xpert.summarizers.instructions import Instruction
from xpert.weights import digest, weight_files

__all__ = ["CausalPromptSpace"]

WORD = "{word}"


class CausalPromptSpace:
    """Matches `xpert.protocols.PromptSpace`.

    Args:
        model: A causal LM in evaluation mode; its weights are not changed.
        tokenizer: Its tokenizer.
        folder: Where it was loaded from.
        name: The summarizer's provenance.
        instruction: Its ``meaning`` is the question for a word's meaning.
    """

    def __init__(self, model: Any, tokenizer: Any, *, folder: Path, name: str, instruction: Instruction) -> None:
        self._model, self._tokenizer = model, tokenizer
        self.folder, self.summarizer = folder, name
        self.text = render(tokenizer, instruction.meaning.format(word=WORD)) + instruction.answer_prefix

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the weight files; reads them once."""
        return digest(self.folder, weight_files(self.folder))

    def text_embeddings(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Input embeddings ``(p, E)`` and ``(s, E)``, float32, of what stands before and after the word in the question.

        Raises:
            xpert.errors.DataError: The word stands at the very beginning or end.
        """
        before, after = self._around()
        special = not self._tokenizer.chat_template
        parts = [self._ids(before, special=special), self._ids(after)]
        if not all(parts):
            raise DataError(f"meaning: expected text before and after {{word}} in the instruction, got {self.text!r}")
        return self._embedded(parts[0]), self._embedded(parts[1])

    def word_embeddings(self, words: Sequence[str]) -> list[torch.Tensor]:
        """Per word the input embeddings ``(t, E)``, float32, of its tokens, with the white space before it.

        Raises:
            xpert.errors.DataError: A word is empty.
        """
        before = self._around()[0]
        space = " " if before != self.text.partition(WORD)[0] else ""
        if not all(word.strip() for word in words):
            raise DataError("expected words, got an empty one")
        return [self._embedded(self._ids(space + word)) for word in words]

    def hidden(self, prefix: torch.Tensor, words: Sequence[torch.Tensor], suffix: torch.Tensor) -> torch.Tensor:
        """Last hidden states ``(W, D)``, float32, of ``[prefix, word, suffix]``, one row a word; gradients flow to all three.

        The prefix goes through the model once; its key-value cache is shared by all words. Padding stands between the prefix
        and a shorter word and is masked, so that a row depends on its own word alone.
        """
        model = self._model
        dtype, device = model.get_input_embeddings().weight.dtype, model.device
        head = decoder_of(model)(inputs_embeds=prefix.to(device, dtype)[None], use_cache=True)
        cache = head.past_key_values
        cache.batch_repeat_interleave(len(words))
        longest = max(map(len, words))
        rows = torch.stack([torch.cat([w.new_zeros(longest - len(w), w.shape[1]), w, suffix]) for w in words])
        mask = torch.ones((len(words), len(prefix) + rows.shape[1]), dtype=torch.long, device=device)
        for row, word in zip(mask, words, strict=True):
            row[len(prefix) : len(prefix) + longest - len(word)] = 0
        positions = (mask.cumsum(1) - 1)[:, len(prefix) :]
        out = decoder_of(model)(
            inputs_embeds=rows.to(device, dtype),
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
        )
        return out.last_hidden_state[:, -1].float()

    def _around(self) -> tuple[str, str]:
        """The text before the word, without a blank at its end (which belongs to the word's token), and after it."""
        before, _, after = self.text.partition(WORD)
        return before.removesuffix(" "), after

    def _ids(self, text: str, *, special: bool = False) -> list[int]:
        return list(self._tokenizer(text, add_special_tokens=special, verbose=False)["input_ids"])

    def _embedded(self, ids: Sequence[int]) -> torch.Tensor:
        weight = self._model.get_input_embeddings()
        with torch.no_grad():
            rows = weight(torch.tensor(list(ids), dtype=torch.long, device=self._model.device))
        return rows.detach().float().cpu().clone()
