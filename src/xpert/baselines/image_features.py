"""What images are compared by: Inception, an image encoder, or any module that turns pixels into rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
import torch

from xpert.errors import DataError, MissingDependencyError, SettingsError, WeightsError
from xpert.images import open_image
from xpert.registry import SUMMARIZERS
from xpert.types import Array

__all__ = ["INCEPTION", "FeaturesLike", "ImageFeatures", "ModuleFeatures", "encoded", "inception", "opened_features"]

INCEPTION = "inception"
"""The name of what FID and KID are defined by: 2,048 features of torch-fidelity's Inception v3."""

_INCEPTION_SIDE = 299


@runtime_checkable
class ImageFeatures(Protocol):
    """Anything that encodes images; an image encoder summarizer is one."""

    @property
    def name(self) -> str:
        """What it is called where figures are told."""
        ...

    def encode_images(self, images: Sequence[str]) -> Array:
        """``(N, D)`` float32 features of images (paths or data URIs)."""
        ...


FeaturesLike: TypeAlias = str | ImageFeatures | torch.nn.Module


class ModuleFeatures:
    """A torch module as image features: bytes ``(N, 3, side, side)`` in, rows ``(N, D)`` out, as torchmetrics wants it.

    Args:
        module: The module; it is asked without gradients and never trained.
        side: Images are resized to squares of so many pixels (bicubic).
        name: What it is called.
        batch_size: Images in a batch at most.

    Raises:
        xpert.errors.SettingsError: Side or batch size are out of range.
    """

    def __init__(
        self, module: torch.nn.Module, *, side: int = _INCEPTION_SIDE, name: str | None = None, batch_size: int = 32
    ) -> None:
        if side < 1 or batch_size < 1:
            raise SettingsError(f"side and batch_size: expected 1 or more, got {side} and {batch_size}")
        self.name = name or type(module).__name__
        self._module, self._side, self._batch_size = module.eval(), side, batch_size

    def encode_images(self, images: Sequence[str]) -> Array:
        """``(N, D)`` float32 features of images (paths or data URIs).

        Raises:
            xpert.errors.DataError: One cannot be read.
            xpert.errors.WeightsError: A feature is not finite, or the module gives no row an image.
        """
        rows = [
            self._batch(images[first : first + self._batch_size]) for first in range(0, len(images), self._batch_size)
        ]
        return np.concatenate(rows) if rows else np.zeros((0, 0), np.float32)

    def _batch(self, images: Sequence[str]) -> Array:
        pixels = np.stack([np.asarray(open_image(image).resize((self._side, self._side), 3)) for image in images])
        with torch.inference_mode():
            out: Any = self._module(torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous())
        return _checked(out.float().cpu().numpy(), len(images), self.name)


def inception(weights: str | None = None) -> ModuleFeatures:
    """The Inception v3 that FID and KID are defined by, 2,048 features; torch-fidelity downloads its weights at first use.

    Images come to it in its own size by Pillow's bicubic filter, where torch-fidelity resizes by TensorFlow 1's bilinear rule: what is
    computed from it is not, to the digit, what torch-fidelity gives for the same images.

    Args:
        weights: A file of its weights that is here already; None: torch-fidelity's download.

    Raises:
        xpert.errors.MissingDependencyError: torchmetrics or torch-fidelity are not installed.
    """
    for package in ("torchmetrics", "torch_fidelity"):
        if find_spec(package) is None:
            raise MissingDependencyError.of(package.replace("_", "-"), "eval", "Inception features")
    from torchmetrics.image.fid import NoTrainInceptionV3

    network = NoTrainInceptionV3("inception-v3-compat", ["2048"], feature_extractor_weights_path=weights)
    return ModuleFeatures(network, side=_INCEPTION_SIDE, name=INCEPTION)


@contextmanager
def opened_features(features: FeaturesLike) -> Iterator[ImageFeatures]:
    """Features by name (closed afterwards) or as an object (the caller's to close).

    Args:
        features: ``inception``, ``encoder:REF`` (an image encoder), an object with ``encode_images``, or a torch module, which gets
            squares of 299 pixels (`ModuleFeatures` for others).

    Raises:
        xpert.errors.SettingsError: It encodes no images.
        xpert.errors.XpertError: Whatever loading raises.
    """
    if isinstance(features, torch.nn.Module):
        yield ModuleFeatures(features)
        return
    if not isinstance(features, str):
        if not isinstance(features, ImageFeatures):
            raise SettingsError(f"features: expected a name or an object with encode_images, got {features!r}")
        yield features
        return
    if features == INCEPTION:
        yield inception()
        return
    loaded: Any = SUMMARIZERS.make(features)
    close: Callable[[], None] = loaded.close
    try:
        if not isinstance(loaded, ImageFeatures):
            raise SettingsError(f"features: {features} encodes no images: expected {INCEPTION} or encoder:REF")
        yield loaded
    finally:
        close()


def encoded(features: ImageFeatures, images: Sequence[str], what: str, least: int) -> Array:
    """``(N, D)`` features of at least so many images.

    Raises:
        xpert.errors.DataError: There are fewer, or one cannot be read.
        xpert.errors.WeightsError: A feature is not finite, or there is not one row an image.
    """
    if len(images) < least:
        raise DataError(f"{what}: expected at least {least} images, got {len(images)}")
    return _checked(features.encode_images(images), len(images), features.name)


def _checked(found: Array, n_images: int, name: str) -> Array:
    rows = np.asarray(found, np.float32)
    if rows.ndim != 2 or len(rows) != n_images:
        raise WeightsError(f"image features {name}: expected {n_images} rows, got an array of shape {rows.shape}")
    if not np.isfinite(rows).all():
        raise WeightsError(f"image features {name}: a feature is not finite: check its weights")
    return rows
