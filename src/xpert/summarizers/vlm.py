"""A vision-language summarizer: any chat VLM that Transformers loads is shown both images and asked for one word."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from string import Formatter

import numpy as np
import torch

from xpert.errors import DataError, SettingsError, SummarizerError, WeightsError
from xpert.loading import choose_device, choose_dtype
from xpert.progress import track
from xpert.protocols import SummarizerDefaults
from xpert.references import resolve
from xpert.summarizers.answers import check_images
from xpert.summarizers.aspects import IMAGE_STYLE, InstructionLike, find_instruction
from xpert.summarizers.causal import HANDFUL, MAX_PIECES, next_distribution, unembedding_rows, words_after
from xpert.summarizers.instructions import Instruction, load_instruction
from xpert.summarizers.vision_language import Part, VisionLanguageModel, within
from xpert.summarizers.words import WordRules, best_candidates, clean_word
from xpert.tensors.files import sha256_bytes
from xpert.types import AnswerPair, Array, Candidate, Summary
from xpert.weights import model_digest

__all__ = ["PROPOSE", "VLMSummarizer", "listed_adjectives", "turn_of"]

PROPOSE = (
    "Two pictures of the same subject differ in their style.\n\nPicture A:\n{a}\n\nPicture B:\n{b}\n\n"
    "List up to five adjectives for the style or look that is more characteristic of picture B than of picture A. "
    "Reply with the adjectives in lower case, separated by commas, and nothing else."
)
_PROPOSAL_TOKENS = 40
_WORD_BUDGET = 16384


class VLMSummarizer:
    """A vision-language model as a summarizer; matches `xpert.protocols.Summarizer` and ``WordProposer``.

    Both images and the instruction make one chat turn; the hidden state at the last position, before the output layer, is the
    pair's embedding, and the words that the model would say next are the candidates. Pairs go through one at a time.

    Args:
        reference: A folder or a Hub id, such as ``Qwen/Qwen2.5-VL-7B-Instruct``.
        device: Where it runs; None: a CUDA device if there is one, else the CPU.
        dtype: ``float32``, ``bfloat16``, ``float16`` or ``auto`` (as stored); None: float32 on the CPU, as stored elsewhere.
        instruction: What it is asked: a shipped instruction's name, a JSON file, or an `Instruction`, whose ``{a}`` and ``{b}`` are
            where the images stand. None: what its folder brings, else ``image-style``.
        max_pixels: Images with more pixels are made smaller first; None: only as the model's own processor does.
        question: What it is asked when it proposes words, with ``{a}`` and ``{b}``.
        name: Provenance; None: ``vlm:REFERENCE``.

    Raises:
        xpert.errors.ReferenceNotFoundError: The reference names nothing.
        xpert.errors.IncompatibleModelError: It is no chat VLM, or tokenizer, image processor or chat template are missing.
        xpert.errors.WeightsError: Its weights are missing, pickled or not finite.

    Source: Wang et al. 2025 (arXiv 2504.13938), sections 4.1 and 7.7; `propose` as the authors' script does. The wording is ours.
    """

    def __init__(
        self,
        reference: str | Path,
        *,
        device: str | None = None,
        dtype: str | None = None,
        instruction: InstructionLike | None = None,
        max_pixels: int | None = 512 * 512,
        question: str = PROPOSE,
        name: str | None = None,
    ) -> None:
        if max_pixels is not None and max_pixels < 64:
            raise SettingsError(f"max_pixels: expected 64 or more, got {max_pixels}")
        turn_of(question, "", "")
        folder, where = resolve(reference), choose_device(device)
        own = load_instruction(folder) if instruction is None else None
        self._instruction = own or find_instruction(IMAGE_STYLE if instruction is None else instruction)
        if not self._instruction.asks:
            raise SettingsError(
                f"instruction {self._instruction.name}: expected compare, write and meaning, which a model is asked; "
                "it has words alone, for encoders"
            )
        self._max_pixels, self._question = max_pixels, question
        self._folder, self._dtype = folder, choose_dtype(dtype, where)
        self._model: VisionLanguageModel | None = VisionLanguageModel(folder, device=where, dtype=self._dtype)
        self._width = int(self._model.layer.weight.shape[1])
        self._name = name or f"vlm:{reference}"

    @property
    def name(self) -> str:
        """``vlm:REFERENCE``."""
        return self._name

    @property
    def instruction(self) -> str:
        """The question, and how large images are at most."""
        own, most = self._instruction, self._max_pixels
        size = "images as they are" if most is None else f"images of {most} pixels at most"
        prefix = f" [the reply begins: {own.answer_prefix!r}]" if own.answer_prefix else ""
        return f"{own.name} ({size}): {own.compare}{prefix}"

    @cached_property
    def fingerprint(self) -> str:
        """What rows and words depend on: weights, processor, tokenizer, instruction, size of images, number type."""
        said = [model_digest(self._folder), asdict(self._instruction), self._max_pixels, self._question]
        return sha256_bytes(json.dumps(["vlm", *said, str(self._dtype)], sort_keys=True).encode())

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
        """Null-centering and the paper's thresholds, unless its folder brings others; sub-vectors that need nobody else."""
        own = self._instruction
        return SummarizerDefaults(
            eps_orth=own.eps_orth, eps_dec=own.eps_dec, subvectors="unembedded", max_candidates=own.max_candidates
        )

    def summarize(self, pairs: Sequence[AnswerPair], *, n_candidates: int = 0) -> Summary:
        """Embed each pair; with ``n_candidates``, also the words that it would most likely say, best first.

        Raises:
            xpert.errors.DataError: No pairs, a text among the answers, an image that cannot be read, or a turn that is longer than
                the model's positions.
            xpert.errors.SummarizerError: It is closed.
            xpert.errors.WeightsError: A hidden state is not finite.
        """
        check_images(pairs, self._name)
        model = self._loaded()
        hidden = np.zeros((len(pairs), self._width), np.float32)
        for row, pair in enumerate(track(pairs, "summarizing", unit="pair")):
            hidden[row] = model.last_hidden(self._inputs(pair)).numpy()
        if not np.isfinite(hidden).all():
            raise WeightsError(
                f"the hidden states of {self._name} are not finite: its weights hold NaN, or the dtype overflows"
            )
        return Summary(embeddings=hidden, candidates=self._candidates(pairs, hidden, n_candidates))

    def propose(self, pairs: Sequence[AnswerPair], n: int) -> tuple[Candidate, ...]:
        """At most ``n`` words, the most often listed first: it lists adjectives for each pair, which are counted.

        Args:
            pairs: Pairs of images.
            n: Words wanted.

        Returns:
            Words with the share of the pairs for which each was listed.

        Raises:
            xpert.errors.DataError, xpert.errors.SummarizerError: As `summarize`.
        """
        check_images(pairs, self._name)
        model, rules, counts = self._loaded(), self._instruction.rules, Counter[str]()
        for pair in track(pairs, "proposing words", unit="pair"):
            turn = turn_of(self._question, *self._images(pair), prompt=pair.prompt)
            counts.update(
                set(listed_adjectives(model.reply(self._checked(model.inputs(turn)), _PROPOSAL_TOKENS), rules))
            )
        return best_candidates({word: count / len(pairs) for word, count in counts.items()}, n)

    def unembedding(self, words: Sequence[str]) -> Array:
        """``(W, D)`` rows of the output layer, each of the token that a word begins with."""
        return unembedding_rows(self._loaded().layer, self._loaded().tokenizer, words)

    def close(self) -> None:
        """Free the weights; a second call does nothing."""
        self._model = None

    def _loaded(self) -> VisionLanguageModel:
        if self._model is None:
            raise SummarizerError(f"summarizer {self._name} is closed: make a new one")
        return self._model

    def _images(self, pair: AnswerPair) -> tuple[Part, Part]:
        return within(pair.base, self._max_pixels), within(pair.other, self._max_pixels)

    def _inputs(self, pair: AnswerPair) -> dict[str, torch.Tensor]:
        own = self._instruction
        turn = turn_of(own.compare, *self._images(pair), prompt=pair.prompt)
        return self._checked(self._loaded().inputs(turn, own.answer_prefix))

    def _checked(self, inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        n_tokens, most = inputs["input_ids"].shape[1], self._loaded().n_positions
        if most is not None and n_tokens + MAX_PIECES > most:
            raise DataError(
                f"two images and the question are {n_tokens} tokens, more than the {most} positions of {self._name}: "
                f"lower max_pixels (now {self._max_pixels})"
            )
        return inputs

    def _candidates(self, pairs: Sequence[AnswerPair], hidden: Array, n: int) -> tuple[Candidate, ...]:
        """The words most likely next, pieces completed after a handful of different pairs, whatever order they come in."""
        if n < 1:
            return ()
        model = self._loaded()
        different = sorted({(pair.base, pair.other, pair.prompt): pair for pair in pairs}.items())
        places = np.unique(np.linspace(0, len(different) - 1, num=min(HANDFUL, len(different))).round().astype(int))
        return words_after(
            [model.read(self._inputs(different[place][1])) for place in places],
            next_distribution(model.layer, hidden),
            n,
            layer=model.layer,
            step=model.step,
            tokenizer=model.tokenizer,
            token_budget=_WORD_BUDGET,
            rules=self._instruction.rules,
        )


def turn_of(template: str, a: Part, b: Part, *, prompt: str = "") -> list[Part]:
    """A chat turn: a template's texts, with the images where ``{a}`` and ``{b}`` stand and the prompt where ``{prompt}`` does.

    Raises:
        xpert.errors.SettingsError: ``{a}`` or ``{b}`` is missing, or there is another field.

    >>> turn_of("First: {a} second: {b} of {prompt}?", "<1>", "<2>", prompt="a cat")
    ['First: ', '<1>', ' second: ', '<2>', ' of a cat?']
    """
    images: dict[str, Part] = {"a": a, "b": b}
    turn: list[Part] = []
    text, fields = "", set[str]()
    for literal, field, _, _ in Formatter().parse(template):
        text += literal
        if field is None:
            continue
        fields.add(field)
        if field in images:
            turn += [text, images[field]] if text else [images[field]]
            text = ""
        else:
            text += prompt
    if not {"a", "b"} <= fields <= {"a", "b", "prompt"}:
        raise SettingsError(f"question: expected {{a}} and {{b}} in it, where the images stand, got {template!r}")
    return [*turn, text] if text else turn


def listed_adjectives(reply: str, rules: WordRules) -> list[str]:
    r"""The words of a list: of each item (between commas, semicolons and line ends) the first that counts as a word.

    >>> listed_adjectives("Neon, very glowing\n3. hand-drawn; the", WordRules())
    ['neon', 'glowing', 'hand-drawn']
    """
    items = reply.replace(";", ",").replace("\n", ",").split(",")
    cleaned = ([clean_word(word.strip(" .:*\"'()-"), rules) for word in item.split()] for item in items)
    return [word for item in cleaned if (word := next((w for w in item if w is not None), None)) is not None]
