"""Which words an encoder finds in a difference: each word's own direction, ranked by its cosine with the mean embedding."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from xpert.errors import SettingsError
from xpert.summarizers.aspects import InstructionLike, find_instruction
from xpert.summarizers.instructions import Instruction
from xpert.types import Array, Candidate

__all__ = ["WordDirections", "encoder_wording", "listed_words"]


class WordDirections:
    """Words as unit directions of an encoder's space: a word said in its carriers, relative to the mean over a list of words.

    Uncentred, all words share one direction (that of being said at all). The mean is always over the whole list, so that a
    word's direction does not depend on which others are asked for; words are encoded at first use.

    Args:
        encode: Texts to embeddings ``(N, D)``.
        words: The list, two words or more.
        carriers: Sentences with ``{word}``; their mean is taken.
    """

    def __init__(self, encode: Callable[[Sequence[str]], Array], words: Sequence[str], carriers: Sequence[str]) -> None:
        self._encode, self._words, self._carriers = encode, tuple(words), tuple(carriers)
        self._mean: NDArray[np.float64] | None = None
        self._known: dict[str, NDArray[np.float64]] = {}

    def rank(self, embeddings: Array, n: int, among: Sequence[str] | None = None) -> tuple[Candidate, ...]:
        """The ``n`` words whose directions are nearest to the mean of ``embeddings`` ``(P, D)``, best first.

        Args:
            embeddings: Of pairs.
            n: Words wanted; below 1: none.
            among: The words to choose from, in the list or not; None: the list.
        """
        words = self._words if among is None else tuple(dict.fromkeys(among))
        if n < 1 or not words:
            return ()
        mean = embeddings.mean(axis=0, dtype=np.float64)
        cosines = self._of(words) @ (mean / max(float(np.linalg.norm(mean)), 1e-12))
        ranked = sorted(zip(words, cosines.tolist(), strict=True), key=lambda item: (-item[1], item[0]))
        return tuple(Candidate(word=word, score=score) for word, score in ranked[:n])

    def _of(self, words: Sequence[str]) -> NDArray[np.float64]:
        """``(W, D)`` unit directions."""
        mean = self._mean
        if mean is None:
            said = self._said(self._words)
            self._mean = mean = said.mean(axis=0, dtype=np.float64)
            self._known.update(zip(self._words, said, strict=True))
        if new := [word for word in words if word not in self._known]:
            self._known.update(zip(new, self._said(new), strict=True))
        # in float32 first, as sub-vectors are
        rows = np.stack([(self._known[word] - mean).astype(np.float32) for word in words]).astype(np.float64)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True).clip(min=1e-12)

    def _said(self, words: Sequence[str]) -> NDArray[np.float64]:
        """``(W, D)`` mean embeddings of the words' carriers, not centred."""
        said = self._encode([carrier.format(word=word) for word in words for carrier in self._carriers])
        return said.reshape(len(words), len(self._carriers), -1).mean(axis=1).astype(np.float64)


def encoder_wording(
    instruction: InstructionLike | None,
    default: Instruction,
    words: Sequence[str] | None,
    carriers: Sequence[str] | None,
) -> Instruction:
    """The instruction that an encoder follows: the one asked for or the default, with other words or carriers where they are given.

    Raises:
        xpert.errors.SettingsError: Fewer than two words, or no carriers.
        xpert.errors.ReferenceNotFoundError: No such instruction.
    """
    asked = default if instruction is None else find_instruction(instruction)
    listed = asked.words if words is None else tuple(dict.fromkeys(words))
    said = asked.carriers if carriers is None else tuple(dict.fromkeys(carriers))
    if len(listed) < 2 or not said:
        raise SettingsError(
            f"instruction {asked.name}: words: expected two different words or more, and carriers, for an encoder; "
            f"got {len(listed)} and {len(said)}"
        )
    return replace(asked, words=listed, carriers=said)


def listed_words(wording: Instruction, default: Instruction) -> str:
    """The words of an instruction in a few characters: how many; and which, by digest, if they are not the default's."""
    count = f"{len(wording.words)} words"
    if wording == default:
        return count
    digest = hashlib.sha256("\n".join(wording.words).encode()).hexdigest()[:12]
    return f"{wording.name}: {count} (sha256 {digest})"
