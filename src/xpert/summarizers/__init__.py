"""Who turns pairs of answers into embeddings and candidate words.

``hf`` is an LLM in memory, ``streamed`` one whose layers are read as they are needed, ``encoder`` a text encoder or an image-text encoder, ``vlm`` a vision-language model; others are plugins.
"""

from __future__ import annotations

from typing import Any

from xpert.errors import ReferenceNotFoundError, SettingsError
from xpert.protocols import Summarizer
from xpert.references import resolve
from xpert.registry import SUMMARIZERS
from xpert.summarizers.aspects import IMAGE_STYLE, InstructionLike, find_instruction
from xpert.summarizers.folders import is_image_text_model
from xpert.summarizers.instructions import LANGUAGE_STYLE, Instruction

__all__ = ["load_summarizer", "usual_instruction"]


def load_summarizer(
    summarizer: str | Summarizer,
    *,
    device: str | None = None,
    dtype: str | None = None,
    instruction: InstructionLike | None = None,
    **options: Any,
) -> Summarizer:
    """A summarizer by name; an object is given back as it is.

    Args:
        summarizer: ``hf:REF``, ``streamed:REF``, ``encoder:REF``, ``vlm:REF``, ``zoo:NAME``, a plugin's ``NAME:TARGET``, or an object.
        device: Where it runs; None: its own choice. An object stays where it is.
        dtype: Of its weights; None: its own choice. An object keeps its own.
        instruction: The aspect: a shipped instruction's name, a JSON file, or an `Instruction`. None: what the summarizer's folder
            brings, else its `usual_instruction`. An object keeps its own.
        options: Further options of that kind of summarizer, e.g. ``batch_size``.

    Raises:
        xpert.errors.ReferenceNotFoundError: No such kind of summarizer, or nothing of that name.
        xpert.errors.SettingsError: Options for an object, or unknown ones.
    """
    if instruction is not None:
        options["instruction"] = find_instruction(instruction)
    if not isinstance(summarizer, str):
        return _given(summarizer, options)
    scheme, colon, target = summarizer.partition(":")
    known = [*SUMMARIZERS.names(), "zoo"]
    if not colon or not target or scheme not in known:
        raise ReferenceNotFoundError(
            f"unknown summarizer {summarizer!r}: expected {', '.join(f'{name}:...' for name in known)} "
            "(such as hf:org/name, encoder:minilm or zoo:summarizer)"
        )
    if scheme == "zoo":
        kind = "encoder" if is_image_text_model(resolve(summarizer)) else "hf"
        scheme, target, options = kind, summarizer, {"name": summarizer, **options}
    try:
        return SUMMARIZERS.get(scheme)(target, device=device, dtype=dtype, **options)
    except TypeError as error:
        if options and "unexpected keyword argument" in str(error):
            raise SettingsError(f"summarizer {summarizer!r}: {str(error).split('() ')[-1]}") from error
        raise


def usual_instruction(summarizer: str) -> Instruction:
    """The aspect that a summarizer explains where none is asked for and its folder brings none.

    Args:
        summarizer: Its name.

    Returns:
        ``image-style`` for who compares images, else ``language-style``.

    Raises:
        xpert.errors.ReferenceNotFoundError: An encoder or a zoo's model that does not exist.
    """
    scheme, _, target = summarizer.partition(":")
    folder = {"zoo": summarizer, "encoder": None if target == "minilm" else target}.get(scheme)
    images = scheme == "vlm" or (folder is not None and is_image_text_model(resolve(folder)))
    return find_instruction(IMAGE_STYLE) if images else LANGUAGE_STYLE


def _given(summarizer: Summarizer, options: dict[str, Any]) -> Summarizer:
    if not isinstance(summarizer, Summarizer):
        came = type(summarizer).__name__
        raise SettingsError(
            f"summarizer: expected a name or an object that matches xpert.protocols.Summarizer, got {came}"
        )
    if options:
        raise SettingsError(f"summarizer: {next(iter(options))} was given beside an object: set it on the object")
    return summarizer
