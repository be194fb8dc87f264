"""Contrastive sub-vectors: texts really written in the style of a word, against the base's answers (the ground truth)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from xpert.errors import SettingsError, SummarizerError
from xpert.protocols import BatchWriter, SubvectorContext, Writer
from xpert.types import AnswerPair, Array

__all__ = ["ContrastiveSubvectors"]


class ContrastiveSubvectors:
    """A writer answers the probe prompts in style ``w``; the mean embedding of (base answer, styled text), centred, is ``v_w``.

    Words that were asked for before, in the same context, are not written again.

    Args:
        writer: Who writes; None: the summarizer itself.
        n_prompts: Prompts that are used, the first ones; None: all.

    Source: Wang et al. 2025 (arXiv 2504.13938), section 4.2.
    """

    name = "contrastive"

    def __init__(self, writer: Writer | None = None, *, n_prompts: int | None = 24) -> None:
        if n_prompts is not None and n_prompts < 1:
            raise SettingsError(f"n_prompts: expected 1 or more, got {n_prompts}")
        self._writer, self._n_prompts = writer, n_prompts
        self._known: dict[tuple[str, str], Array] = {}

    @property
    def fingerprint(self) -> str | None:
        """Its settings; None if its writer does not say what its texts depend on."""
        writer = "summarizer" if self._writer is None else getattr(self._writer, "fingerprint", None)
        return None if writer is None else f"{self.name} {self._n_prompts} {writer}"

    def vectors(self, words: Sequence[str], context: SubvectorContext) -> Array:
        """``(W, D)`` sub-vectors, one row a word.

        Raises:
            xpert.errors.SummarizerError: There is no writer, and the summarizer cannot write.
        """
        where = _digest(context, context.prompts[: self._n_prompts], context.base_answers[: self._n_prompts])
        new = [word for word in dict.fromkeys(words) if (word, where) not in self._known]
        for word, rows in zip(new, self.pair_embeddings(new, context), strict=True):
            mean = rows.mean(axis=0, dtype=np.float64)
            self._known[word, where] = (mean - context.null).astype(np.float32)
        return (
            np.stack([self._known[word, where] for word in words])
            if words
            else np.zeros((0, len(context.null)), np.float32)
        )

    def pair_embeddings(self, words: Sequence[str], context: SubvectorContext) -> Iterator[Array]:
        """Per word ``(P, D)``, the embeddings of its pairs (base answer, styled text), not centred; nothing is kept.

        Raises:
            xpert.errors.SummarizerError: There is no writer, and the summarizer cannot write.
        """
        writer = self._writer or context.summarizer
        if not isinstance(writer, Writer):
            raise SummarizerError(
                f"contrastive sub-vectors need a writer, and summarizer {context.summarizer.name} cannot write: "
                "give ContrastiveSubvectors(writer=...), or choose other sub-vectors"
            )
        prompts, answers = context.prompts[: self._n_prompts], context.base_answers[: self._n_prompts]
        for texts in _written(writer, words, prompts, context.seed):
            triples = zip(prompts, answers, texts, strict=True)
            pairs = [AnswerPair(prompt=prompt, base=answer, other=text) for prompt, answer, text in triples]
            yield context.summarizer.summarize(pairs).embeddings


def _written(writer: Writer, words: Sequence[str], prompts: Sequence[str], seed: int) -> Iterable[list[str]]:
    """Per word its texts, all at once where the writer can."""
    if isinstance(writer, BatchWriter) and words:
        return writer.write_all(words, prompts, seed=seed)
    return (writer.write(word, prompts, seed=seed) for word in words)


def _digest(context: SubvectorContext, prompts: Sequence[str], answers: Sequence[str]) -> str:
    """What a sub-vector depends on beside its word."""
    weights = getattr(context.summarizer, "fingerprint", None)
    said = [
        context.summarizer.name,
        weights,
        context.summarizer.instruction,
        context.seed,
        list(prompts),
        list(answers),
    ]
    return hashlib.sha256(json.dumps(said).encode() + context.null.tobytes()).hexdigest()
