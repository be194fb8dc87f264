"""Diffusion: a model is a text-to-image pipeline of diffusers, an adapter of one, or recorded images; an answer is an image.

Answers are data URIs (ADR 7), so that everything behind the prober treats them as it treats texts.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

from xpert.errors import IncompatibleModelError, SettingsError
from xpert.examples import holds_images
from xpert.measured_images import IMAGE_MEASURED
from xpert.modalities.recorded import RecordedProber
from xpert.protocols import Prober
from xpert.references import kind_of, resolve

__all__ = ["DiffusionModality"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DiffusionModality:
    """Probes text-to-image pipelines and recorded images; the object holds how images are painted.

    Attributes:
        steps: Denoising steps. None: the pipeline class's own number (50 for Stable Diffusion 1.5 to XL, 28 for 3.5).
        guidance_scale: Of classifier-free guidance. None: the pipeline class's own.
        height: Of the images, in pixels. None: what the pipeline was trained on.
        width: Likewise.
        negative_prompt: What images should not show.
    """

    name: ClassVar[str] = "diffusion"
    measured: ClassVar[tuple[str, ...]] = IMAGE_MEASURED

    steps: int | None = None
    guidance_scale: float | None = None
    height: int | None = None
    width: int | None = None
    negative_prompt: str = ""

    def __post_init__(self) -> None:
        """Check options.

        Raises:
            xpert.errors.SettingsError: One is out of range, or of the wrong type.
        """
        for name, least in (("steps", 1), ("height", 8), ("width", 8)):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < least):
                raise SettingsError(f"{name}: expected a whole number from {least}, got {value!r}")
        scale: object = self.guidance_scale
        number = isinstance(scale, (int, float)) and not isinstance(scale, bool) and 0 <= scale < float("inf")
        if scale is not None and not number:
            raise SettingsError(f"guidance_scale: expected a number from 0, got {scale!r}")
        if not isinstance(self.negative_prompt, str):
            raise SettingsError(f"negative_prompt: expected a text, got {self.negative_prompt!r}")

    def accepts(self, reference: str) -> bool:
        """Whether it is a pipeline, or has recorded images."""
        kind = kind_of(reference)
        return kind == "pipeline" or (kind == "recorded" and holds_images(resolve(reference)))

    @contextmanager
    def open(self, base: str, *, device: str | None = None, dtype: str | None = None) -> Iterator[Prober]:
        """Hold a base in memory, to paint as itself or as any of its personalized models.

        Args:
            base: Reference of a whole pipeline, or ``answers:FILE`` of a recorded base, whose models must be recorded too.
            device: Where the weights go, such as ``cuda:0``; None: a CUDA device if there is one, else the CPU.
            dtype: ``float32``, ``bfloat16``, ``float16``, or ``auto`` (as stored); None: ``float32`` on the CPU, ``auto``
                elsewhere.

        Raises:
            xpert.errors.ReferenceNotFoundError: The base names nothing.
            xpert.errors.IncompatibleModelError: The base is no text-to-image pipeline.
            xpert.errors.WeightsError: Its weights are missing, pickled, truncated or not finite.
            xpert.errors.MissingDependencyError: diffusers is not installed.
        """
        kind = kind_of(base)
        if kind == "recorded":
            if not holds_images(resolve(base)):
                raise IncompatibleModelError(
                    f"base {base!r} has recorded texts: expected recorded images ({{'prompt', 'image'}} a line)"
                )
            yield RecordedProber(base)
            return
        if kind != "pipeline":
            raise IncompatibleModelError(
                f"base {base!r} is a model of kind {kind!r}: expected a pipeline (model_index.json), or answers:FILE.jsonl"
            )
        from xpert.modalities.diffusion.prober import DiffusionProber

        prober = DiffusionProber(base, self, device=device, dtype=dtype)
        try:
            yield prober
        finally:
            prober.close()
