"""Prompt-tuned sub-vectors: one forward pass a word, through a prefix and a suffix that were trained for it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from xpert.errors import SummarizerError
from xpert.protocols import PromptSpace, PromptTunable, SubvectorContext
from xpert.subvectors.prompt_tuning import predicted
from xpert.subvectors.tuned_prompt import TunedPrompt, load_tuned_prompt
from xpert.types import Array

__all__ = ["PROMPT_FILE", "PromptTunedSubvectors"]

PROMPT_FILE = "xpert_prompt.safetensors"
"""A tuned prompt in a summarizer's folder, used where none is given."""


class PromptTunedSubvectors:
    """``v_w``: the last hidden state of ``[prefix, w, suffix]`` less the null embedding; all words in one batch.

    Nothing is written and no answer is read, so that a word costs a few tokens instead of dozens of texts. Its row depends
    on the word, the prompt and the null embedding alone.

    Args:
        tuned: A tuned prompt or the path of one. None: ``xpert_prompt.safetensors`` in the summarizer's folder.

    Source: Wang et al. 2025 (arXiv 2504.13938), section 4.3. Ours: the null embedding is subtracted.
    """

    name = "prompt-tuned"
    chunk = 256

    def __init__(self, tuned: TunedPrompt | str | Path | None = None) -> None:
        self._tuned = load_tuned_prompt(tuned) if isinstance(tuned, (str, Path)) else tuned

    def vectors(self, words: Sequence[str], context: SubvectorContext) -> Array:
        """``(W, D)`` sub-vectors, one row a word.

        Raises:
            xpert.errors.SummarizerError: The summarizer takes no input embeddings, has no tuned prompt, or is not the one
                that the prompt was tuned for.
        """
        summarizer = context.summarizer
        if not isinstance(summarizer, PromptTunable):
            raise SummarizerError(
                f"prompt-tuned sub-vectors need an LLM summarizer held in memory, and {summarizer.name} takes no input "
                "embeddings: choose hf: or zoo:summarizer, or other sub-vectors"
            )
        space = summarizer.prompt_space()
        tuned = self._tuned or _own(space)
        tuned.check(space)
        different = list(dict.fromkeys(words))
        if not different:
            return np.zeros((0, len(context.null)), np.float32)
        rows = predicted(space, tuned, different) - context.null
        place = {word: i for i, word in enumerate(different)}
        return rows[[place[word] for word in words]].astype(np.float32)


def _own(space: PromptSpace) -> TunedPrompt:
    """The prompt that the summarizer's folder brings."""
    file = space.folder / PROMPT_FILE
    if not file.is_file():
        raise SummarizerError(
            f"{space.summarizer} has no tuned prompt ({file} is not there): make one with scripts/tune_prompt.py or "
            "xpert.subvectors.prompt_tuning.tune_prompt, or choose contrastive sub-vectors"
        )
    return load_tuned_prompt(file)
