"""Prompts to images: a generator a prompt, batches, bits that can be made again."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from xpert.decoding import row_seed
from xpert.errors import SettingsError, WeightsError
from xpert.images import image_uri
from xpert.modalities.diffusion.pipeline import native_size
from xpert.progress import track

__all__ = ["batch_size_for", "decided", "paint", "to_uris"]

_CPU_PIXELS, _GPU_PIXELS = 8 * 64 * 64, 8 * 512 * 512
"""Pixels painted at once: on a CPU larger images gain nothing from company."""
_CPU_BATCH, _GPU_BATCH = 8, 32


def decided(pipe: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    """The options of painting with nothing left open.

    Args:
        pipe: The pipeline, whose class has the defaults.
        given: ``steps``, ``guidance_scale``, ``height``, ``width`` (None: open), ``negative_prompt``.

    Raises:
        xpert.errors.IncompatibleModelError: The size is open, and the pipeline says none.
    """
    size_open = given.get("height") is None or given.get("width") is None
    height, width = native_size(pipe) if size_open else (given["height"], given["width"])
    takes = inspect.signature(type(pipe).__call__).parameters
    own = {
        "steps": takes["num_inference_steps"].default,
        "guidance_scale": takes["guidance_scale"].default,
        "height": height,
        "width": width,
        "negative_prompt": "",
    }
    return {name: default if given.get(name) is None else given[name] for name, default in own.items()}


def batch_size_for(height: int, width: int, device: torch.device) -> int:
    """Images painted at once where nobody says."""
    pixels, most = (_CPU_PIXELS, _CPU_BATCH) if device.type == "cpu" else (_GPU_PIXELS, _GPU_BATCH)
    return min(max(pixels // (height * width), 1), most)


def paint(
    pipe: Any,
    prompts: Sequence[str],
    settings: Mapping[str, Any],
    *,
    seed: int,
    draw: str,
    batch_size: int,
    description: str,
    where: str,
) -> list[str]:
    """One image a prompt, as data URIs, in the order of the prompts.

    Each prompt has a generator of its own on the CPU, seeded from (``seed``, ``draw``, prompt): noise depends on neither batch,
    order, device nor on which model paints. A last batch that is not full is filled with its last prompt again, so that at one
    batch size an image is the same to the bit whatever is painted beside it; at another size sums are added in another order,
    which moves some pixels by a grey level or two.

    Args:
        pipe: The pipeline as it is to paint.
        prompts: What to show.
        settings: See `decided`.
        seed: Of the noise.
        draw: Another name gives independent noise of the same seed.
        batch_size: Images at once.
        description: What the progress bar says.
        where: Who paints, for messages.

    Raises:
        xpert.errors.SettingsError: The pipeline refuses the options, a size for example.
        xpert.errors.WeightsError: Pixels are not finite.
    """
    found: list[str] = []
    starts = range(0, len(prompts), batch_size)
    with _deterministic():
        for start in track(starts, description, unit="batch"):
            batch = list(prompts[start : start + batch_size])
            full = batch + batch[-1:] * (batch_size - len(batch))
            seeds = [row_seed(seed, draw, prompt) for prompt in full]
            found += to_uris(_pixels(pipe, full, seeds, settings, where)[: len(batch)], where)
    return found


def to_uris(pixels: NDArray[np.floating[Any]], where: str) -> list[str]:
    """Pixels ``(B, H, W, 3)`` within 0 and 1 as images of 8 bits.

    Raises:
        xpert.errors.WeightsError: One is not finite (a picture of NaN would be black).
    """
    from PIL import Image

    if not np.isfinite(pixels).all():
        raise WeightsError(
            f"{where}: painted pixels are not finite: its weights are broken, or overflow in this number type (try dtype float32)"
        )
    return [image_uri(Image.fromarray((image * 255).round().astype(np.uint8))) for image in pixels]


def _pixels(
    pipe: Any, prompts: list[str], seeds: Sequence[int], settings: Mapping[str, Any], where: str
) -> NDArray[np.floating[Any]]:
    takes = inspect.signature(type(pipe).__call__).parameters
    options: dict[str, Any] = {}
    if settings["negative_prompt"]:
        if "negative_prompt" not in takes:
            raise SettingsError(f"{where}: {type(pipe).__name__} takes no negative_prompt: leave it out")
        options["negative_prompt"] = [settings["negative_prompt"]] * len(prompts)
    try:
        made = pipe(
            prompt=prompts,
            num_inference_steps=settings["steps"],
            guidance_scale=settings["guidance_scale"],
            height=settings["height"],
            width=settings["width"],
            generator=[torch.Generator("cpu").manual_seed(seed) for seed in seeds],
            output_type="np",
            **options,
        )
    except ValueError as error:
        said = " ".join(str(error).split())[:300]
        raise SettingsError(f"{where}: the pipeline does not paint with {dict(settings)}: {said}") from error
    return np.asarray(made.images)


@contextmanager
def _deterministic() -> Iterator[None]:
    """Without algorithms of cuDNN that are not the same from run to run, or chosen by timing."""
    with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
        yield
