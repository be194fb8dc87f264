"""An LLM summarizer held in memory: any causal LM that Transformers loads."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from xpert.decoding import generate, kv_bytes_per_token, render, row_seed, token_ids
from xpert.errors import DataError, SettingsError, SummarizerError
from xpert.loading import choose_device, choose_dtype, load_model, load_tokenizer
from xpert.protocols import SummarizerDefaults
from xpert.references import resolve
from xpert.summarizers.answers import check_texts
from xpert.summarizers.aspects import InstructionLike, find_instruction
from xpert.summarizers.causal import (
    MAX_PIECES,
    Known,
    keep_prefixes,
    last_hidden,
    next_distribution,
    next_words,
    output_layer,
    unembedding_rows,
)
from xpert.summarizers.instructions import LANGUAGE_STYLE, Instruction, load_instruction
from xpert.summarizers.prefixes import PrefixCache
from xpert.summarizers.prompting import CausalPromptSpace
from xpert.tensors.files import sha256_bytes
from xpert.types import AnswerPair, Array, Candidate, Summary
from xpert.weights import model_digest

__all__ = ["HFSummarizer"]

WRITE_TEMPERATURE = 0.8
WRITE_TOP_P = 0.95
_GAP = "\ue000"
"""Stands for the other answer when the text before it is looked for; a private character that no answer has."""


class HFSummarizer:
    """A summarization LLM; matches `xpert.protocols.Summarizer` and ``BatchWriter``.

    A pair is put into the instruction; the hidden state at the last position, before the output layer, is its embedding, and
    the words that the model would say next are the candidates.

    Args:
        reference: A folder, a Hub id or ``zoo:NAME``.
        device: Where it runs; None: a CUDA device if there is one, else the CPU.
        dtype: ``float32``, ``bfloat16``, ``float16`` or ``auto`` (as stored); None: float32 on the CPU, as stored elsewhere.
            Embeddings agree to 1e-5 between batch sizes in float32 only.
        instruction: What it is asked: a shipped instruction's name, a JSON file, or an `Instruction`. None: what its folder brings
            (``xpert_instruction.json``, the wording it was trained on), else ``language-style``.
        batch_size: Pairs in a batch at most; None: the token budget alone decides.
        max_answer_tokens: Each answer is cut to so many tokens; None: as the instruction says.
        token_budget: Tokens in a batch at most, padding included; None: 2048 on the CPU, where small batches stay in its cache,
            8192 elsewhere.
        prefix_bytes: Memory for keys and values of what questions have in common (instruction and base answer), which are
            then read once for all models; 0: each question is read whole.
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
        instruction: InstructionLike | None = None,
        batch_size: int | None = None,
        max_answer_tokens: int | None = None,
        token_budget: int | None = None,
        prefix_bytes: int = 1 << 30,
        name: str | None = None,
    ) -> None:
        for option, value in (("batch_size", batch_size), ("max_answer_tokens", max_answer_tokens)):
            if value is not None and value < 1:
                raise SettingsError(f"{option}: expected 1 or more, got {value}")
        folder, where = resolve(reference), choose_device(device)
        asked = load_instruction(folder) or LANGUAGE_STYLE if instruction is None else find_instruction(instruction)
        if not asked.asks:
            raise SettingsError(
                f"instruction {asked.name}: expected compare, write and meaning, which an LLM is asked; it has words alone, for encoders"
            )
        self._instruction = replace(asked, max_answer_tokens=max_answer_tokens or asked.max_answer_tokens)
        self._batch_size, self._token_budget = batch_size, token_budget or (2048 if where.type == "cpu" else 8192)
        self._word_budget = 2 * (token_budget or 8192)
        self._folder, self._dtype = folder, choose_dtype(dtype, where)
        self._prompt_space: CausalPromptSpace | None = None
        self._tokenizer = load_tokenizer(folder)
        self._model: Any = self._open(where)
        self._width = int(output_layer(self._model).weight.shape[1])
        self._name = name or f"hf:{reference}"
        self._prefixes = PrefixCache(prefix_bytes)

    @property
    def name(self) -> str:
        """Provenance."""
        return self._name

    @property
    def instruction(self) -> str:
        """The question, and how much of each answer is read."""
        return self._instruction.provenance

    @cached_property
    def fingerprint(self) -> str:
        """What rows, words and texts depend on: weights, tokenizer, instruction, number type."""
        said = [model_digest(self._folder), asdict(self._instruction), str(self._dtype)]
        return sha256_bytes(json.dumps(["hf", *said], sort_keys=True).encode())

    @property
    def wording(self) -> Instruction:
        """The whole instruction: stored with a catalog, so that devices ask the same."""
        return self._instruction

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
            xpert.errors.DataError: No pairs, pairs of images, or one that is longer than the model's positions.
            xpert.errors.SummarizerError: It is closed.
            xpert.errors.WeightsError: A hidden state is not finite.
        """
        check_texts(pairs, self._name)
        cut = dict(zip(texts := [t for pair in pairs for t in (pair.base, pair.other)], self._cut(texts), strict=True))
        rows = self._rows([self._question(pair, cut, cut[pair.other]) for pair in pairs])
        heads = [render(self._tokenizer, self._question(pair, cut, _GAP)).partition(_GAP)[0] for pair in pairs]
        hidden = self._paired(rows, heads)
        if n_candidates < 1:
            return Summary(embeddings=hidden)
        probabilities = next_distribution(output_layer(self._model), hidden)
        return Summary(embeddings=hidden, candidates=self._words(rows, probabilities, n_candidates))

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

    def unembedding(self, words: Sequence[str]) -> Array:
        """``(W, D)`` rows of the output layer, each of the token that a word begins with."""
        return unembedding_rows(output_layer(self._loaded()), self._tokenizer, words)

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
        self._prefixes = PrefixCache(0)

    def _open(self, device: torch.device) -> Any:
        """The model."""
        return load_model(self._folder, device=device, dtype=self._dtype)

    def _loaded(self) -> Any:
        if self._model is None:
            raise SummarizerError(f"summarizer {self._name} is closed: make a new one")
        return self._model

    def _question(self, pair: AnswerPair, cut: Mapping[str, str], other: str) -> str:
        return self._instruction.compare.format(a=cut[pair.base], b=other, prompt=pair.prompt)

    def _cut(self, answers: Sequence[str]) -> list[str]:
        most = self._instruction.max_answer_tokens
        rows = self._tokenizer(list(answers), add_special_tokens=False, verbose=False)["input_ids"]
        return [
            answer if len(ids) <= most else self._tokenizer.decode(ids[:most])
            for answer, ids in zip(answers, rows, strict=True)
        ]

    def _paired(self, rows: Sequence[Sequence[int]], heads: Sequence[str]) -> Array:
        """Last hidden states ``(P, D)`` of the questions, given the texts that they begin with."""
        return self._hidden(rows, "summarizing", self._known(rows, heads))

    def _words(self, rows: Sequence[Sequence[int]], probabilities: torch.Tensor, n: int) -> tuple[Candidate, ...]:
        """The words that come next after the rows."""
        return next_words(
            self._model,
            self._tokenizer,
            rows,
            probabilities,
            n,
            token_budget=self._word_budget,
            rules=self._instruction.rules,
        )

    def _prefix_tokens(self, heads: Sequence[str]) -> dict[str, list[int]]:
        """What questions begin with, text to token ids: its own without the last one, which may be another before other text."""
        special = not self._tokenizer.chat_template
        different = list(dict.fromkeys(heads))
        alone = self._tokenizer(different, add_special_tokens=special, verbose=False)["input_ids"]
        return {head: list(ids[:-1]) for head, ids in zip(different, alone, strict=True) if len(ids) > 1}

    def _known(self, rows: Sequence[Sequence[int]], heads: Sequence[str]) -> Known:
        """Keys and values of the rows' shared prefixes, those of new ones computed; none where they do not all fit.

        What a row takes of a prefix depends on prefix and row alone.
        """
        model, tokens = self._loaded(), self._prefix_tokens(heads)
        if not self._prefixes.fits(kv_bytes_per_token(model) * sum(map(len, tokens.values()))):
            return [None] * len(rows)
        new = {head: tokens[head] for head in self._prefixes.missing(heads) if head in tokens}
        keep_prefixes(model, self._prefixes, new, pad_id=self._pad_id)
        return [self._prefixes.find(head, row) for head, row in zip(heads, rows, strict=True)]

    def _rows(self, texts: Sequence[str]) -> list[list[int]]:
        prefix = self._instruction.answer_prefix
        rows = token_ids(self._tokenizer, [render(self._tokenizer, text) + prefix for text in texts])
        positions = getattr(self._loaded().config, "max_position_embeddings", None)
        longest = max(map(len, rows))
        if positions is not None and longest + MAX_PIECES > positions:
            raise DataError(
                f"pair {[len(row) for row in rows].index(longest) + 1} of {len(rows)}: {longest} tokens exceed the "
                f"{positions} positions of {self._name}; lower max_answer_tokens (now {self._instruction.max_answer_tokens})"
            )
        return rows

    @property
    def _pad_id(self) -> int:
        pad = self._tokenizer.pad_token_id
        return 0 if pad is None else pad

    def _hidden(self, rows: Sequence[Sequence[int]], what: str, known: Known | None = None) -> Array:
        return last_hidden(
            self._loaded(),
            rows,
            pad_id=self._pad_id,
            token_budget=self._token_budget,
            batch_size=self._batch_size,
            what=what,
            known=known,
        )
