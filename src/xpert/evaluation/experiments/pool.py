"""What the experiments work on: models that were probed once, and users, as rows of the summarizer's space.

Answers, rows and sub-vectors are kept in a cache folder, so that a table costs nothing once its pool is there. Users' texts are
never cached.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from xpert.cache import open_cache
from xpert.embedding import embed_pairs
from xpert.errors import DataError
from xpert.evaluation.demo_users import DemoUser
from xpert.measured import MEASURED
from xpert.probing import ProbeTask, check_names, model_answers, run_probes
from xpert.protocols import SubvectorContext, SubvectorSource, Summarizer
from xpert.registry import MODALITIES, SUBVECTORS
from xpert.remember import CachedSummaries, remembered_source
from xpert.types import AnswerPair, Array, Generation

__all__ = ["ProbedPool", "UserRows", "base_answers", "cosine_distance", "embedded_users", "probed_pool", "with_words"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ProbedPool:
    """``M`` models that answered ``P`` prompts.

    Attributes:
        summarizer: Who made the rows.
        models: Their names.
        prompts: What they were asked.
        base_answers: What the base answered.
        rows: ``(M, P, D)`` embeddings of the pairs, not centred.
        null: ``(P, D)`` embeddings of the base's pairs with itself; zeros for a summarizer that is not centred.
        measured: ``(M, P, F)`` measured quantities.
        candidates: Per model its candidate words, best first; empty where none were asked for.
        words: ``V`` words whose sub-vectors are known.
        vectors: ``(V, D)`` centred sub-vectors.
    """

    summarizer: str
    models: tuple[str, ...]
    prompts: tuple[str, ...]
    base_answers: tuple[str, ...]
    rows: Array
    null: Array
    measured: Array
    candidates: tuple[tuple[str, ...], ...]
    words: tuple[str, ...]
    vectors: Array

    @property
    def centred(self) -> Array:
        """``(M, P, D)``: each row less the base's own at the same prompt; their mean is the embedding."""
        return self.rows - self.null

    @property
    def is_centred(self) -> bool:
        """Whether there is a null embedding to subtract."""
        return bool(self.null.any())

    @property
    def null_mean(self) -> Array:
        """``(D,)`` the null embedding."""
        return self.null.mean(axis=0, dtype=np.float64).astype(np.float32)

    def vectors_of(self, words: Sequence[str]) -> Array:
        """``(W, D)`` sub-vectors.

        Raises:
            xpert.errors.DataError: A word that has none here.
        """
        place = {word: i for i, word in enumerate(self.words)}
        if unknown := [word for word in words if word not in place]:
            raise DataError(f"expected words with sub-vectors, got {unknown[0]!r}: make them first (`with_words`)")
        return self.vectors[[place[word] for word in words]]

    def of_models(self, models: Sequence[int]) -> ProbedPool:
        """The pool of some models, by position, in this order."""
        kept = list(models)
        return replace(
            self,
            models=tuple(self.models[m] for m in kept),
            rows=self.rows[kept],
            measured=self.measured[kept],
            candidates=tuple(self.candidates[m] for m in kept),
        )

    def at_most(self, n_candidates: int) -> ProbedPool:
        """The pool with so many candidates a model, the first ones."""
        return replace(self, candidates=tuple(words[:n_candidates] for words in self.candidates))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class UserRows:
    """``U`` users in the summarizer's space.

    Attributes:
        styles: Name of each one's right model.
        hidden: ``(U, D)`` mean rows, not centred.
        measured: ``(U, F)`` mean measured quantities, unscaled.
    """

    styles: tuple[str, ...]
    hidden: Array
    measured: Array

    def part(self, users: slice) -> UserRows:
        """Some of the users."""
        return UserRows(styles=self.styles[users], hidden=self.hidden[users], measured=self.measured[users])


def probed_pool(
    base: str,
    models: Mapping[str, str],
    summarizer: Summarizer,
    prompts: Sequence[str],
    *,
    n_candidates: int = 0,
    seed: int = 0,
    generation: Generation | None = None,
    cache: str | Path | None = None,
) -> ProbedPool:
    """Let base and models answer, and embed the pairs, as `xpert.Explainer` does.

    Args:
        base: Reference of the base.
        models: Name to reference.
        summarizer: Who reads the pairs.
        prompts: What is asked.
        n_candidates: Words a model that may name it; 0 for none.
        seed: Of the answers.
        generation: How models answer, but for the seed; None: greedily.
        cache: Folder that keeps answers and rows; None: nowhere.

    Raises:
        xpert.errors.XpertError: Whatever probing and summarizing raise.
    """
    check_names(list(models))
    kept = open_cache(cache)
    summaries, is_centred = CachedSummaries(summarizer, kept), summarizer.defaults.centering == "null"
    how = replace(generation or Generation(), seed=seed)
    task = ProbeTask(base=base, prompts=tuple(prompts), generation=how)
    with MODALITIES.get("text")().open(base) as prober:
        probes = run_probes(prober, task, kept, second=is_centred)
        answers = {name: said.texts for name, said in model_answers(prober, task, models, kept)}
    found = [
        embed_pairs(summaries, probes.pairs(answers[name]), measured=MEASURED, n_candidates=n_candidates)
        for name in models
    ]
    own = probes.null()
    return ProbedPool(
        summarizer=summarizer.name,
        models=tuple(models),
        prompts=tuple(prompts),
        base_answers=probes.base,
        rows=np.stack([rows.hidden for rows in found]),
        null=np.zeros_like(found[0].hidden) if own is None else embed_pairs(summaries, own).hidden,
        measured=np.stack([rows.measured for rows in found]),
        candidates=tuple(tuple(c.word for c in rows.candidates) for rows in found),
        words=(),
        vectors=np.zeros((0, summarizer.width), np.float32),
    )


