"""Table 3 of the paper: the error of prompt-tuned sub-vectors, against trainable tokens and training samples.

A *sample* is a word and the contrastive sub-vector that some of its styled texts give (`draw_samples`). The error is taken on words
that no sample is about, against their contrastive sub-vectors from all their texts.

Source: Wang et al. 2025 (arXiv 2504.13938), section 4.3, Table 3. The paper says "samples of instruction-response pairs" and does not
say how many make a sub-vector; words that are held out, the mean as a yardstick and the noise floor are ours.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save

from xpert.errors import DataError
from xpert.probing import choose_prompts
from xpert.protocols import PromptTunable, SubvectorContext, Summarizer
from xpert.registry import MODALITIES
from xpert.subvectors.contrastive import ContrastiveSubvectors
from xpert.subvectors.prompt_tuning import TuningSettings, cosine_distances, draw_samples, predicted, tune_prompt
from xpert.subvectors.tuned_prompt import TunedPrompt
from xpert.tensors.files import write_bytes
from xpert.types import AnswerPair, Array, Generation

__all__ = ["ContrastiveData", "TuningRow", "contrastive_data", "held_out_words", "noise_floor", "score", "table"]

TOKENS = (10, 25, 50)
SAMPLES = (50, 100, 200, 300, 400)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ContrastiveData:
    """What contrastive sub-vectors are made of, before they are averaged.

    Attributes:
        summarizer: Whose embeddings they are: its weights' SHA-256.
        words: ``W`` words.
        rows: ``(W, P, D)`` per word the embeddings of its pairs (base answer, styled text), not centred.
        null: ``(D,)`` the null embedding.
    """

    summarizer: str
    words: tuple[str, ...]
    rows: Array
    null: Array

    def vectors(self, words: Sequence[str]) -> Array:
        """``(len(words), D)`` contrastive sub-vectors from all texts."""
        return (self._of(words).mean(axis=1, dtype=np.float64) - self.null).astype(np.float32)

    def without(self, words: Sequence[str]) -> ContrastiveData:
        """The other words' data."""
        kept = tuple(word for word in self.words if word not in set(words))
        return replace(self, words=kept, rows=self._of(kept))

    def save(self, path: str | Path) -> Path:
        """Write it as safetensors."""
        header = {"words": json.dumps(list(self.words)), "summarizer": self.summarizer}
        return write_bytes(path, save({"rows": self.rows, "null": self.null}, metadata=header))

    @classmethod
    def load(cls, path: str | Path) -> ContrastiveData:
        """Read what `save` wrote."""
        with safe_open(path, framework="numpy") as file:
            header = file.metadata()
            rows, null = file.get_tensor("rows"), file.get_tensor("null")
        return cls(summarizer=header["summarizer"], words=tuple(json.loads(header["words"])), rows=rows, null=null)

    def _of(self, words: Sequence[str]) -> Array:
        place = {word: i for i, word in enumerate(self.words)}
        if unknown := [word for word in words if word not in place]:
            raise DataError(f"expected words that texts were written for, got {unknown[0]!r}: write them first")
        return self.rows[[place[word] for word in words]]


@dataclass(frozen=True, slots=True, kw_only=True)
class TuningRow:
    """One cell of Table 3.

    Attributes:
        n_tokens, n_samples: Of the cell.
        error: Mean cosine distance of the held-out words' vectors from their contrastive ones.
        error_of_mean: The same for always predicting the mean of the training words' sub-vectors.
        own_or_synonym: Share of held-out words whose nearest contrastive sub-vector (by cosine, of all words) is their own
            or a synonym's.
        length_error: Mean ``|log(predicted length / contrastive length)|``.
        trained_error: Mean cosine distance on the samples themselves.
        seconds: Of tuning.
    """

    n_tokens: int
    n_samples: int
    error: float
    error_of_mean: float
    own_or_synonym: float
    length_error: float
    trained_error: float
    seconds: float


def contrastive_data(
    summarizer: Summarizer, base: str, words: Sequence[str], *, n_prompts: int = 48, seed: int = 0
) -> ContrastiveData:
    """Let base and summarizer write: the base's answers, its second answers, and texts in the style of every word.

    Raises:
        xpert.errors.SummarizerError: The summarizer cannot write.
        xpert.errors.ReferenceNotFoundError: There is no such base.
    """
    with MODALITIES.get("text")().open(base) as prober:
        prompts = choose_prompts(prober, [], None, n_prompts=n_prompts, seed=seed)
        generation = Generation(seed=seed)
        base_answers = prober.answer(None, prompts, generation)
        again, _ = prober.second_answer(prompts, generation)
    triples = zip(prompts, base_answers, again, strict=True)
    pairs = [AnswerPair(prompt=prompt, base=first, other=second) for prompt, first, second in triples]
    null = summarizer.summarize(pairs).embeddings.mean(axis=0, dtype=np.float64).astype(np.float32)
    context = SubvectorContext(summarizer=summarizer, prompts=prompts, base_answers=base_answers, null=null, seed=seed)
    rows = list(ContrastiveSubvectors(n_prompts=None).pair_embeddings(words, context))
    return ContrastiveData(summarizer=digest_of(summarizer), words=tuple(words), rows=np.stack(rows), null=null)


