"""An image encoder as a summarizer: CLIP or SigLIP; what changes between two images is the difference of their embeddings."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from xpert.errors import SettingsError, SummarizerError
from xpert.loading import choose_device
from xpert.progress import track
from xpert.protocols import Summarizer, SummarizerDefaults, WordProposer
from xpert.references import resolve
from xpert.summarizers.answers import check_images
from xpert.summarizers.aspects import IMAGE_STYLE, InstructionLike, find_instruction
from xpert.summarizers.image_text import ImageTextModel
from xpert.summarizers.instructions import Instruction, load_instruction
from xpert.summarizers.ranking import WordDirections, encoder_wording, listed_words
from xpert.summarizers.whole_texts import encode_whole, finite_units
from xpert.tensors.files import sha256_bytes
from xpert.types import AnswerPair, Array, Candidate, Summary
from xpert.weights import model_digest

__all__ = ["ImageEncoderSummarizer"]

DTYPES = ("float32", "bfloat16", "float16")
_TOKEN_BUDGET = 4096


class ImageEncoderSummarizer:
    """An image-text encoder as a summarizer; matches `xpert.protocols.Summarizer` and ``TextEncoder``.

    The embedding of a pair is ``enc(other) - enc(base)``, both image features of unit norm. Images of any size are resized and
    cropped as the encoder's folder says, so base and other need not be of one size. Candidates are ranked by the cosine between the
    mean embedding and each word's own direction: the text features of the word in its carriers, relative to their mean over all
    words (texts and images lie apart in such spaces; in differences of either that falls out).

    Args:
        reference: A folder or a Hub id of a Transformers model with ``get_image_features`` and ``get_text_features``.
        device: Where it runs; None: a CUDA device if there is one, else the CPU.
        dtype: ``float32``, ``bfloat16`` or ``float16``; None: float32. Features are float32 at last.
        words: Candidate words; None: the instruction's.
        carriers: Texts with ``{word}`` that say the word of a picture; None: the instruction's.
        instruction: The aspect: a shipped instruction's name, a JSON file, or an `Instruction` that has words and carriers. None:
            what its folder brings (``xpert_instruction.json``: words that it knows), else ``image-style``.
        proposer: Who proposes the candidates from the images themselves: a vision-language model (``vlm:REF`` or an object with
            ``propose``). Its words are ranked as usual, and no others are used. None: the list is ranked. Opened by name, it is
            closed with this one.
        batch_size: Images in a batch at most.
        name: Provenance; None: ``encoder:REFERENCE``.

    Raises:
        xpert.errors.ReferenceNotFoundError: The reference names nothing.
        xpert.errors.IncompatibleModelError: It is no image-text model, or its tokenizer or image processor are missing.
        xpert.errors.WeightsError: Its weights are missing, pickled or not finite.
        xpert.errors.MissingDependencyError: Pillow is not installed.

    Source: Wang et al. 2025 (arXiv 2504.13938), section 7.7, and the authors' script. Unit norms, and words relative to their mean, are
        ours.
    """

    def __init__(
        self,
        reference: str | Path,
        *,
        device: str | None = None,
        dtype: str | None = None,
        words: Sequence[str] | None = None,
        carriers: Sequence[str] | None = None,
        instruction: InstructionLike | None = None,
        proposer: str | WordProposer | None = None,
        batch_size: int = 32,
        name: str | None = None,
    ) -> None:
        if batch_size < 1:
            raise SettingsError(f"batch_size: expected 1 or more, got {batch_size}")
        if dtype is not None and dtype not in DTYPES:
            raise SettingsError(f"dtype: expected one of {', '.join(DTYPES)}, got {dtype!r}")
        self._folder, self._dtype = resolve(reference), dtype or "float32"
        self._default = find_instruction(IMAGE_STYLE)
        usual = load_instruction(self._folder) or self._default
        self._wording = encoder_wording(instruction, usual, words, carriers)
        self._name, self._batch_size = name or f"encoder:{reference}", batch_size
        self._model: ImageTextModel | None = ImageTextModel(
            self._folder, device=choose_device(device), dtype=self._dtype
        )
        self._width = self._model.width()
        self._directions = WordDirections(self.encode, self.words, self.carriers)
        self._owned, self._proposer = _opened(proposer, device)

    @property
    def name(self) -> str:
        """``encoder:REFERENCE``."""
        return self._name

    @property
    def instruction(self) -> str:
        """How it encodes."""
        listed = listed_words(self._wording, self._default)
        return f"difference of unit image features; {listed}, each said as: {' | '.join(self.carriers)}"

    @cached_property
    def fingerprint(self) -> str | None:
        """What rows and words depend on: weights, processing, how it encodes, the words or who proposes them, number type."""
        proposed: str | None = ""
        if self._proposer is not None:
            proposed = getattr(self._proposer, "fingerprint", None)
            if proposed is None:
                return None
        said = [model_digest(self._folder), self.instruction, list(self.words), self._dtype, proposed]
        return sha256_bytes(json.dumps(["image encoder", *said]).encode())

    @property
    def wording(self) -> Instruction:
        """The whole instruction, words and carriers: stored with a catalog, so that devices and later runs have the same."""
        return self._wording

    @property
    def width(self) -> int:
        """``D``: the width of the space that images and texts share."""
        return self._width

    @property
    def words(self) -> tuple[str, ...]:
        """The words that captioned sub-vectors are relative to."""
        return self._wording.words

    @property
    def carriers(self) -> tuple[str, ...]:
        """The texts that say a word of a picture."""
        return self._wording.carriers

    @property
    def defaults(self) -> SummarizerDefaults:
        """Captions as sub-vectors; identical images differ by nothing, so nothing is centred.

        Words for looks stand close to each other: with drawn pictures of nine styles, 0.1 left two axes, 0.25 four, 0.7 eight, 0.8
        nine, of which eight were the strongest of their style (``docs/images.md``).
        """
        return SummarizerDefaults(
            eps_orth=0.8, eps_dec=0.2, subvectors="captioned", centering="none", max_candidates=128
        )

    def summarize(self, pairs: Sequence[AnswerPair], *, n_candidates: int = 0) -> Summary:
        """Embed each pair; with ``n_candidates``, also the words (proposed, or of the list) nearest to the mean embedding.

        Raises:
            xpert.errors.DataError: No pairs, a text among the answers, or an image that cannot be read.
            xpert.errors.SummarizerError: It is closed.
            xpert.errors.WeightsError: An embedding is not finite.
        """
        check_images(pairs, self._name)
        different = list(dict.fromkeys(image for pair in pairs for image in (pair.base, pair.other)))
        row_of = {image: row for row, image in enumerate(different)}
        rows = self.encode_images(different)
        bases, others = [row_of[pair.base] for pair in pairs], [row_of[pair.other] for pair in pairs]
        embeddings = rows[others] - rows[bases]
        return Summary(embeddings=embeddings, candidates=self._candidates(pairs, embeddings, n_candidates))

    def encode_images(self, images: Sequence[str]) -> Array:
        """``(N, D)`` float32 features of images (paths or data URIs), each of unit norm.

        Raises:
            xpert.errors.DataError: One cannot be read.
            xpert.errors.SummarizerError: It is closed.
            xpert.errors.WeightsError: A feature is not finite.
        """
        model = self._loaded()
        rows = np.zeros((len(images), self._width), np.float32)
        firsts = range(0, len(images), self._batch_size)
        for first in track(firsts, "encoding images", unit="batch"):
            rows[first : first + self._batch_size] = model.image_features(images[first : first + self._batch_size])
        return finite_units(rows, self._name).astype(np.float32)

    def encode(self, texts: Sequence[str]) -> Array:
        """``(N, D)`` float32 text features of whole texts: the mean of their chunks' unit vectors, weighted by tokens.

        Raises:
            xpert.errors.SummarizerError: It is closed.
            xpert.errors.WeightsError: A feature is not finite.
        """
        model = self._loaded()
        return encode_whole(
            texts,
            model.text_features,
            tokenizer=model.tokenizer,
            max_tokens=model.max_tokens,
            width=self._width,
            token_budget=_TOKEN_BUDGET,
            batch_size=None,
            name=self._name,
        )

    def close(self) -> None:
        """Free the weights, and the proposer if it was opened by name; a second call does nothing."""
        self._model = None
        if self._owned is not None:
            self._owned.close()

    def _loaded(self) -> ImageTextModel:
        if self._model is None:
            raise SummarizerError(f"summarizer {self._name} is closed: make a new one")
        return self._model

    def _candidates(self, pairs: Sequence[AnswerPair], embeddings: Array, n: int) -> tuple[Candidate, ...]:
        if n < 1 or self._proposer is None:
            return self._directions.rank(embeddings, n)
        proposed = [candidate.word for candidate in self._proposer.propose(pairs, n)]
        return self._directions.rank(embeddings, n, among=proposed)


def _opened(proposer: str | WordProposer | None, device: str | None) -> tuple[Summarizer | None, WordProposer | None]:
    """Who proposes, and the same if it was opened here and is to be closed."""
    if not isinstance(proposer, str):
        if proposer is not None and not isinstance(proposer, WordProposer):
            raise SettingsError(f"proposer: expected vlm:REF or an object with propose, got {type(proposer).__name__}")
        return None, proposer
    from xpert.summarizers import load_summarizer

    opened = load_summarizer(proposer, device=device)
    if not isinstance(opened, WordProposer):
        opened.close()
        raise SettingsError(f"proposer: {proposer} cannot propose words for images: expected vlm:REF")
    return opened, opened
