"""``onnx:DIR``: exported summarizers, which need numpy, tokenizers and ONNX Runtime, and no torch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from xpert.artifacts.header import kind_of_artifacts
from xpert.errors import IncompatibleModelError, SettingsError

if TYPE_CHECKING:
    from xpert.summarizers.onnx.encoder import OnnxEncoder
    from xpert.summarizers.onnx.llm import OnnxLLM

__all__ = ["load_exported"]


def load_exported(
    folder: str | Path, *, device: str | None = None, dtype: str | None = None, **options: Any
) -> OnnxEncoder | OnnxLLM:
    """The summarizer that a folder of ``xpert export --summarizer`` is.

    Args:
        folder: The folder.
        device: None or ``cpu``.
        dtype: None or ``float32``.
        options: ``instruction``, ``threads``, ``token_budget``, ``batch_size``.

    Raises:
        xpert.errors.IncompatibleModelError: It is no such folder, of a newer version, or its tokenizer is another one.
        xpert.errors.WeightsError: A file is missing or damaged.
        xpert.errors.SettingsError: Another device or number type.
    """
    if device not in (None, "cpu") or dtype not in (None, "float32"):
        raise SettingsError(
            f"summarizer onnx:{folder}: it runs on the cpu in float32, got device={device!r}, dtype={dtype!r}"
        )
    kind = kind_of_artifacts(folder)
    if kind == "encoder":
        from xpert.summarizers.onnx.encoder import OnnxEncoder

        return OnnxEncoder(folder, **options)
    if kind == "llm":
        from xpert.summarizers.onnx.llm import OnnxLLM

        return OnnxLLM(folder, **options)
    raise IncompatibleModelError(
        f"{folder}: expected an exported summarizer (xpert export --summarizer REF --out DIR), "
        f"{'it is an export for training' if kind else 'it is none'}"
    )
