"""Prompt tuning: a trainable prefix and suffix around a word, so that the last hidden state is the word's contrastive sub-vector."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike

from xpert.errors import SettingsError, TrainingError
from xpert.progress import bar
from xpert.protocols import PromptSpace, PromptTunable, Summarizer
from xpert.subvectors.tuned_prompt import TunedPrompt, TuningFigures
from xpert.types import Array

__all__ = ["TuningSettings", "cosine_distances", "draw_samples", "predicted", "resized", "tune_prompt"]

WORDS_AT_ONCE = 512
"""Words in one forward pass at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TuningSettings:
    """How a prompt is tuned.

    Attributes:
        n_tokens: Trainable tokens, prefix and suffix together.
        steps: Steps of Adam.
        lr: Its learning rate after ``warmup`` steps; it falls to 0 along a cosine.
        warmup: Steps over which the rate rises.
        batch_size: Samples a step.
        length_weight: Weight of the squared difference of log lengths beside the cosine distance; 0: direction alone.
        seed: Of the order of the samples.
    """

    n_tokens: int = 25
    steps: int = 300
    lr: float = 0.02
    warmup: int = 20
    batch_size: int = 32
    length_weight: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the options.

        Raises:
            xpert.errors.SettingsError: One is out of range.
        """
        for name, least in (("n_tokens", 2), ("steps", 1), ("warmup", 0), ("batch_size", 1)):
            if getattr(self, name) < least:
                raise SettingsError(f"{name}: expected {least} or more, got {getattr(self, name)}")
        if not 0 < self.lr < math.inf or not 0 <= self.length_weight < math.inf:
            raise SettingsError(
                f"expected lr above 0 and length_weight from 0, both finite, got {self.lr} and {self.length_weight}"
            )


def draw_samples(
    words: Sequence[str], rows: Array, null: Array, *, n_samples: int, n_pairs: int = 24, seed: int = 0
) -> tuple[list[str], Array]:
    """Samples for `tune_prompt`: each is a word, and the sub-vector that ``n_pairs`` of its styled texts give.

    Words come in a seeded order, over and over, so that each is drawn as often as any other (to one). The pairs of a sample
    are drawn without replacement, so that two samples of a word share some of their texts but differ in their noise.

    Args:
        words: ``W`` different words.
        rows: ``(W, P, D)`` per word the embeddings of its pairs (base answer, styled text), not centred.
        null: ``(D,)`` the null embedding.
        n_samples: ``N``.
        n_pairs: Pairs a sample.
        seed: Of order and pairs.

    Returns:
        ``N`` words and their sub-vectors ``(N, D)``, centred.

    Raises:
        xpert.errors.SettingsError: Fewer pairs a word than a sample takes, or no words.
    """
    if not len(words) or rows.ndim != 3 or len(rows) != len(words) or not 1 <= n_pairs <= rows.shape[1]:
        raise SettingsError(
            f"samples: expected words with {n_pairs} pairs or more each, as rows (W, P, D), got {len(words)} words and "
            f"rows of shape {rows.shape}"
        )
    rng = np.random.default_rng(seed)
    places: list[int] = []
    while len(places) < n_samples:
        places += rng.permutation(len(words)).tolist()
    chosen = [rng.choice(rows.shape[1], n_pairs, replace=False) for _ in range(n_samples)]
    means = [rows[place][pairs].mean(axis=0, dtype=np.float64) for place, pairs in zip(places, chosen, strict=False)]
    return [words[place] for place in places[:n_samples]], (np.stack(means) - null).astype(np.float32)


def tune_prompt(
    summarizer: Summarizer,
    words: Sequence[str],
    targets: Array,
    *,
    null: Array,
    settings: TuningSettings | None = None,
    validation: tuple[Sequence[str], Array] | None = None,
) -> TunedPrompt:
    """Tune a prompt on samples (word, sub-vector); the summarizer's weights stay as they are.

    Args:
        summarizer: An LLM summarizer held in memory (`xpert.protocols.PromptTunable`).
        words: ``N`` words; a word may occur several times.
        targets: ``(N, D)`` their sub-vectors in the centred space.
        null: ``(D,)`` the null embedding that was subtracted from them.
        settings: How; None: the defaults.
        validation: Words that are not trained on, and their sub-vectors; their error is told.

    Returns:
        The prompt, with its figures.

    Raises:
        xpert.errors.SettingsError: Words and targets do not belong together, or the summarizer takes no input embeddings.
        xpert.errors.TrainingError: The loss is not finite.

    Source: Wang et al. 2025 (arXiv 2504.13938), section 4.3. The paper leaves optimizer, steps and the split of the tokens
        open; subtracting the null embedding and the term of the length are ours.
    """
    settings = settings or TuningSettings()
    if not isinstance(summarizer, PromptTunable):
        raise SettingsError(
            f"prompt tuning needs an LLM summarizer held in memory, and {summarizer.name} takes no input embeddings: "
            "use hf: or zoo:summarizer"
        )
    space = summarizer.prompt_space()
    samples = _Samples.of(space, words, targets, null)
    start = resized(*space.text_embeddings(), settings.n_tokens)
    prompt = _trained(space, samples, start, settings)
    held_out = None if validation is None else _Samples.of(space, *validation, null)
    figures = TuningFigures(
        n_samples=len(words),
        n_words=len(samples.embeddings),
        steps=settings.steps,
        lr=settings.lr,
        batch_size=settings.batch_size,
        length_weight=settings.length_weight,
        seed=settings.seed,
        first_loss=samples.error(space, start),
        last_loss=samples.error(space, prompt),
        validation_loss=None if held_out is None else held_out.error(space, prompt),
    )
    return TunedPrompt(
        prefix=prompt[0].cpu().numpy(),
        suffix=prompt[1].cpu().numpy(),
        summarizer=space.summarizer,
        digest=space.digest,
        text=space.text,
        training=figures,
    )


def resized(prefix: torch.Tensor, suffix: torch.Tensor, n_tokens: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The text's embeddings as ``n_tokens`` trainable ones, split between prefix and suffix as the text is.

    Within each part tokens are repeated, or left out, evenly and in their order.

    Args:
        prefix: ``(p, E)`` before the word.
        suffix: ``(s, E)`` after it.
        n_tokens: Trainable tokens in all, two or more.

    >>> a, b = resized(torch.arange(4.0)[:, None], torch.arange(2.0)[:, None], 9)
    >>> a[:, 0].tolist(), b[:, 0].tolist()
    ([0.0, 0.0, 1.0, 2.0, 2.0, 3.0], [0.0, 0.0, 1.0])
    """
    after = round(n_tokens * len(suffix) / (len(prefix) + len(suffix)))
    after = min(max(after, 1), n_tokens - 1)
    return _stretched(prefix, n_tokens - after), _stretched(suffix, after)


