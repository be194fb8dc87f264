"""Text: a model is a causal LM, full or as a PEFT adapter, or recorded answers; a prompt and an answer are texts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from xpert.errors import IncompatibleModelError
from xpert.examples import holds_images
from xpert.measured import MEASURED
from xpert.modalities.recorded import RecordedProber
from xpert.protocols import Prober
from xpert.references import kind_of, parse_reference, resolve

__all__ = ["TextModality"]


class TextModality:
    """Probes causal language models and recorded answers."""

    name = "text"
    measured = MEASURED

    def accepts(self, reference: str) -> bool:
        """Whether it is a model with a folder of its own that is no pipeline, or one that has recorded texts."""
        kind = kind_of(reference)
        return not holds_images(resolve(reference)) if kind == "recorded" else kind in ("full", "adapter")

    @contextmanager
    def open(self, base: str, *, device: str | None = None, dtype: str | None = None) -> Iterator[Prober]:
        """Hold a base in memory, to be asked as itself or as any of its personalized models.

        Args:
            base: Reference of a full causal LM, or ``answers:FILE`` of a recorded base, whose models must be recorded too.
            device: Where the weights go, such as ``cuda:0``; None: a CUDA device if there is one, else the CPU.
            dtype: ``float32``, ``bfloat16``, ``float16``, or ``auto`` (as stored); None: ``float32`` on the CPU, ``auto``
                elsewhere.

        Raises:
            xpert.errors.ReferenceNotFoundError: The base names nothing.
            xpert.errors.IncompatibleModelError: The base is an adapter or a pipeline, or no causal LM.
            xpert.errors.WeightsError: Its weights are missing, truncated or not finite.
        """
        if parse_reference(base).scheme == "answers":
            yield RecordedProber(base)
            return
        if (kind := kind_of(base)) != "full":
            raise IncompatibleModelError(
                f"base {base!r} is a model of kind {kind!r}: expected a full causal LM, or answers:FILE.jsonl"
            )
        from xpert.modalities.text.prober import TextProber

        prober = TextProber(base, device=device, dtype=dtype)
        try:
            yield prober
        finally:
            prober.close()
