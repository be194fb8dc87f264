"""What an encoder was taught of style by texts that really have it: words to say of a difference, and their sub-vectors.

Words said *about* a text lie elsewhere in an encoder's space than the differences that style makes. A few hundred texts of known style
tell both: which direction is "expert", and how much of it a difference has.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from xpert.errors import WeightsError
from xpert.tensors.files import sha256_bytes, write_bytes
from xpert.types import Array, Candidate

__all__ = ["Exemplars", "load_exemplars", "shipped_exemplars"]

FORMAT = "xpert-exemplars"
FORMAT_VERSION = "1"
SHIPPED = "aspects/minilm-language-style.safetensors"
_LISTS = ("words", "aspects", "measured")
_HEADER = frozenset({"format", "format_version", "encoder", *_LISTS})


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Exemplars:
    """Words that an encoder knows by example.

    Attributes:
        words: ``W`` words.
        aspects: Per word what it is about; of one aspect's words only the strongest is said.
        measured: Names of the ``F`` measured quantities that count beside the embedding.
        weights: ``(D + F, W)``: how much of each word a difference has, 1 where it has as much as the texts it was learnt from.
        vectors: ``(W, D)``: the difference that a word makes, others held fixed: its sub-vector.
        encoder: SHA-256 of the encoder's weight files; nothing of this holds for another one.
    """

    words: tuple[str, ...]
    aspects: tuple[str, ...]
    measured: tuple[str, ...]
    weights: Array
    vectors: Array
    encoder: str

    def strengths(self, hidden: NDArray[np.float64], measured: NDArray[np.float64]) -> dict[str, float]:
        """Of every word, how much of it a mean difference ``(D,)`` with mean measured quantities ``(F,)`` has."""
        found = np.concatenate([hidden, measured]) @ self.weights.astype(np.float64)
        return dict(zip(self.words, found.tolist(), strict=True))

    def rank(self, hidden: NDArray[np.float64], measured: NDArray[np.float64]) -> tuple[Candidate, ...]:
        """The strongest word of each aspect that is there at all, the strongest first; scores are 1 + strength."""
        strengths = self.strengths(hidden, measured)
        best: dict[str, str] = {}
        for word, aspect in zip(self.words, self.aspects, strict=True):
            if aspect not in best or strengths[word] > strengths[best[aspect]]:
                best[aspect] = word
        said = sorted((word for word in best.values() if strengths[word] > 0), key=lambda word: -strengths[word])
        return tuple(Candidate(word=word, score=1.0 + strengths[word]) for word in said)

    def of(self, word: str) -> Array:
        """``(D,)`` the sub-vector of a word that is among `words`."""
        return self.vectors[self.words.index(word)]

    @property
    def digest(self) -> str:
        """SHA-256 of all of it."""
        said = json.dumps([self.encoder, *(getattr(self, name) for name in _LISTS)]).encode()
        rows = [np.ascontiguousarray(array, np.float32).tobytes() for array in (self.weights, self.vectors)]
        return sha256_bytes(b"".join([said, *rows]))

    def save(self, path: str | Path) -> Path:
        """Write it as safetensors; the file appears whole."""
        header = {"format": FORMAT, "format_version": FORMAT_VERSION, "encoder": self.encoder}
        header |= {name: "\n".join(getattr(self, name)) for name in _LISTS}
        tensors = {"weights": np.ascontiguousarray(self.weights), "vectors": np.ascontiguousarray(self.vectors)}
        return write_bytes(path, save(tensors, metadata=header))


def load_exemplars(path: str | Path) -> Exemplars:
    """Read a file that `Exemplars.save` wrote.

    Raises:
        xpert.errors.WeightsError: There is no such file, it is broken, or it was written by another version of xpert.
    """
    path = Path(path)
    if not path.is_file():
        raise WeightsError(f"{path}: expected exemplars, there is no such file: scripts/make_exemplars.py makes it")
    try:
        with safe_open(path, framework="numpy") as file:
            header: Mapping[str, str] = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
    except SafetensorError as error:
        raise WeightsError(f"{path}: truncated or no safetensors file ({error}): install xpert again") from None
    said = (header.get("format"), header.get("format_version"))
    if set(header) != _HEADER or said != (FORMAT, FORMAT_VERSION):
        raise WeightsError(f"{path}: expected {FORMAT} of version {FORMAT_VERSION}, its header says {said}")
    lists = {name: tuple(header[name].split("\n")) for name in _LISTS}
    w, f = len(lists["words"]), len(lists["measured"])
    shapes = {name: tensor.shape for name, tensor in tensors.items()}
    d = shapes.get("vectors", (0, 0))[-1]
    if shapes != {"vectors": (w, d), "weights": (d + f, w)} or len(lists["aspects"]) != w:
        raise WeightsError(f"{path}: {w} words and {f} quantities do not fit tensors {shapes}: install xpert again")
    if any(tensor.dtype != np.float32 or not np.isfinite(tensor).all() for tensor in tensors.values()):
        raise WeightsError(f"{path}: expected finite float32 values: install xpert again")
    return Exemplars(encoder=header["encoder"], **lists, **tensors)


@cache
def shipped_exemplars() -> Exemplars:
    """Those of all-MiniLM-L6-v2 for the aspect ``language-style``, learnt from the zoo's corpus (``scripts/make_exemplars.py``)."""
    return load_exemplars(Path(str(files("xpert.summarizers").joinpath(SHIPPED))))
