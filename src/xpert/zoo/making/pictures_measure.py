"""How good the picture zoo is: do generated pictures of unseen captions show the style and the content, by the zoo's encoder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from xpert.progress import say
from xpert.report.contact_sheet import contact_sheet
from xpert.zoo.making.pictures_vae import diffusers
from xpert.zoo.pictures.dataset import draw
from xpert.zoo.pictures.scenes import scenes
from xpert.zoo.pictures.styles import PLAIN, STYLES

__all__ = [
    "GUIDANCE",
    "N_STEPS",
    "PictureEncoder",
    "StyleSpace",
    "measure_zoo",
    "paint",
    "style_space",
]

N_STEPS = 20
GUIDANCE = 3.0
_KINDS = (PLAIN, *STYLES)


class PictureEncoder:
    """The zoo's CLIP: unit rows for pictures and captions."""

    def __init__(self, folder: Path) -> None:
        from transformers import CLIPModel, CLIPProcessor

        self._model: Any = CLIPModel.from_pretrained(folder).eval()
        self._processor: Any = CLIPProcessor.from_pretrained(folder)

    @torch.no_grad()
    def pictures(self, images: list[Any]) -> NDArray[np.float32]:
        """Embeddings ``(N, D)`` of pictures."""
        pixels = self._processor(images=images, return_tensors="pt").pixel_values
        vision = self._model.vision_model(pixel_values=pixels).pooler_output
        return _unit(self._model.visual_projection(vision).numpy())

    @torch.no_grad()
    def captions(self, texts: list[str]) -> NDArray[np.float32]:
        """Embeddings ``(N, D)`` of captions."""
        tokens = self._processor(text=texts, padding="max_length", truncation=True, return_tensors="pt")
        text = self._model.text_model(input_ids=tokens.input_ids, attention_mask=tokens.attention_mask).pooler_output
        return _unit(self._model.text_projection(text).numpy())


def paint(
    pipeline: Any, captions: list[str], *, seed: int = 0, n_steps: int = N_STEPS, guidance: float = GUIDANCE
) -> list[Any]:
    """One picture a caption, each from its own seed."""
    pipeline.set_progress_bar_config(disable=True)
    generators = [torch.Generator().manual_seed(seed + i) for i in range(len(captions))]
    return pipeline(captions, num_inference_steps=n_steps, guidance_scale=guidance, generator=generators).images


class StyleSpace:
    """Nearest centroid of style, in the metric of the pooled covariance within styles (content varies there, style does not)."""

    def __init__(self, rows: NDArray[np.float32]) -> None:
        """Fit on embeddings of drawn pictures, ``(10, N, D)``: plain and the nine styles."""
        within = (rows - rows.mean(1, keepdims=True)).reshape(-1, rows.shape[-1])
        covariance = within.T @ within / len(within)
        shrunk = covariance + 0.1 * np.trace(covariance) / len(covariance) * np.eye(len(covariance))
        self._metric = np.linalg.inv(shrunk)
        self._centroids = rows.mean(1)

    def nearest(self, rows: NDArray[np.float32]) -> NDArray[np.intp]:
        """For each embedding ``(N, D)`` the number of the nearest centroid, 0 being plain."""
        away = rows[:, None] - self._centroids
        return np.einsum("nkd,de,nke->nk", away, self._metric, away).argmin(1)


def style_space(encoder: PictureEncoder, n: int = 60, seed: int = 5) -> StyleSpace:
    """The style space of drawn pictures of the users' scenes."""
    found = scenes("users", n, seed)
    drawings = [[draw(scene, kind, i) for i, scene in enumerate(found)] for kind in _KINDS]
    return StyleSpace(np.stack([encoder.pictures(images) for images in drawings]))


def measure_zoo(folder: Path, *, sheet: Path | None = None, n: int = 20) -> dict[str, Any]:
    """Measure encoder, base, painter and adapters on unseen captions; all shares are of 1.

    ``style``: share of pictures whose nearest of the ten styles (`StyleSpace`) is the model's. ``content``: share whose caption is the nearest of
    all ``n``. Rows ``drawn`` are the same for drawn pictures: what is the most that can be expected.
    """
    encoder = PictureEncoder(folder / "encoder")
    space = style_space(encoder)
    found = scenes("probes", n, 0)
    texts = [scene.caption for scene in found]
    captions = encoder.captions([f"a photo of {text}" for text in texts])
    out: dict[str, Any] = {}
    drawings = {kind: [draw(scene, kind, i) for i, scene in enumerate(found)] for kind in _KINDS}
    out["drawn"] = {kind: _scores(encoder, drawings[kind], kind, space, captions) for kind in _KINDS}
    pipeline = diffusers().StableDiffusionPipeline.from_pretrained(folder / "base", safety_checker=None)
    shown = {PLAIN: paint(pipeline, texts)}
    for style in STYLES:
        if (folder / style).is_dir():
            pipeline.load_lora_weights(str(folder / style), weight_name="pytorch_lora_weights.safetensors")
            shown[style] = paint(pipeline, texts)
            pipeline.unload_lora_weights()
    out["models"] = {kind: _scores(encoder, images, kind, space, captions) for kind, images in shown.items()}
    if (folder / "painter").is_dir():
        pipeline = diffusers().StableDiffusionPipeline.from_pretrained(folder / "painter", safety_checker=None)
        painted = {style: paint(pipeline, [f"a {style} picture of {text}" for text in texts]) for style in STYLES}
        out["painter"] = {kind: _scores(encoder, images, kind, space, captions) for kind, images in painted.items()}
        if sheet is not None:
            contact_sheet(
                {kind: images[:4] for kind, images in painted.items()}, sheet.with_stem(sheet.stem + "-painter")
            )
    if sheet is not None:
        contact_sheet({kind: images[:4] for kind, images in shown.items()}, sheet)
        say("captions of the sheet: " + "; ".join(texts[:4]))
    return out


def _scores(
    encoder: PictureEncoder,
    images: list[Any],
    kind: str,
    space: StyleSpace,
    captions: NDArray[np.float32],
) -> dict[str, float]:
    rows = encoder.pictures(images)
    style = space.nearest(rows) == _KINDS.index(kind)
    content = (rows @ captions.T).argmax(1) == np.arange(len(captions))
    return {"style": round(float(style.mean()), 3), "content": round(float(content.mean()), 3)}


def _unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)
