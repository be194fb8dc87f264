"""Vision-language models of Transformers: a chat turn of texts and images in, the last hidden state out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import torch
from safetensors import SafetensorError

from xpert.errors import IncompatibleModelError, MissingDependencyError, WeightsError
from xpert.images import open_image
from xpert.loading import checked, has_tokenizer, load_tokenizer
from xpert.summarizers.causal import Head
from xpert.summarizers.image_text import pil_processing
from xpert.weights import tensor_shapes, weight_files

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["Part", "VisionLanguageModel", "within"]

Part: TypeAlias = "str | Image"
"""A part of a chat turn: a text or an image."""


class VisionLanguageModel:
    """Any chat VLM that ``AutoModelForImageTextToText`` loads, with its processor; one turn at a time, so rows depend on themselves alone.

    Args:
        folder: A folder of safetensors weights, config, tokenizer, image processor and chat template.
        device: Where it runs.
        dtype: Of its weights; ``"auto"``: as stored.

    Raises:
        xpert.errors.IncompatibleModelError: It is no chat VLM that Transformers knows without running its code.
        xpert.errors.WeightsError: Its weights are missing, pickled or not finite.
        xpert.errors.MissingDependencyError: Pillow is not installed.
    """

    def __init__(self, folder: Path, *, device: torch.device, dtype: Any) -> None:
        self._processor, self.tokenizer = _processor(folder)
        self.model = _load(folder, device, dtype)
        self.layer = self.model.get_output_embeddings()
        if self.layer is None:
            raise IncompatibleModelError(f"{folder}: {type(self.model).__name__} has no output layer: take a chat VLM")
        text = getattr(self.model.config, "text_config", self.model.config)
        self.n_positions: int | None = getattr(text, "max_position_embeddings", None)

    def inputs(self, turn: Sequence[Part], prefix: str = "") -> Any:
        """A user's turn as the model takes it, its reply opened; ``prefix`` is what the reply begins with."""
        content = [
            {"type": "text", "text": part} if isinstance(part, str) else {"type": "image", "image": part}
            for part in turn
        ]
        messages = [{"role": "user", "content": content}]
        text = self._processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=True) + prefix
        images = [part for part in turn if not isinstance(part, str)]
        begun = bool(self.tokenizer.bos_token) and text.startswith(self.tokenizer.bos_token)
        given = self._processor(
            text=[text], images=[images] if images else None, return_tensors="pt", add_special_tokens=not begun
        )
        return given.to(self.model.device, self.model.dtype)

    def last_hidden(self, inputs: Any) -> torch.Tensor:
        """``(D,)`` float32: what the output layer multiplies at the last position."""
        with torch.inference_mode():
            return self._last(use_cache=False, **inputs)[0][0].float().cpu()

    def read(self, inputs: Any) -> Head:
        """The turn as keys and values, to try out what comes next."""
        for module in self.model.modules():  # Qwen's keep the last turn's
            if getattr(module, "rope_deltas", None) is not None:
                module.rope_deltas = None
        with torch.no_grad():
            cache = self._last(use_cache=True, **inputs)[1]
        n_tokens = int(inputs["input_ids"].shape[1])
        return Head(cache=cache, n_tokens=n_tokens, position=n_tokens + self._shift())

    def step(
        self, ids: torch.Tensor, positions: Sequence[torch.Tensor], caches: Sequence[Any]
    ) -> Iterator[torch.Tensor]:
        """One token more after each of several turns: ids and positions ``(B, 1)`` and a cache to last hidden states ``(B, D)``."""
        for at, cache in zip(positions, caches, strict=True):
            yield self._last(input_ids=ids, position_ids=at, past_key_values=cache, use_cache=True)[0]

    def reply(self, inputs: Any, max_new_tokens: int) -> str:
        """The greedy reply to a turn."""
        from transformers import GenerationConfig

        own = self.model.generation_config
        how = GenerationConfig(
            max_new_tokens=max_new_tokens,
            do_sample=False,
            eos_token_id=own.eos_token_id or self.tokenizer.eos_token_id,
            pad_token_id=0 if self.tokenizer.pad_token_id is None else self.tokenizer.pad_token_id,
        )
        with torch.inference_mode():
            ids = self.model.generate(**inputs, generation_config=how)
        return self.tokenizer.decode(ids[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)

    def _last(self, **inputs: Any) -> tuple[torch.Tensor, Any]:
        """The output layer's input ``(B, D)`` at the last position, and the cache; logits are made for that position alone."""
        caught: list[torch.Tensor] = []

        def catch(_layer: Any, given: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
            caught.append(given[0][:, -1:])
            return (caught[-1],)

        with _hooked(self.layer, catch):
            out = self.model(**inputs)
        return caught[-1][:, -1], out.past_key_values

    def _shift(self) -> int:
        """How far the next position is from the number of tokens: a model may count an image as fewer positions than tokens."""
        shifts = [getattr(module, "rope_deltas", None) for module in self.model.modules()]
        return next((int(shift.reshape(-1)[0]) for shift in shifts if isinstance(shift, torch.Tensor)), 0)


def within(image: str, max_pixels: int | None) -> Image:
    """An image (a path or a data URI) in RGB, made smaller where it has more than ``max_pixels`` pixels; its proportions stay.

    Raises:
        xpert.errors.DataError: It cannot be read.
    """
    opened = open_image(image)
    share = 1.0 if max_pixels is None else (max_pixels / (opened.width * opened.height)) ** 0.5
    if share >= 1:
        return opened
    return opened.resize((max(1, int(opened.width * share)), max(1, int(opened.height * share))))


class _hooked:  # noqa: N801 (reads as a function)
    """A module with a forward pre-hook, gone on exit."""

    def __init__(self, module: torch.nn.Module, hook: Callable[..., Any]) -> None:
        self._module, self._hook = module, hook

    def __enter__(self) -> None:
        self._handle = self._module.register_forward_pre_hook(self._hook)

    def __exit__(self, *_: object) -> None:
        self._handle.remove()


def _load(folder: Path, device: torch.device, dtype: Any) -> Any:
    from transformers import AutoModelForImageTextToText

    tensor_shapes(weight_files(folder))
    options: dict[str, Any] = {"use_safetensors": True, "local_files_only": True, "trust_remote_code": False}
    try:
        loaded: Any = AutoModelForImageTextToText.from_pretrained(
            folder, dtype=dtype, output_loading_info=True, **options
        )
    except (ValueError, KeyError) as error:
        raise IncompatibleModelError(f"{folder}: expected a vision-language model: {_line(error)}") from error
    except (OSError, RuntimeError, SafetensorError) as error:
        raise WeightsError(f"{folder}: its weights do not fit its config: {_line(error)}") from error
    model, info = loaded
    return checked(model, info, folder).to(device)


def _processor(folder: Path) -> tuple[Any, Any]:
    """The folder's processor for texts and images alone, and its tokenizer; what it has for videos would need torchvision."""
    from transformers import AutoConfig, AutoImageProcessor
    from transformers.models.auto.processing_auto import PROCESSOR_MAPPING

    if not has_tokenizer(folder):
        raise IncompatibleModelError(f"{folder}: no tokenizer: expected a vision-language model's folder")
    options: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    try:
        config: Any = AutoConfig.from_pretrained(folder, **options)
        kind: Any = PROCESSOR_MAPPING.get(type(config), None)
        if kind is None:
            raise IncompatibleModelError(
                f"{folder}: {config.model_type} is no vision-language model that Transformers has a processor for; "
                "texts are compared with hf:"
            )
        tokenizer = load_tokenizer(folder)
        images = AutoImageProcessor.from_pretrained(folder, **options, **pil_processing())
        processor = _of_texts_and_images(kind, tokenizer, images).from_pretrained(folder, local_files_only=True)
    except ImportError:
        raise MissingDependencyError.of("Pillow", "diffusion", "a vision-language model") from None
    except (OSError, ValueError, KeyError) as error:
        if isinstance(error, IncompatibleModelError):
            raise
        raise IncompatibleModelError(f"{folder}: its processor cannot be used: {_line(error)}") from error
    if not processor.chat_template:
        processor.chat_template = tokenizer.chat_template
    if not processor.chat_template:
        raise IncompatibleModelError(
            f"{folder}: no chat template: expected a vision-language model that was made to chat"
        )
    return processor, tokenizer


def _of_texts_and_images(kind: Any, tokenizer: Any, images: Any) -> Any:
    """A processor class that is given these two parts, and none for what else there is (videos)."""
    parts = {"tokenizer": tokenizer, "image_processor": images}

    class TextsAndImages(kind):
        @classmethod
        def _get_arguments_from_pretrained(cls, *_: Any, **__: Any) -> list[Any]:
            named = cls.get_attributes() if hasattr(cls, "get_attributes") else cls.attributes
            return [parts.get(name) for name in named]

        def check_argument_for_proper_class(self, argument_name: str, argument: Any) -> Any:
            return None if argument is None else super().check_argument_for_proper_class(argument_name, argument)

    TextsAndImages.__name__ = kind.__name__  # kwargs of a processor are found by its name
    return TextsAndImages


def _line(error: Exception) -> str:
    """An error's first line that says something."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
