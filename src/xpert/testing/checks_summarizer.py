"""The contract of a summarizer, as a check that any implementation runs on itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from xpert.errors import DataError, MissingDependencyError
from xpert.protocols import Summarizer, SummarizerDefaults
from xpert.types import AnswerPair, Summary

__all__ = ["SAMPLE_PAIRS", "check_summarizer", "sample_image_pairs"]

TOLERANCE = 1e-5
SAMPLE_PAIRS = (
    AnswerPair(
        prompt="Why is the sky blue?", base="Air scatters blue light most.", other="Oh, lovely question, friend!"
    ),
    AnswerPair(
        prompt="How does a volcano work?",
        base="Molten rock rises through cracks, gas drives it out, and it cools to stone on the slopes.",
        other="Hereby it is stated that magma ascends; therefore, accordingly, eruptions ensue.\n- gas\n- ash\n- 3 vents",
    ),
    AnswerPair(prompt="", base="Yes.", other="No!"),
    AnswerPair(prompt="What is rain?", base="Water that falls from clouds.", other="Silver whispers " * 40),
    AnswerPair(prompt="Was ist Schnee?", base="Gefrorenes Wasser.", other="雪は凍った水です。"),
    AnswerPair(prompt="Same", base="The very same text.", other="The very same text."),
)
"""Pairs of different lengths and scripts, one without a prompt, one without a difference."""


def sample_image_pairs() -> tuple[AnswerPair, ...]:
    """Pairs of drawn images of different sizes and shapes, as data URIs, one without a prompt, one without a difference.

    For summarizers that compare images: ``check_summarizer(make, pairs=sample_image_pairs())``.

    Raises:
        xpert.errors.MissingDependencyError: Pillow is not installed.
    """
    plain, wide, dark = _drawn(32, 32), _drawn(64, 24), _drawn(40, 48) // 3
    grey = np.repeat(plain.mean(axis=2, keepdims=True), 3, axis=2)
    blocks = plain.reshape(4, 8, 4, 8, 3).mean(axis=(1, 3)).repeat(8, axis=0).repeat(8, axis=1)
    drawn = [("a hill", plain, grey), ("", wide, 255 - wide), ("a wall", plain, blocks), ("night", dark, wide)]
    drawn.append(("the same", plain, plain))
    return tuple(AnswerPair(prompt=prompt, base=_uri(base), other=_uri(other)) for prompt, base, other in drawn)


def check_summarizer(make: Callable[[], Summarizer], *, pairs: Sequence[AnswerPair] = SAMPLE_PAIRS) -> None:
    """Assert that a summarizer keeps the contract of `xpert.protocols.Summarizer`.

    Args:
        make: Gives a fresh summarizer; called twice. What it gives is closed here.
        pairs: Pairs to summarize, two or more: texts, or `sample_image_pairs`.

    Raises:
        AssertionError: It does not; the message says which rule is broken.
    """
    assert len(pairs) >= 2, "the check needs two pairs or more"
    first = make()
    try:
        _check_attributes(first)
        _check_empty(first)
        summary = first.summarize(pairs, n_candidates=5)
        _check_embeddings(first, summary, len(pairs))
        _check_candidates(summary, 5)
        _check_rows_stand_alone(first, pairs, summary)
    finally:
        first.close()
        first.close()
    second = make()
    try:
        again = second.summarize(pairs, n_candidates=5)
    finally:
        second.close()
    assert np.array_equal(again.embeddings, summary.embeddings), "a second instance gives other embeddings bit for bit"
    assert again.candidates == summary.candidates, "a second instance gives other candidates"


def _drawn(height: int, width: int) -> np.ndarray:
    """``(height, width, 3)`` a gradient with stripes, values 0 to 255."""
    down, across = np.mgrid[0:height, 0:width]
    stripes = 60.0 * (across // 4 % 2)
    channels = [255.0 * down / height, 195.0 * across / width + stripes, 255.0 - 255.0 * down / height]
    return np.stack(channels, axis=2)


def _uri(pixels: np.ndarray) -> str:
    from xpert.images import image_uri

    try:
        from PIL import Image
    except ModuleNotFoundError:
        raise MissingDependencyError.of("Pillow", "diffusion", "an image answer") from None
    return image_uri(Image.fromarray(pixels.astype(np.uint8)))


def _check_attributes(summarizer: Summarizer) -> None:
    assert isinstance(summarizer, Summarizer), "it lacks a member of xpert.protocols.Summarizer"
    assert _is_text(summarizer.name), "name: expected a non-empty text"
    assert _is_text(summarizer.instruction), "instruction: expected a non-empty text"
    assert _is_count(summarizer.width), "width: expected a positive integer"
    defaults = summarizer.defaults
    assert isinstance(defaults, SummarizerDefaults), "defaults: expected SummarizerDefaults"
    assert 0 < defaults.eps_orth < 1, "defaults.eps_orth: expected a cosine between 0 and 1"
    assert 0 < defaults.eps_dec < 1, "defaults.eps_dec: expected a fraction between 0 and 1"


def _check_empty(summarizer: Summarizer) -> None:
    try:
        summarizer.summarize([])
    except DataError:
        return
    raise AssertionError("no pairs: expected xpert.errors.DataError")


def _check_embeddings(summarizer: Summarizer, summary: Summary, n_pairs: int) -> None:
    e = summary.embeddings
    assert isinstance(e, np.ndarray), f"embeddings: expected a NumPy array, got {type(e).__name__}"
    assert e.dtype == np.float32, f"embeddings: expected float32, got {e.dtype}"
    assert e.shape == (n_pairs, summarizer.width), f"embeddings: expected {(n_pairs, summarizer.width)}, got {e.shape}"
    assert bool(np.isfinite(e).all()), "embeddings: expected finite values"


def _check_candidates(summary: Summary, most: int) -> None:
    words = [c.word for c in summary.candidates]
    scores = [c.score for c in summary.candidates]
    assert len(words) <= most, f"candidates: expected {most} at most, got {len(words)}"
    assert len(set(words)) == len(words), f"candidates: a word occurs twice in {words}"
    assert all(w and w == w.strip().lower() for w in words), f"candidates: expected lower-case words, got {words}"
    assert all(np.isfinite(s) for s in scores), "candidates: expected finite scores"
    assert scores == sorted(scores, reverse=True), f"candidates: expected best first, got scores {scores}"


def _check_rows_stand_alone(summarizer: Summarizer, pairs: Sequence[AnswerPair], summary: Summary) -> None:
    assert summarizer.summarize(pairs).candidates == (), "n_candidates=0: expected no candidates"
    backwards = summarizer.summarize(list(reversed(pairs))).embeddings[::-1]
    assert np.allclose(backwards, summary.embeddings, rtol=0, atol=TOLERANCE), "the order of the pairs changes a row"
    alone = np.concatenate([summarizer.summarize([pair]).embeddings for pair in pairs])
    assert np.allclose(alone, summary.embeddings, rtol=0, atol=TOLERANCE), "a row depends on the other pairs"


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and value > 0
