"""Captioned sub-vectors: what an image-text encoder makes of a caption when its picture is said to be in the style of a word."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from xpert.errors import SettingsError, SummarizerError
from xpert.protocols import SubvectorContext, TextEncoder
from xpert.subvectors.relative import RelativeRows
from xpert.types import Array

__all__ = ["PLAIN", "TEMPLATE", "CaptionedSubvectors"]

Float64: TypeAlias = NDArray[np.float64]

TEMPLATE = "a {word} picture of {caption}"
PLAIN = "a picture of {caption}"


class CaptionedSubvectors:
    """``v_w``: mean over captions of enc("a w picture of caption") - enc("a picture of caption"), relative to its mean over all words.

    The captions are the probe prompts. Uncentred, all words share one direction (that of being said at all) and no two are orthogonal. The
    words that the mean is over are always the whole list, so that a word's row does not depend on which others are asked for.

    Args:
        words: The list that sub-vectors are relative to. None: the summarizer's own (its attribute ``words``).
        template: A caption said with ``{word}`` of ``{caption}``; the authors' script has "a {word} photo of {caption}".
        plain: The same without the word; the script's is "a photo of {caption}".
        n_captions: How many prompts are used, the first ones; None: all.
        centred: Whether rows are relative to the mean over the list; False is the script's way, which needs no list.

    Source: Wang et al. 2025 (arXiv 2504.13938), section 7.7, and the authors' script; the centring is ours.
    """

    name = "captioned"
    chunk = 1024  # words at once: a caption is one short text

    def __init__(
        self,
        words: Sequence[str] | None = None,
        *,
        template: str = TEMPLATE,
        plain: str = PLAIN,
        n_captions: int | None = None,
        centred: bool = True,
    ) -> None:
        if n_captions is not None and n_captions < 1:
            raise SettingsError(f"n_captions: expected 1 or more, got {n_captions}")
        for option, text, fields in (("template", template, ("{word}", "{caption}")), ("plain", plain, ("{caption}",))):
            if any(field not in text for field in fields) or ("{word}" in text and option == "plain"):
                raise SettingsError(f"{option}: expected a text with {' and '.join(fields)}, got {text!r}")
        self._listed = None if words is None else tuple(dict.fromkeys(words))
        self._template, self._plain, self._n_captions, self._centred = template, plain, n_captions, centred
        self._relative = RelativeRows()

    @property
    def fingerprint(self) -> str:
        """Its settings."""
        said = [self._listed, self._template, self._plain, self._n_captions, self._centred]
        return json.dumps([self.name, *said])

    def vectors(self, words: Sequence[str], context: SubvectorContext) -> Array:
        """``(W, D)`` sub-vectors, one row a word; words outside the list are relative to the list's mean too.

        Raises:
            xpert.errors.SummarizerError: The summarizer cannot encode texts, or there is no list of words.
        """
        encoder = context.summarizer
        if not isinstance(encoder, TextEncoder):
            raise SummarizerError(
                f"captioned sub-vectors need an encoder of texts and images, and summarizer {encoder.name} is none: "
                "choose other sub-vectors, such as painted, or an encoder: summarizer with a CLIP model"
            )
        captions = tuple(context.prompts[: self._n_captions])
        return self._relative.vectors(
            words,
            context.summarizer,
            captions,
            origin=lambda: self._origin(captions, encoder),
            said=lambda new: self._said(new, captions, encoder),
        )

    def _origin(self, captions: Sequence[str], encoder: TextEncoder) -> tuple[dict[str, Float64], Float64]:
        """Words known already, and what rows are relative to: the words' mean, or else the captions without a word.

        What the captions without a word give is the same for all words, so it falls out of what is relative to the words' mean.
        """
        if not self._centred:
            plain = encoder.encode([_filled(self._plain, caption) for caption in captions])
            return {}, plain.mean(axis=0, dtype=np.float64)
        listed = self._listed or tuple(getattr(encoder, "words", ()))
        if len(listed) < 2:
            raise SummarizerError(
                "captioned sub-vectors are relative to a list of words, and the summarizer has none: give "
                "CaptionedSubvectors(words=...), or centred=False"
            )
        said = self._said(listed, captions, encoder)
        return dict(zip(listed, said, strict=True)), said.mean(axis=0)

    def _said(self, words: Sequence[str], captions: Sequence[str], encoder: TextEncoder) -> Float64:
        """``(W, D)`` float64 mean embeddings of the captions said with each word."""
        rows = encoder.encode([_filled(self._template, caption, word) for word in words for caption in captions])
        return rows.astype(np.float64).reshape(len(words), len(captions), -1).mean(axis=1)


def _filled(template: str, caption: str, word: str = "") -> str:
    """The template with its fields filled; braces in captions stay."""
    before, _, after = template.partition("{caption}")
    return before.replace("{word}", word) + caption.rstrip(" .") + after.replace("{word}", word)
