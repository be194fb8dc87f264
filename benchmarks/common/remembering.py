"""Summarizers that compute each embedding once: benchmarks embed the same texts in many draws, settings and runs.

A script beside another benchmark reaches this file with ``sys.path.insert(0, str(Path(__file__).resolve().parents[1]))`` and
``from common.remembering import remembering``.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

import numpy as np

from xpert import EncoderSummarizer, measured
from xpert.errors import SettingsError
from xpert.progress import say
from xpert.summarizers.hf import HFSummarizer
from xpert.types import AnswerPair, Array, Summary

__all__ = ["RememberingEncoder", "RememberingLLM", "RowStore", "measure_once", "remembering"]

_SAVE_EVERY = 256
T = TypeVar("T")


class RowStore:
    """Rows ``(D,)`` by the SHA-256 of what they were made from, in one ``.npz`` file that is replaced as a whole."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._rows: dict[str, Array] = {}
        self._unsaved = 0
        if path.is_file():
            with np.load(path, allow_pickle=False) as saved:
                self._rows = dict(zip(saved["keys"].tolist(), saved["rows"], strict=True))

    def __len__(self) -> int:
        return len(self._rows)

    def rows(self, items: Mapping[str, T], compute: Callable[[list[T]], Array]) -> None:
        """Compute what is missing among ``items`` (key to what it is made from), 256 at a time, and save as it goes."""
        new = [(key, item) for key, item in items.items() if key not in self._rows]
        for first in range(0, len(new), _SAVE_EVERY):
            part = new[first : first + _SAVE_EVERY]
            computed = compute([item for _, item in part])
            self._rows.update(zip((key for key, _ in part), computed, strict=True))
            self._unsaved += len(part)
            if self._unsaved >= _SAVE_EVERY:
                self.save()
            if len(new) > _SAVE_EVERY:
                say(f"embedded {first + len(part)} of {len(new)}")

    def stacked(self, keys: Sequence[str]) -> Array:
        """``(len(keys), D)``."""
        return np.stack([self._rows[key] for key in keys])

    def save(self) -> None:
        """Write the file, if anything is new."""
        if not self._unsaved:
            return
        temporary = self._path.with_name(f"tmp-{os.getpid()}-{self._path.name}")
        np.savez(temporary, keys=np.array(list(self._rows)), rows=np.stack(list(self._rows.values())))
        os.replace(temporary, self._path)
        self._unsaved = 0


class RememberingEncoder(EncoderSummarizer):
    """An encoder that encodes each text once; the key is the text's digest."""

    def __init__(self, reference: str, store: Path, *, exemplars: bool = True) -> None:
        super().__init__(reference, exemplars=exemplars)
        self.store = RowStore(store)

    def encode(self, texts: Sequence[str]) -> Array:
        """As the encoder does; new texts are remembered on disk."""
        if not texts:
            return super().encode(texts)
        keys = [hashlib.sha256(text.encode()).hexdigest() for text in texts]
        self.store.rows(dict(zip(keys, texts, strict=True)), super().encode)
        return self.store.stacked(keys)


class RememberingLLM(HFSummarizer):
    """An LLM summarizer that reads each pair once; candidate words are asked for anew each time."""

    def __init__(self, reference: str, store: Path) -> None:
        super().__init__(reference, name=reference if reference.startswith("zoo:") else None)
        self.store = RowStore(store)

    def summarize(self, pairs: Sequence[AnswerPair], *, n_candidates: int = 0) -> Summary:
        """As the LLM does; where no words are asked for, new pairs are remembered on disk."""
        if n_candidates or not pairs:
            return super().summarize(pairs, n_candidates=n_candidates)
        keys = [
            hashlib.sha256(json.dumps([self.instruction, p.prompt, p.base, p.other]).encode()).hexdigest()
            for p in pairs
        ]
        self.store.rows(
            dict(zip(keys, pairs, strict=True)), lambda new: super(RememberingLLM, self).summarize(new).embeddings
        )
        return Summary(embeddings=self.store.stacked(keys))


def remembering(summarizer: str, store: Path, *, exemplars: bool = True) -> RememberingEncoder | RememberingLLM:
    """``encoder:REF``, ``hf:REF`` or ``zoo:NAME`` with a store; an encoder with the words that it knows by example, or without.

    Raises:
        xpert.errors.SettingsError: Another kind of summarizer.
    """
    scheme, _, target = summarizer.partition(":")
    if scheme == "encoder":
        return RememberingEncoder(target, store, exemplars=exemplars)
    if scheme in ("hf", "zoo"):
        return RememberingLLM(summarizer if scheme == "zoo" else target, store)
    raise SettingsError(f"summarizer: expected encoder:, hf: or zoo:, got {summarizer!r}")


def measure_once(size: int = 1 << 15) -> None:
    """From here on, `xpert.measured.quantities` counts a text once: a benchmark measures the same texts thousands of times."""
    measured.quantities = lru_cache(maxsize=size)(measured.quantities)