def digest_of(summarizer: Summarizer) -> str:
    """The weights' SHA-256, or the name of one that takes no input embeddings."""
    return summarizer.prompt_space().digest if isinstance(summarizer, PromptTunable) else summarizer.name


def held_out_words(families: Mapping[str, Sequence[str]], *, a_family: int = 2, seed: int = 0) -> tuple[str, ...]:
    """So many words of each family of synonyms, drawn by the seed; at least one of a family is left to train on."""
    rng = random.Random(seed)
    drawn = [rng.sample(list(family), min(a_family, len(family) - 1)) for family in families.values()]
    return tuple(word for words in drawn for word in words)


def noise_floor(data: ContrastiveData, words: Sequence[str]) -> float:
    """Mean cosine distance between the sub-vectors that two halves of a word's texts give.

    Each half has half the texts, so a vector from all texts is about a quarter of this away from the one of endless texts.
    """
    kept = replace(data, words=tuple(words), rows=np.stack([data.rows[data.words.index(word)] for word in words]))
    halves = [replace(kept, rows=kept.rows[:, start::2]).vectors(words) for start in (0, 1)]
    return float(cosine_distances(*halves).mean())


def score(
    predictions: Array, data: ContrastiveData, words: Sequence[str], families: Mapping[str, Sequence[str]]
) -> dict[str, float]:
    """How near predicted sub-vectors ``(len(words), D)`` come to the contrastive ones: fields of `TuningRow`."""
    truth, every = data.vectors(words), data.vectors(data.words)
    mean = data.without(words).vectors(data.without(words).words).mean(axis=0)
    family_of = {word: name for name, family in families.items() for word in family}
    cosines = predictions @ (every / np.linalg.norm(every, axis=1, keepdims=True)).T
    nearest = [data.words[i] for i in cosines.argmax(axis=1)]
    lengths = np.linalg.norm(predictions, axis=1) / np.linalg.norm(truth, axis=1)
    return {
        "error": float(cosine_distances(predictions, truth).mean()),
        "error_of_mean": float(cosine_distances(np.broadcast_to(mean, truth.shape), truth).mean()),
        "own_or_synonym": float(np.mean([family_of[a] == family_of[b] for a, b in zip(words, nearest, strict=True)])),
        "length_error": float(np.abs(np.log(lengths)).mean()),
    }


def tuned_on(
    summarizer: Summarizer, data: ContrastiveData, held_out: Sequence[str], *, n_samples: int, settings: TuningSettings
) -> TunedPrompt:
    """A prompt tuned on samples of all words but the held-out ones, which validate it."""
    training = data.without(held_out)
    words, targets = draw_samples(training.words, training.rows, data.null, n_samples=n_samples, seed=settings.seed)
    validation = (held_out, data.vectors(held_out))
    return tune_prompt(summarizer, words, targets, null=data.null, settings=settings, validation=validation)


def table(
    summarizer: Summarizer,
    data: ContrastiveData,
    held_out: Sequence[str],
    families: Mapping[str, Sequence[str]],
    *,
    tokens: Sequence[int] = TOKENS,
    samples: Sequence[int] = SAMPLES,
    settings: TuningSettings | None = None,
) -> Iterator[TuningRow]:
    """Table 3, cell by cell, each as soon as it is measured.

    Args:
        summarizer: The one that the data was written by (`xpert.protocols.PromptTunable`).
        data: Texts of all words.
        held_out: The words that the error is taken on; no sample is about them.
        families: Name to words that count as synonyms; every word of the data is in one.
        tokens: Rows.
        samples: Columns.
        settings: Of the tuning; ``n_tokens`` is the cell's.

    Raises:
        xpert.errors.DataError: The data is of another summarizer.
    """
    if not isinstance(summarizer, PromptTunable) or digest_of(summarizer) != data.summarizer:
        raise DataError(f"the texts are of another summarizer than {summarizer.name}: write them with it")
    for n_tokens in tokens:
        for n_samples in samples:
            start = time.perf_counter()
            own = replace(settings or TuningSettings(), n_tokens=n_tokens)
            tuned = tuned_on(summarizer, data, held_out, n_samples=n_samples, settings=own)
            seconds = time.perf_counter() - start
            rows = predicted(summarizer.prompt_space(), tuned, held_out) - data.null
            yield TuningRow(
                n_tokens=n_tokens,
                n_samples=n_samples,
                trained_error=tuned.training.last_loss,
                seconds=seconds,
                **score(rows, data, held_out, families),
            )
