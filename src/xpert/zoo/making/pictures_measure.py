"""How good the picture zoo is: do generated pictures of unseen captions show the style and the content, by the zoo's encoder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from xpert.progress import say
from xpert.zoo.making.pictures_vae import diffusers
from xpert.zoo.pictures.dataset import draw
from xpert.zoo.pictures.scenes import scenes
from xpert.zoo.pictures.styles import PLAIN, STYLES

__all__ = ["GUIDANCE", "N_STEPS", "PictureEncoder", "contact_sheet", "measure_zoo", "paint", "style_centroids"]

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


def style_centroids(encoder: PictureEncoder, n: int = 60, seed: int = 5) -> NDArray[np.float32]:
    """Unit mean embeddings of drawn pictures of the users' scenes, plain and in the nine styles: ``(10, D)``."""
    found = scenes("users", n, seed)
    rows = [encoder.pictures([draw(scene, kind, i) for i, scene in enumerate(found)]).mean(0) for kind in _KINDS]
    return _unit(np.stack(rows))


def measure_zoo(folder: Path, *, sheet: Path | None = None, n: int = 20) -> dict[str, Any]:
    """Measure encoder, base, painter and adapters on unseen captions; all shares are of 1.

    ``style``: share of pictures whose nearest of the ten centroids is the model's. ``content``: share whose caption is the nearest of
    all ``n``. Rows ``drawn`` are the same for drawn pictures: what is the most that can be expected.
    """
    encoder = PictureEncoder(folder / "encoder")
    centroids = style_centroids(encoder)
    found = scenes("probes", n, 0)
    texts = [scene.caption for scene in found]
    captions = encoder.captions([f"a photo of {text}" for text in texts])
    out: dict[str, Any] = {}
    drawings = {kind: [draw(scene, kind, i) for i, scene in enumerate(found)] for kind in _KINDS}
    out["drawn"] = {kind: _scores(encoder, drawings[kind], kind, centroids, captions) for kind in _KINDS}
    pipeline = diffusers().StableDiffusionPipeline.from_pretrained(folder / "base", safety_checker=None)
    shown = {PLAIN: paint(pipeline, texts)}
    for style in STYLES:
        if (folder / style).is_dir():
            pipeline.load_lora_weights(folder / style)
            shown[style] = paint(pipeline, texts)
            pipeline.unload_lora_weights()
    out["models"] = {kind: _scores(encoder, images, kind, centroids, captions) for kind, images in shown.items()}
    if (folder / "painter").is_dir():
        pipeline = diffusers().StableDiffusionPipeline.from_pretrained(folder / "painter", safety_checker=None)
        painted = {style: paint(pipeline, [f"a {style} picture of {text}" for text in texts]) for style in STYLES}
        out["painter"] = {kind: _scores(encoder, images, kind, centroids, captions) for kind, images in painted.items()}
        if sheet is not None:
            contact_sheet(
                {kind: images[:4] for kind, images in painted.items()}, sheet.with_stem(sheet.stem + "-painter")
            )
    if sheet is not None:
        contact_sheet({kind: images[:4] for kind, images in shown.items()}, sheet)
        say("captions of the sheet: " + "; ".join(texts[:4]))
    return out


def contact_sheet(columns: dict[str, list[Any]], file: Path) -> None:
    """Pictures in columns with a name on top, as one PNG."""
    from PIL import Image, ImageDraw

    step, top = 68, 14
    rows = max(len(images) for images in columns.values())
    sheet = Image.new("RGB", (step * len(columns), top + step * rows), "white")
    pen = ImageDraw.Draw(sheet)
    for column, (name, images) in enumerate(columns.items()):
        pen.text((column * step + 2, 1), name, fill="black")
        for row, image in enumerate(images):
            sheet.paste(image, (column * step + 2, top + row * step + 2))
    file.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(file, optimize=True)


def _scores(
    encoder: PictureEncoder,
    images: list[Any],
    kind: str,
    centroids: NDArray[np.float32],
    captions: NDArray[np.float32],
) -> dict[str, float]:
    rows = encoder.pictures(images)
    style = (rows @ centroids.T).argmax(1) == _KINDS.index(kind)
    content = (rows @ captions.T).argmax(1) == np.arange(len(captions))
    return {"style": round(float(style.mean()), 3), "content": round(float(content.mean()), 3)}


def _unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)