def predicted(space: PromptSpace, tuned: TunedPrompt, words: Sequence[str]) -> Array:
    """``(W, D)`` float32 last hidden states of ``[prefix, word, suffix]``, not centred; all words in one batch."""
    prompt = torch.from_numpy(tuned.prefix), torch.from_numpy(tuned.suffix)
    return _hidden(space, prompt, space.word_embeddings(words)).cpu().numpy()


def cosine_distances(rows: ArrayLike, others: ArrayLike) -> Array:
    """``(N,)`` of ``1 - cos`` between rows ``(N, D)`` and others ``(N, D)``; 1 where one is zero.

    >>> cosine_distances([[1.0, 0.0], [1.0, 0.0]], [[2.0, 0.0], [0.0, 1.0]]).tolist()
    [0.0, 1.0]
    """
    a, b = np.asarray(rows, np.float64), np.asarray(others, np.float64)
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return (1 - (a * b).sum(1) / np.where(lengths > 0, lengths, 1.0)).astype(np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Samples:
    """Samples as tensors: ``owner`` (N,) is each one's place among the different words' embeddings."""

    embeddings: list[torch.Tensor]
    owner: torch.Tensor
    targets: torch.Tensor
    null: torch.Tensor

    @classmethod
    def of(cls, space: PromptSpace, words: Sequence[str], targets: Array, null: Array) -> _Samples:
        targets, null = np.asarray(targets, np.float32), np.asarray(null, np.float32)
        if not len(words) or targets.shape != (len(words), len(null)):
            raise SettingsError(
                f"targets: expected one row a word and as wide as null, {(len(words), len(null))}, got {targets.shape}"
            )
        if not np.isfinite(targets).all() or not np.linalg.norm(targets, axis=1).all():
            raise SettingsError("targets: expected finite rows other than zero: check the contrastive sub-vectors")
        different = list(dict.fromkeys(words))
        place = {word: i for i, word in enumerate(different)}
        return cls(
            embeddings=space.word_embeddings(different),
            owner=torch.tensor([place[word] for word in words]),
            targets=torch.from_numpy(targets),
            null=torch.from_numpy(null),
        )

    def error(self, space: PromptSpace, prompt: tuple[torch.Tensor, torch.Tensor]) -> float:
        """Mean cosine distance over the samples."""
        rows = _hidden(space, prompt, self.embeddings).cpu() - self.null
        return float(cosine_distances(rows[self.owner].numpy(), self.targets.numpy()).mean())


def _trained(
    space: PromptSpace, samples: _Samples, start: tuple[torch.Tensor, torch.Tensor], settings: TuningSettings
) -> tuple[torch.Tensor, torch.Tensor]:
    """Prefix and suffix after all steps."""
    prompt = [part.clone().requires_grad_(True) for part in start]
    optimizer = torch.optim.Adam(prompt, lr=settings.lr)
    with bar("Tuning the prompt", settings.steps, unit="step") as advance:
        for step, batch in enumerate(_batches(len(samples.owner), settings)):
            for group in optimizer.param_groups:
                group["lr"] = settings.lr * _rate(step, settings)
            loss = _loss(space, samples, prompt, batch, settings.length_weight)
            if not bool(loss.isfinite()):
                raise TrainingError(
                    f"prompt tuning: the loss is not finite at step {step + 1}: lower lr (now {settings.lr})"
                )
            for part, gradient in zip(prompt, torch.autograd.grad(loss, prompt), strict=True):
                part.grad = gradient
            optimizer.step()
            advance(f"loss {float(loss.detach()):.3f}")
    return prompt[0].detach(), prompt[1].detach()


def _loss(
    space: PromptSpace, samples: _Samples, prompt: Sequence[torch.Tensor], batch: torch.Tensor, length_weight: float
) -> torch.Tensor:
    """Mean cosine distance of a batch of samples, and the term of the length; each different word goes through once."""
    used, place = samples.owner[batch].unique(return_inverse=True)
    hidden = space.hidden(prompt[0], [samples.embeddings[i] for i in used.tolist()], prompt[1])
    rows = hidden[place.to(hidden.device)] - samples.null.to(hidden.device)
    targets = samples.targets[batch].to(hidden.device)
    loss = (1 - torch.nn.functional.cosine_similarity(rows, targets, dim=1)).mean()
    if length_weight > 0:
        ratios = rows.norm(dim=1).clamp(min=1e-8).log() - targets.norm(dim=1).log()
        loss = loss + length_weight * ratios.square().mean()
    return loss


def _batches(n: int, settings: TuningSettings) -> Iterator[torch.Tensor]:
    """Places of the samples of each step: seeded permutations, one after another."""
    generator = torch.Generator().manual_seed(settings.seed)
    waiting = torch.zeros(0, dtype=torch.long)
    for _ in range(settings.steps):
        while len(waiting) < settings.batch_size:
            waiting = torch.cat([waiting, torch.randperm(n, generator=generator)])
        yield waiting[: settings.batch_size]
        waiting = waiting[settings.batch_size :]


def _rate(step: int, settings: TuningSettings) -> float:
    """Share of the learning rate at a step, counted from 0: a linear rise, then a cosine down to 0."""
    if step < settings.warmup:
        return (step + 1) / (settings.warmup + 1)
    done = (step - settings.warmup) / max(settings.steps - settings.warmup, 1)
    return 0.5 * (1 + math.cos(math.pi * done))


def _hidden(
    space: PromptSpace, prompt: tuple[torch.Tensor, torch.Tensor], words: Sequence[torch.Tensor]
) -> torch.Tensor:
    with torch.no_grad():
        parts = [
            space.hidden(prompt[0], words[first : first + WORDS_AT_ONCE], prompt[1])
            for first in range(0, len(words), WORDS_AT_ONCE)
        ]
    return torch.cat(parts)


def _stretched(rows: torch.Tensor, n: int) -> torch.Tensor:
    return rows[[i * len(rows) // n for i in range(n)]]
