"""Image-text models of Transformers (CLIP, SigLIP and their kind): one space for images and texts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from xpert.errors import IncompatibleModelError, MissingDependencyError, WeightsError
from xpert.images import open_image
from xpert.loading import DTYPES, has_tokenizer, load_tokenizer
from xpert.types import Array
from xpert.weights import check_finite, tensor_shapes, weight_files

__all__ = ["ImageTextModel", "pil_processing"]


def pil_processing() -> dict[str, Any]:
    """What makes Transformers prepare images with Pillow, so that machines with and without torchvision agree to the bit."""
    import transformers

    return {"use_fast": False} if int(transformers.__version__.split(".")[0]) < 5 else {"backend": "pil"}


class ImageTextModel:
    """A CLIP-like model with its tokenizer and image processor: images and token rows to features of one width.

    Args:
        folder: A folder that Transformers' `AutoModel` loads, with ``get_image_features`` and ``get_text_features``.
        device: Where it runs.
        dtype: Name of the number type of its weights.

    Raises:
        xpert.errors.IncompatibleModelError: It is no such model, or tokenizer or image processor are missing.
        xpert.errors.WeightsError: Its weights are missing, pickled or not finite.
        xpert.errors.MissingDependencyError: Pillow is not installed.
    """

    def __init__(self, folder: Path, *, device: torch.device, dtype: str) -> None:
        self.folder = folder
        self._model = _load(folder, device, DTYPES[dtype])
        self.tokenizer = load_tokenizer(folder)
        self._images = _image_processor(folder)
        text = self._model.config.text_config
        self.max_tokens = _max_tokens(text, self.tokenizer, folder)
        self._padded_to = self.max_tokens if str(text.model_type).startswith("siglip") else None

    def image_features(self, images: Sequence[str]) -> Array:
        """``(N, D)`` float32 features of images (paths or data URIs), each resized and cropped as the model's folder says."""
        opened = [open_image(image) for image in images]
        values = self._images(images=opened, return_tensors="pt")["pixel_values"]
        with torch.inference_mode():
            out = self._model.get_image_features(pixel_values=values.to(self._model.device, self._model.dtype))
        return _rows(out)

    def text_features(self, chunks: Sequence[Sequence[int]]) -> Array:
        """``(N, D)`` float32 features of token rows, special tokens included. SigLIP's are padded as in its training."""
        width = self._padded_to or max(map(len, chunks))
        ids = torch.full((len(chunks), width), self.tokenizer.pad_token_id or 0, dtype=torch.long)
        mask = torch.zeros_like(ids)
        for row, chunk in enumerate(chunks):
            ids[row, : len(chunk)] = torch.tensor(list(chunk))
            mask[row, : len(chunk)] = 1
        given = {"input_ids": ids} if self._padded_to else {"input_ids": ids, "attention_mask": mask}
        with torch.inference_mode():
            out = self._model.get_text_features(**{key: value.to(self._model.device) for key, value in given.items()})
        return _rows(out)

    def width(self) -> int:
        """``D``: the width of the space, told by the features of one short text."""
        ids = self.tokenizer("a")["input_ids"][: self.max_tokens]
        return int(self.text_features([ids]).shape[1])


def _load(folder: Path, device: torch.device, dtype: Any) -> Any:
    from transformers import AutoModel

    tensor_shapes(weight_files(folder))
    options: dict[str, Any] = {"use_safetensors": True, "local_files_only": True, "trust_remote_code": False}
    try:
        loaded: Any = AutoModel.from_pretrained(folder, dtype=dtype, output_loading_info=True, **options)
    except (KeyError, ValueError) as error:
        raise IncompatibleModelError(f"{folder}: expected an image-text model: {_line(error)}") from error
    except (OSError, RuntimeError) as error:
        raise WeightsError(f"{folder}: its weights do not fit its config: {_line(error)}") from error
    model, info = loaded
    if not hasattr(model, "get_image_features") or not hasattr(model, "get_text_features"):
        raise IncompatibleModelError(
            f"{folder}: {type(model).__name__} has no features of images and texts: expected a CLIP or SigLIP model"
        )
    if missing := sorted(info["missing_keys"]):
        raise WeightsError(f"{folder}: {len(missing)} tensors are missing, first {missing[0]}: download it again")
    check_finite(model.named_parameters(), str(folder))
    return model.requires_grad_(False).eval().to(device)


def _image_processor(folder: Path) -> Any:
    from transformers import AutoImageProcessor

    if not (folder / "preprocessor_config.json").is_file() and not (folder / "processor_config.json").is_file():
        raise IncompatibleModelError(f"{folder}: no image processor: expected preprocessor_config.json")
    if not has_tokenizer(folder):
        raise IncompatibleModelError(f"{folder}: no tokenizer: expected tokenizer.json")
    try:
        return AutoImageProcessor.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False, **pil_processing()
        )
    except ImportError:
        raise MissingDependencyError.of("Pillow", "diffusion", "an image encoder") from None
    except (OSError, ValueError, KeyError) as error:
        raise IncompatibleModelError(f"{folder}: its image processor cannot be used: {_line(error)}") from error


def _max_tokens(text: Any, tokenizer: Any, folder: Path) -> int:
    """Tokens of a text, special ones included: the model's positions, or its tokenizer's own lower limit."""
    limits = [getattr(text, "max_position_embeddings", 0), tokenizer.model_max_length]
    longest = min((limit for limit in limits if limit), default=0)
    if not 3 <= longest <= 1 << 20:
        raise IncompatibleModelError(f"{folder}: its longest text is {longest} tokens: expected a limit in its config")
    return int(longest)


def _rows(out: Any) -> Array:
    """Features as Transformers 4 gives them (a tensor), or 5 (an output whose ``pooler_output`` they are)."""
    tensor = out if isinstance(out, torch.Tensor) else out.pooler_output
    return np.asarray(tensor.float().cpu().numpy(), np.float32)


def _line(error: Exception) -> str:
    """An error's first line that says something."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
