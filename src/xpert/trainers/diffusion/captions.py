"""Captions of images that come without: one template for all, or a captioner that looks at each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from xpert.errors import DataError, IncompatibleModelError, SettingsError
from xpert.images import open_image
from xpert.loading import choose_device
from xpert.progress import track
from xpert.references import require_weights
from xpert.types import Example

__all__ = ["INSTRUCTION", "captions_of"]

INSTRUCTION = "Describe this image in one short sentence."
"""What a captioner that chats is asked."""

_MAX_NEW_TOKENS = 40


def captions_of(
    examples: Sequence[Example], *, template: str | None, captioner: str | Path | None, device: str | None
) -> list[str]:
    """A caption for each image: its own prompt, else the template, else what the captioner says.

    Args:
        examples: Images, with or without a prompt.
        template: The caption of every image without one, such as ``a photo``.
        captioner: Reference of an image-to-text model of Transformers; it answers greedily.
        device: Where the captioner computes.

    Raises:
        xpert.errors.DataError: An image has no caption, and neither template nor captioner is given; or it says nothing.
        xpert.errors.SettingsError: Both are given.
        xpert.errors.IncompatibleModelError: The captioner is no image-to-text model.
    """
    if template is not None and captioner is not None:
        raise SettingsError("caption_template and captioner: give one of them")
    if template is not None and not template.strip():
        raise SettingsError("caption_template: expected a text, it is empty")
    bare = [i for i, example in enumerate(examples) if not (example.prompt or "").strip()]
    if bare and template is None and captioner is None:
        name = examples[bare[0]].response[:80]
        raise DataError(
            f"image {bare[0] + 1} of {len(examples)} ({name}) has no caption: write captions, or set caption_template "
            "(such as 'a photo') or captioner"
        )
    captions = [example.prompt or "" for example in examples]
    if not bare:
        return captions
    if template is not None:
        said = [template] * len(bare)
    else:
        assert captioner is not None
        said = _ask(captioner, [examples[i].response for i in bare], device)
    for i, caption in zip(bare, said, strict=True):
        captions[i] = caption
    return captions


def _ask(captioner: str | Path, images: Sequence[str], device: str | None) -> list[str]:
    """What the captioner says of each image; its weights are gone afterwards."""
    folder = require_weights(captioner, "caption with")
    target = choose_device(device)
    model, processor, tokenizer = _load(folder, target)
    captions: list[str] = []
    with torch.no_grad():
        for image in track(images, "captioning", unit="image"):
            inputs = _inputs(processor, open_image(image)).to(target)
            ids = model.generate(**inputs, max_new_tokens=_MAX_NEW_TOKENS, do_sample=False)
            asked = inputs["input_ids"].shape[1] if _chats(processor) else 0
            caption = " ".join(tokenizer.decode(ids[0, asked:], skip_special_tokens=True).split())
            if not caption:
                raise DataError(f"captioner {str(captioner)!r} says nothing of image {image[:80]}: write its caption")
            captions.append(caption)
    return captions


def _load(folder: Path, device: torch.device) -> tuple[Any, Any, Any]:
    """Model, processor of images (and of a question, if it chats), and tokenizer."""
    from transformers import AutoImageProcessor, AutoModelForImageTextToText, AutoProcessor, AutoTokenizer

    try:
        loaded: Any = AutoModelForImageTextToText.from_pretrained(folder, local_files_only=True)
        processor: Any = AutoProcessor.from_pretrained(folder, local_files_only=True)
        if not hasattr(processor, "tokenizer"):  # image processor and tokenizer were saved apart
            processor = AutoImageProcessor.from_pretrained(folder, local_files_only=True)
        tokenizer = getattr(processor, "tokenizer", None) or AutoTokenizer.from_pretrained(
            folder, local_files_only=True
        )
    except (ValueError, OSError, KeyError) as error:
        raise IncompatibleModelError(
            f"captioner {folder}: expected an image-to-text model of Transformers ({' '.join(str(error).split())[:200]})"
        ) from error
    return loaded.to(device).eval(), processor, tokenizer


def _inputs(processor: Any, image: Any) -> Any:
    if not _chats(processor):
        return processor(images=image, return_tensors="pt")
    content = [{"type": "image"}, {"type": "text", "text": INSTRUCTION}]
    text = processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
    return processor(images=[image], text=[text], return_tensors="pt")


def _chats(processor: Any) -> bool:
    return bool(getattr(processor, "chat_template", None))
