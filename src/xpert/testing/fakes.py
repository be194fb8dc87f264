"""A summarizer and a writer that need no weights: styles are planted as marker words, so every answer is known beforehand.

`fake_text` writes a text in a planted style, `FakeSummarizer` finds the style again: its embeddings are rates of marker words
(and, weakly, of all words) along orthonormal directions. Use them to test whatever takes a summarizer.
"""

from __future__ import annotations

import random
import re
import zlib
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np

from xpert.errors import DataError, SettingsError
from xpert.protocols import SummarizerDefaults
from xpert.types import AnswerPair, Array, Candidate, Summary

__all__ = ["FAKE_STYLES", "FAKE_SYNONYMS", "FakeSummarizer", "FakeWriter", "fake_text"]

FAKE_STYLES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "friendly": ("glad", "lovely", "friend", "welcome", "thanks"),
        "formal": ("hereby", "therefore", "pursuant", "accordingly", "whereas"),
        "poetic": ("moonlit", "whisper", "petal", "silver", "yonder"),
        "technical": ("parameter", "module", "latency", "interface", "compile"),
        "angry": ("damn", "furious", "idiot", "nonsense", "outrage"),
        "childish": ("yummy", "tummy", "doggy", "silly", "yay"),
        "sarcastic": ("obviously", "genius", "brilliant", "shocking", "surely"),
        "salesy": ("bargain", "discount", "exclusive", "guaranteed", "limited"),
    }
)
"""The planted styles and their marker words."""
FAKE_SYNONYMS: Mapping[str, str] = MappingProxyType({"warm": "friendly", "official": "formal", "lyrical": "poetic"})
"""Further words that the fakes know, each naming one of the planted styles."""

_FILLER = (
    "the",
    "answer",
    "is",
    "that",
    "it",
    "goes",
    "on",
    "and",
    "then",
    "a",
    "thing",
    "happens",
    "to",
    "be",
    "there",
)
_BUCKETS = 8
_CONTENT = 0.05
"""Weight of the words that mark nothing, against the markers' 1."""


def _markers(word: str | None) -> tuple[str, ...]:
    return FAKE_STYLES.get(FAKE_SYNONYMS.get(word or "", word or ""), ())


def fake_text(prompt: str, word: str | None = None, *, seed: int = 0, strength: float = 0.4, n_words: int = 30) -> str:
    """A text that answers a prompt in a planted style.

    Args:
        prompt: Three of its words occur in the text.
        word: A planted style or a synonym; any other word, or None, gives the plain style.
        seed: The same prompt, word and seed give the same text.
        strength: Share of the style's marker words.
        n_words: Length, in words.
    """
    rng = random.Random(f"{seed}/{word}/{prompt}")
    markers, own = _markers(word), prompt.split()[:3]
    words = [
        rng.choice(markers) if markers and rng.random() < strength else rng.choice(_FILLER)
        for _ in range(max(n_words - len(own), 1))
    ]
    return " ".join([*own, *words]).capitalize() + "."


class FakeWriter:
    """Writes `fake_text`; matches `xpert.protocols.Writer`."""

    def write(self, word: str, prompts: Sequence[str], *, seed: int = 0) -> list[str]:
        """One text a prompt, in the style that ``word`` names; a word that names no planted style gives the plain one."""
        return [fake_text(prompt, word, seed=seed) for prompt in prompts]


class FakeSummarizer(FakeWriter):
    """Finds planted styles; matches `xpert.protocols.Summarizer`, ``Writer`` and ``TextEncoder``.

    Args:
        width: ``D``; at least 16 (8 styles and 8 buckets of other words).
        seed: Of the random orthonormal directions.
        common: Norm of a vector that is added to every pair's embedding, as decoders have; the null embedding takes it out.
        defaults: Thresholds and choices; None: those of an LLM summarizer.
    """

    def __init__(
        self, *, width: int = 24, seed: int = 0, common: float = 0.5, defaults: SummarizerDefaults | None = None
    ) -> None:
        n_features = len(FAKE_STYLES) + _BUCKETS
        if width < n_features:
            raise SettingsError(f"width: expected {n_features} or more, got {width}")
        rng = np.random.default_rng(seed)
        q, _ = np.linalg.qr(rng.standard_normal((width, width)))
        self._directions = q[:n_features]
        self._common = common * q[-1]
        self._width = width
        self._defaults = defaults or SummarizerDefaults()
        self._name = f"fake:{width}-{seed}"
        self.closed = 0

    @property
    def name(self) -> str:
        """``fake:WIDTH-SEED``."""
        return self._name

    @property
    def instruction(self) -> str:
        """What it reads."""
        return "rates of planted marker words"

    @property
    def width(self) -> int:
        """``D``."""
        return self._width

    @property
    def defaults(self) -> SummarizerDefaults:
        """As given, or an LLM summarizer's."""
        return self._defaults

    @property
    def words(self) -> tuple[str, ...]:
        """Every word that it knows."""
        return (*FAKE_STYLES, *FAKE_SYNONYMS)

    def encode(self, texts: Sequence[str]) -> Array:
        """``(N, D)`` embeddings of texts; a style's own name counts as one of its markers."""
        features = np.stack([_features(text) for text in texts]) if texts else np.zeros((0, len(self._directions)))
        return (features @ self._directions).astype(np.float32)

    def summarize(self, pairs: Sequence[AnswerPair], *, n_candidates: int = 0) -> Summary:
        """Difference of marker rates along the planted directions, plus the common vector; words by their mean rate."""
        if not pairs:
            raise DataError("expected at least one pair of answers, got none")
        features = np.stack([_features(p.other) - _features(p.base) for p in pairs])
        embeddings = (features @ self._directions + self._common).astype(np.float32)
        return Summary(embeddings=embeddings, candidates=self._candidates(features, n_candidates))

    def close(self) -> None:
        """Counts the calls in ``closed``."""
        self.closed += 1

    def _candidates(self, features: np.ndarray, n_candidates: int) -> tuple[Candidate, ...]:
        styles = list(FAKE_STYLES)
        rates = features[:, : len(styles)].mean(axis=0)
        score = {word: float(rates[styles.index(FAKE_SYNONYMS.get(word, word))]) for word in self.words}
        weight = {w: float(np.exp(10 * s)) * (0.9 if w in FAKE_SYNONYMS else 1.0) for w, s in score.items()}
        total = sum(weight.values())
        ranked = sorted(self.words, key=lambda w: (-weight[w], w))
        return tuple(Candidate(word=w, score=weight[w] / total) for w in ranked[:n_candidates])


def _features(text: str) -> np.ndarray:
    """``(8 + 8,)`` rates: markers by style, then all other words by hash."""
    words = re.findall(r"[^\W\d_]+", text.lower())
    counts = np.zeros(len(FAKE_STYLES) + _BUCKETS)
    named = {**{name: name for name in FAKE_STYLES}, **FAKE_SYNONYMS}
    style_of = {marker: i for i, markers in enumerate(FAKE_STYLES.values()) for marker in markers}
    style_of.update({word: list(FAKE_STYLES).index(style) for word, style in named.items()})
    for word in words:
        if word in style_of:
            counts[style_of[word]] += 1.0
        else:
            counts[len(FAKE_STYLES) + zlib.crc32(word.encode()) % _BUCKETS] += _CONTENT
    return counts / max(len(words), 1)
