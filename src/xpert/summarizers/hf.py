"""An LLM summarizer held in memory: any causal LM that Transformers loads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from xpert.decoding import generate, render, row_seed, token_ids
from xpert.errors import DataError, SettingsError, SummarizerError
from xpert.loading import choose_device, choose_dtype, load_model, load_tokenizer
from xpert.protocols import SummarizerDefaults
from xpert.references import resolve
from xpert.summarizers.causal import last_hidden, next_distribution, next_words, output_layer
from xpert.summarizers.instructions import LANGUAGE_STYLE, Instruction, load_instruction
from xpert.summarizers.prompting import CausalPromptSpace
from xpert.types import AnswerPair, Array, Summary

__all__ = ["HFSummarizer"]

WRITE_TEMPERATURE = 0.8
WRITE_TOP_P = 0.95


class HFSummarizer:
    """A summarization LLM; matches `xpert.protocols.Summarizer` and ``BatchWriter``.

    A pair is put into the instruction; the hidden state at the last position, before the output layer, is its embedding, and
    the words that the model would say next are the candidates.

    Args:
        reference: A folder, a Hub id or ``zoo:NAME``.
        device: Where it runs; None: a CUDA device if there is one, else the CPU.
        dtype: ``float32``, ``bfloat16``, ``float16`` or ``auto`` (as stored); None: float32 on the CPU, as stored elsewhere.
            Embeddings agree to 1e-5 between batch sizes in float32 only.
        instruction: What it is asked; None: what its folder brings (``xpert_instruction.json``), else `LANGUAGE_STYLE`.
        batch_size: Pairs in a batch at most; None: the token budget alone decides.
        max_answer_tokens: Each answer is cut to so many tokens; None: as the instruction says.
        token_budget: Tokens in a batch at most, padding included.
        name: Provenance; None: ``hf:REFERENCE``.

    Raises:
        xpert.errors.ReferenceNotFoundError: The reference names nothing.
        xpert.errors.IncompatibleModelError: It is no causal LM, or has no tokenizer.
        xpert.errors.WeightsError: Its weights are missing, pickled or not finite.

    Source: Wang et al. 2025 (arXiv 2504.13938), section 4.1.
    """

    def __init__(
        self,
        reference: str | Path,
        *,
        device: str | None = None,
        dtype: str | None = None,
        instruction: Instruction | None = None,
        batch_size: int | None = None,
        max_answer_tokens: int | None = None,
        token_budget: int = 8192,
        name: str | None = None,
    ) -> None:
        for option, value in (("batch_size", batch_size), ("max_answer_tokens", max_answer_tokens)):
            if value is not None and value < 1:
                raise SettingsError(f"{option}: expected 1 or more, got {value}")
        folder, where = resolve(reference), choose_device(device)
        asked = instruction or load_instruction(folder) or LANGUAGE_STYLE
        self._instruction = replace(asked, max_answer_tokens=max_answer_tokens or asked.max_answer_tokens)
        self._batch_size, self._token_budget = batch_size, token_budget
        self._folder = folder
        self._prompt_space: CausalPromptSpace | None = None
        self._tokenizer = load_tokenizer(folder)
        self._model: Any = load_model(folder, device=where, dtype=choose_dtype(dtype, where))
        self._width = int(output_layer(self._model).weight.shape[1])
        self._name = name or f"hf:{reference}"

    @property
    def name(self) -> str:
        """Provenance."""
        return self._name

    @property
    def instruction(self) -> str:
        """The question, and how much of each answer is read."""
        return self._instruction.provenance

    @property
    def width(self) -> int:
        """``D``: the width of the output layer's input."""
        return self._width

    @property
    def defaults(self) -> SummarizerDefaults:
        """Contrastive sub-vectors, null-centering; the paper's thresholds unless its folder brings others."""
        own = self._instruction
        return SummarizerDefaults(eps_orth=own.eps_orth, eps_dec=own.eps_dec, max_candidates=own.max_candidates)

    def summarize(self, pairs: Sequence[AnswerPair], *, n_candidates: int = 0) -> Summary:
        """Embed each pair; with ``n_candidates``, also the words that it would most likely say, best first.

        Raises:
            xpert.errors.DataError: No pairs, or one that is longer than the model's positions.
            xpert.errors.SummarizerError: It is closed.
            xpert.errors.WeightsError: A hidden state is not finite.
        """
        if not pairs:
            raise DataError("expected at least one pair of answers, got none")
        rows = self._rows([self._question(pair) for pair in pairs])
        hidden = self._hidden(rows, "summarizing")
        if n_candidates < 1:
            return Summary(embeddings=hidden)
        probabilities = next_distribution(self._model, hidden)
        words = next_words(
            self._model, self._tokenizer, rows, probabilities, n_candidates, token_budget=2 * self._token_budget
        )
        return Summary(embeddings=hidden, candidates=words)

    def write(self, word: str, prompts: Sequence[str], *, seed: int = 0) -> list[str]:
        """One answer a prompt in the style that ``word`` names, sampled; an answer depends on seed, word and its prompt alone."""
        return self.write_all([word], prompts, seed=seed)[0]

    def write_all(self, words: Sequence[str], prompts: Sequence[str], *, seed: int = 0) -> list[list[str]]:
        """Per word what `write` gives for it; all words and prompts share the batches."""
        asked = [(word, prompt) for word in words for prompt in prompts]
        texts = [self._instruction.write.format(word=word, prompt=prompt) for word, prompt in asked]
        answers = generate(
            self._loaded(),
            self._tokenizer,
            [render(self._tokenizer, text) for text in texts],
            max_new_tokens=self._instruction.max_new_tokens,
            temperature=WRITE_TEMPERATURE,
            top_p=WRITE_TOP_P,
            seeds=[row_seed(seed, word, prompt) for word, prompt in asked],
            batch_size=self._batch_size,
            description=f"writing {', '.join(words)} texts",
        )
        return [answers[i : i + len(prompts)] for i in range(0, len(answers), len(prompts))]

    def meaning(self, words: Sequence[str]) -> Array:
        """``(W, D)`` hidden states of the question for a word's meaning, one forward pass a word: what prompt tuning starts from."""
        if not words:
            raise DataError("expected at least one word, got none")
        return self._hidden(
            self._rows([self._instruction.meaning.format(word=word) for word in words]), "reading words"
        )

    def prompt_space(self) -> CausalPromptSpace:
        """The model as prompt tuning sees it: input embeddings in, last hidden states out."""
        if self._prompt_space is None:
            self._prompt_space = CausalPromptSpace(
                self._loaded(), self._tokenizer, folder=self._folder, name=self._name, instruction=self._instruction
            )
        return self._prompt_space

    def close(self) -> None:
        """Free the weights; a second call does nothing."""
        self._model = self._prompt_space = None

    def _loaded(self) -> Any:
        if self._model is None:
            raise SummarizerError(f"summarizer {self._name} is closed: make a new one")
        return self._model

    def _question(self, pair: AnswerPair) -> str:
        return self._instruction.compare.format(a=self._cut(pair.base), b=self._cut(pair.other), prompt=pair.prompt)

    def _cut(self, answer: str) -> str:
        ids = self._tokenizer(answer, add_special_tokens=False, verbose=False)["input_ids"]
        if len(ids) <= self._instruction.max_answer_tokens:
            return answer
        return self._tokenizer.decode(ids[: self._instruction.max_answer_tokens])

    def _rows(self, texts: Sequence[str]) -> list[list[int]]:
        prefix = self._instruction.answer_prefix
        rows = token_ids(self._tokenizer, [render(self._tokenizer, text) + prefix for text in texts])
        positions = getattr(self._loaded().config, "max_position_embeddings", None)
        longest = max(map(len, rows))
        if positions is not None and longest + 4 > positions:
            raise DataError(
                f"pair {[len(row) for row in rows].index(longest) + 1} of {len(rows)}: {longest} tokens exceed the "
                f"{positions} positions of {self._name}; lower max_answer_tokens (now {self._instruction.max_answer_tokens})"
            )
        return rows

    def _hidden(self, rows: Sequence[Sequence[int]], what: str) -> Array:
        pad = self._tokenizer.pad_token_id
        return last_hidden(
            self._loaded(),
            rows,
            pad_id=0 if pad is None else pad,
            token_budget=self._token_budget,
            batch_size=self._batch_size,
            what=what,
        )
