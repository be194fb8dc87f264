"""Sub-vectors that are rows less an origin, both remembered: what sources share that say a word of a text and encode that."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from xpert.protocols import Summarizer
from xpert.types import Array

__all__ = ["RelativeRows"]

Float64: TypeAlias = NDArray[np.float64]


class RelativeRows:
    """Remembers, for every encoder and what its words are said of, the words' rows and their origin."""

    def __init__(self) -> None:
        self._known: dict[tuple[object, ...], tuple[dict[str, Float64], Float64]] = {}

    def vectors(
        self,
        words: Sequence[str],
        encoder: Summarizer,
        texts: tuple[str, ...],
        *,
        origin: Callable[[], tuple[dict[str, Float64], Float64]],
        said: Callable[[Sequence[str]], Float64],
    ) -> Array:
        """``(W, D)`` rows of words less their origin.

        Args:
            words: The words.
            encoder: Who encodes.
            texts: What words are said of.
            origin: Asked once an encoder and texts: rows of words that are known already, and the origin ``(D,)``.
            said: Rows ``(W, D)`` of words, asked for new ones alone.
        """
        key = (encoder.name, getattr(encoder, "fingerprint", None), encoder.instruction, texts)
        if key not in self._known:
            self._known[key] = origin()
        known, start = self._known[key]
        if new := [word for word in dict.fromkeys(words) if word not in known]:
            known.update(zip(new, said(new), strict=True))
        rows = [known[word] - start for word in words]
        return np.stack(rows).astype(np.float32) if rows else np.zeros((0, encoder.width), np.float32)
