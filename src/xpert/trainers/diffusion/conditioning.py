"""What a denoiser is told beside the noisy latents: text embeddings, and for XL where the square was cut."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from xpert.errors import IncompatibleModelError
from xpert.trainers.diffusion.pictures import Cut, Picture

__all__ = ["Conditioner", "family_of"]

_FAMILIES = {
    "StableDiffusionPipeline": "sd",
    "StableDiffusionXLPipeline": "xl",
    "StableDiffusion3Pipeline": "sd3",
}


def family_of(pipeline: Any) -> str:
    """``sd`` (1.5, 2.1), ``xl`` or ``sd3``, told by the pipeline's class.

    Raises:
        xpert.errors.IncompatibleModelError: A pipeline of another class.
    """
    name = type(pipeline).__name__
    if name not in _FAMILIES:
        raise IncompatibleModelError(f"a pipeline of class {name}: expected one of {', '.join(_FAMILIES)}")
    return _FAMILIES[name]


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditioner:
    """Computes conditions; a caption is encoded once, alone, and kept.

    Attributes:
        pipeline: The pipeline, whose text encoders do not train.
        family: As `family_of` tells.
        device: Where the text encoders are.
    """

    pipeline: Any
    family: str
    device: torch.device
    _texts: dict[str, tuple[torch.Tensor, ...]] = field(default_factory=dict, repr=False)

    def prepare(self, captions: Sequence[str]) -> None:
        """Encode these captions; afterwards the text encoders are not needed for them."""
        for caption in captions:
            if caption not in self._texts:
                self._texts[caption] = self._encode(caption)

    def of(self, rows: Sequence[tuple[Picture, Cut]], resolution: int) -> Mapping[str, Any]:
        """The denoiser's keyword arguments for a batch, on the device.

        Args:
            rows: ``B`` pictures and how they are seen.
            resolution: Side of the squares in pixels.
        """
        self.prepare([picture.caption for picture, _ in rows])
        parts = [self._texts[picture.caption] for picture, _ in rows]
        stacked = [torch.cat(column).to(self.device).float() for column in zip(*parts, strict=True)]
        if self.family == "sd":
            return {"encoder_hidden_states": stacked[0]}
        if self.family == "sd3":
            return {"encoder_hidden_states": stacked[0], "pooled_projections": stacked[1]}
        sizes = [(picture.height, picture.width, cut.top, cut.left, resolution, resolution) for picture, cut in rows]
        ids = torch.tensor(sizes, dtype=torch.float32, device=self.device)
        return {
            "encoder_hidden_states": stacked[0],
            "added_cond_kwargs": {"text_embeds": stacked[1], "time_ids": ids},
        }

    def cut_captions(self, captions: Sequence[str]) -> int:
        """How many captions are longer than the first tokenizer takes: what is beyond is not seen."""
        tokenizer = self.pipeline.tokenizer
        rows = tokenizer(list(captions), truncation=False, verbose=False)["input_ids"]
        return sum(len(row) > tokenizer.model_max_length for row in rows)

    def _encode(self, caption: str) -> tuple[torch.Tensor, ...]:
        """Text embeddings ``(1, t, E)``, and the pooled ones ``(1, E)`` where the denoiser takes them; on the CPU."""
        common: dict[str, Any] = {
            "device": self.device,
            "num_images_per_prompt": 1,
            "do_classifier_free_guidance": False,
        }
        prompts: dict[str, Any] = {"prompt_2": None, "prompt_3": None} if self.family == "sd3" else {}
        with torch.no_grad():
            out = self.pipeline.encode_prompt(prompt=caption, **prompts, **common)
        wanted = (out[0],) if self.family == "sd" else (out[0], out[2])
        return tuple(tensor.detach().float().cpu() for tensor in wanted)
