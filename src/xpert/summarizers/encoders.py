"""``encoder:REF``: a sentence encoder for texts or an image-text encoder for images, told apart by what is in the folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from xpert.references import resolve
from xpert.summarizers.folders import is_image_text_model

if TYPE_CHECKING:
    from xpert.summarizers.encoder import EncoderSummarizer
    from xpert.summarizers.image_encoder import ImageEncoderSummarizer

__all__ = ["load_encoder"]


def load_encoder(reference: str | Path = "minilm", **options: Any) -> EncoderSummarizer | ImageEncoderSummarizer:
    """The encoder summarizer that suits a folder.

    Args:
        reference: ``minilm``, a sentence-transformers model (texts), or a CLIP or SigLIP model (images).
        options: Of `xpert.summarizers.encoder.EncoderSummarizer` or `xpert.summarizers.image_encoder.ImageEncoderSummarizer`.

    Raises:
        xpert.errors.ReferenceNotFoundError: The reference names nothing.
        xpert.errors.IncompatibleModelError: It is neither.
    """
    if str(reference) != "minilm" and is_image_text_model(resolve(reference)):
        from xpert.summarizers.image_encoder import ImageEncoderSummarizer

        return ImageEncoderSummarizer(reference, **options)
    from xpert.summarizers.encoder import EncoderSummarizer

    return EncoderSummarizer(reference, **options)
