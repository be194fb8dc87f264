"""Looking up before computing: answers, summaries and sub-vectors that a `xpert.cache.Cache` may hold already.

What has no fingerprint is never cached: a summarizer, sub-vector source or prober that cannot say what its results depend on
is simply asked. Only the server side uses these; a user's pairs never pass through here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from xpert.cache import Cache, key_of
from xpert.protocols import SubvectorContext, SubvectorSource, Summarizer
from xpert.tensors.files import sha256_bytes
from xpert.types import AnswerPair, Array, Candidate, Generation, Summary

__all__ = ["CachedSubvectors", "CachedSummaries", "answers_key", "fingerprint_of", "remembered_source"]


def fingerprint_of(thing: object) -> str | None:
    """What a summarizer or sub-vector source says that its results depend on; None: it does not say."""
    said = getattr(thing, "fingerprint", None)
    return said if isinstance(said, str) else None


def answers_key(
    fingerprint: str, modality: str, prompts: Sequence[str], generation: Generation, *, second: bool
) -> str:
    """The key of a model's answers; how many prompts are answered at once changes none."""
    how = {name: value for name, value in asdict(generation).items() if name != "batch_size"}
    return key_of("answers", model=fingerprint, modality=modality, prompts=list(prompts), generation=how, second=second)


class CachedSummaries:
    """A summarizer's `summarize` with a memory; without a fingerprint, or without a cache, the summarizer's own.

    Args:
        summarizer: Who is asked for what is not known.
        cache: Where rows and candidates are kept.
    """

    def __init__(self, summarizer: Summarizer, cache: Cache | None) -> None:
        self._summarizer = summarizer
        self._fingerprint = None if cache is None else fingerprint_of(summarizer)
        self._cache = cache

    @property
    def name(self) -> str:
        """The summarizer's."""
        return self._summarizer.name

    @property
    def width(self) -> int:
        """The summarizer's."""
        return self._summarizer.width

    def summarize(self, pairs: Sequence[AnswerPair], *, n_candidates: int = 0) -> Summary:
        """As `xpert.protocols.Summarizer.summarize`."""
        if self._cache is None or self._fingerprint is None:
            return self._summarizer.summarize(pairs, n_candidates=n_candidates)
        said = [[pair.prompt, pair.base, pair.other] for pair in pairs]
        key = key_of("embeddings", summarizer=self._fingerprint, pairs=said, n_candidates=n_candidates)
        if (known := self._cache.get_array("embeddings", key)) is not None:
            rows, words = known
            return Summary(embeddings=rows, candidates=tuple(Candidate(word=w, score=s) for w, s in words))
        summary = self._summarizer.summarize(pairs, n_candidates=n_candidates)
        rows = np.asarray(summary.embeddings, np.float32)
        if rows.shape == (len(pairs), self.width) and np.isfinite(rows).all():  # else the caller says what is wrong
            words = [[candidate.word, float(candidate.score)] for candidate in summary.candidates]
            self._cache.put_array("embeddings", key, rows, words)
        return summary


class CachedSubvectors:
    """A sub-vector source with a memory, one entry a word; matches `xpert.protocols.SubvectorSource`.

    An entry also names the words that were computed with it, and counts only if all of theirs are there: a run that was stopped
    while it stored them asks for the same words together again, and gets the same bits.
    """

    def __init__(self, source: SubvectorSource, cache: Cache, *, source_says: str, summarizer_says: str) -> None:
        self.name = source.name
        self._source, self._cache = source, cache
        self._says = {"source": source_says, "summarizer": summarizer_says}

    def vectors(self, words: Sequence[str], context: SubvectorContext) -> Array:
        """``(W, D)`` sub-vectors, one row a word."""
        where = {
            **self._says,
            "prompts": list(context.prompts),
            "base_answers": list(context.base_answers),
            "null": sha256_bytes(np.ascontiguousarray(context.null, np.float32).tobytes()),
            "seed": context.seed,
        }
        context_key = key_of("subvectors", **where)
        keys = {word: key_of("subvectors", context=context_key, word=word) for word in words}
        known = self._whole({word: self._cache.get_array("subvectors", key) for word, key in keys.items()})
        new = [word for word in keys if word not in known]
        if new:
            rows = np.asarray(self._source.vectors(new, context), np.float32)
            together = [keys[word] for word in new]
            for word, row in zip(new, rows, strict=True):
                known[word] = row
                if np.isfinite(row).all():
                    self._cache.put_array("subvectors", keys[word], row, together)
        return np.stack([known[word] for word in words]) if words else self._source.vectors(words, context)

    def _whole(self, entries: Mapping[str, tuple[Array, Any] | None]) -> dict[str, Array]:
        """The rows of the entries with which all that were stored together are there; asked when broken ones are removed."""
        return {
            word: entry[0]
            for word, entry in entries.items()
            if entry is not None and all(self._cache.has("subvectors", other) for other in entry[1])
        }


def remembered_source(source: SubvectorSource, summarizer: Summarizer, cache: Cache | None) -> SubvectorSource:
    """The source with the cache's memory, if source and summarizer say what their results depend on; else itself."""
    source_says, summarizer_says = fingerprint_of(source), fingerprint_of(summarizer)
    if cache is None or source_says is None or summarizer_says is None:
        return source
    return CachedSubvectors(source, cache, source_says=source_says, summarizer_says=summarizer_says)