def with_words(
    pool: ProbedPool,
    summarizer: Summarizer,
    source: SubvectorSource | None = None,
    *,
    seed: int = 0,
    cache: str | Path | None = None,
) -> ProbedPool:
    """The pool with the sub-vectors of all its candidate words.

    Args:
        pool: With candidates.
        summarizer: The one that made it.
        source: Of the sub-vectors; None: the summarizer's own.
        seed: Of what the source samples.
        cache: Folder that keeps sub-vectors; None: nowhere.
    """
    chosen: SubvectorSource = source or SUBVECTORS.get(summarizer.defaults.subvectors)()
    remembered = remembered_source(chosen, summarizer, open_cache(cache))
    words = tuple(dict.fromkeys(word for own in pool.candidates for word in own))
    context = SubvectorContext(
        summarizer=summarizer,
        prompts=pool.prompts,
        base_answers=pool.base_answers,
        null=pool.null_mean,
        seed=seed,
    )
    return replace(pool, words=words, vectors=np.asarray(remembered.vectors(words, context), np.float32))


def base_answers(
    base: str, users: Sequence[DemoUser], *, seed: int = 0, generation: Generation | None = None
) -> dict[str, str]:
    """What the base answers to the users' prompts, each asked once; nothing is cached.

    Args:
        base: Reference of the base.
        users: Whose prompts.
        seed: Of the answers.
        generation: How it answers, but for the seed; None: greedily.

    Raises:
        xpert.errors.DataError: A text without a prompt, or no users.
    """
    if not users:
        raise DataError("users: expected at least one, got none")
    asked = dict.fromkeys(example.prompt for user in users for example in user.examples)
    prompts = [prompt for prompt in asked if prompt]
    if len(prompts) < len(asked):
        raise DataError("users: expected a prompt beside every text, so that the base can answer it too")
    with MODALITIES.get("text")().open(base) as prober:
        how = replace(generation or Generation(), seed=seed)
        return dict(zip(prompts, prober.answer(None, prompts, how), strict=True))


def embedded_users(users: Sequence[DemoUser], said: Mapping[str, str], summarizer: Summarizer) -> UserRows:
    """Users' texts beside the base's answers to the same prompts; nothing is cached.

    Args:
        users: Whose texts.
        said: Prompt to the base's answer (`base_answers`).
        summarizer: Who reads the pairs.

    Raises:
        xpert.errors.DataError: A prompt without an answer.
    """
    asked = [str(example.prompt) for user in users for example in user.examples]
    if missing := [prompt for prompt in asked if prompt not in said]:
        raise DataError(f"users: expected the base's answer to every prompt, found none to {missing[0]!r}")
    pairs = [
        AnswerPair(prompt=str(e.prompt), base=said[str(e.prompt)], other=e.response) for u in users for e in u.examples
    ]
    found = embed_pairs(summarizer, pairs, measured=MEASURED)  # all at once: texts are read once, in full batches
    ends = np.cumsum([len(user.examples) for user in users])[:-1]

    def means(rows: Array) -> Array:
        return np.stack([part.mean(axis=0, dtype=np.float64) for part in np.split(rows, ends)]).astype(np.float32)

    return UserRows(
        styles=tuple(user.style for user in users), hidden=means(found.hidden), measured=means(found.measured)
    )


def cosine_distance(one: Array, other: Array) -> float:
    """``1 - cos`` of two vectors ``(D,)``; 1 where one is zero.

    >>> cosine_distance(np.array([1.0, 0.0], np.float32), np.array([0.0, 2.0], np.float32))
    1.0
    """
    a, b = np.asarray(one, np.float64), np.asarray(other, np.float64)
    norms = float(np.linalg.norm(a) * np.linalg.norm(b))
    return max(0.0, 1.0 - float(a @ b) / norms) if norms > 0 else 1.0
