"""A tiny vision-language model for tests: Qwen2.5-VL from a tiny config, random weights, made in memory, without a network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from xpert.errors import MissingDependencyError
from xpert.testing.tiny import tiny_tokenizer

__all__ = ["tiny_vlm"]

_VISION = ("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
_TEMPLATE = (
    "{% for m in messages %}<|{{ m['role'] }}|>{% if m['content'] is string %}{{ m['content'] }}{% else %}"
    "{% for part in m['content'] %}{% if part['type'] == 'image' %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% else %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
_TEXT = (
    "which style or look is more characteristic of picture b than of picture a? say how it is drawn or painted.",
    "a neon picture, a sketched picture, a pixelated picture, a watercolour picture, a grey picture, a bright picture.",
    "two pictures of the same subject differ in their style. reply with exactly one adjective in lower case.",
)
_PATCH = 4


def tiny_vlm(folder: str | Path, *, seed: int = 0, hidden_size: int = 32, layers: int = 2) -> Path:
    """Write a Qwen2.5-VL with random weights, its tokenizer, image processor and chat template to ``folder``.

    It reads images of 8 to 64 pixels a side in patches of 4, four patches a token.

    Args:
        folder: Where it goes.
        seed: Of its weights; the caller's random state is left alone.
        hidden_size: Of its text part, a multiple of 16.
        layers: Of its text part.

    Returns:
        The folder.

    Raises:
        xpert.errors.MissingDependencyError: Pillow is not installed.
    """
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    tokenizer = _tokenizer(folder)
    _processing(folder)
    ids = {name: tokenizer.convert_tokens_to_ids(token) for name, token in zip("abcd", _VISION, strict=True)}
    special = {
        "vision_start_token_id": ids["a"],
        "vision_end_token_id": ids["b"],
        "image_token_id": ids["c"],
        "video_token_id": ids["d"],
    }
    ends = {
        "bos_token_id": None,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    config = Qwen2_5_VLConfig(
        text_config=_text_config(len(tokenizer), hidden_size, layers) | ends,
        vision_config=_vision_config(hidden_size),
        **special,
        tie_word_embeddings=False,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model: Any = Qwen2_5_VLForConditionalGeneration(config)
        for name, parameter in sorted(model.named_parameters()):
            if parameter.dim() > 1:  # the usual 0.02 would make all answers alike
                fan_in = parameter[0].numel()
                parameter.data.normal_(0.0, 0.3 if "embed_tokens" in name else fan_in**-0.5)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.save_pretrained(folder)
    return Path(folder)


def _text_config(vocab_size: int, hidden_size: int, layers: int) -> dict[str, Any]:
    rope = {"rope_type": "default", "type": "default", "mrope_section": [2, 1, 1]}
    return {
        "vocab_size": vocab_size,
        "hidden_size": hidden_size,
        "intermediate_size": 2 * hidden_size,
        "num_hidden_layers": layers,
        "num_attention_heads": hidden_size // 8,
        "num_key_value_heads": hidden_size // 16,
        "max_position_embeddings": 2048,
        "rope_scaling": rope,
        "tie_word_embeddings": False,
    }


def _vision_config(hidden_size: int) -> dict[str, Any]:
    return {
        "depth": 2,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_heads": 4,
        "out_hidden_size": hidden_size,
        "patch_size": _PATCH,
        "spatial_merge_size": 2,
        "temporal_patch_size": 2,
        "window_size": 4 * _PATCH,
        "fullatt_block_indexes": [1],
    }


def _tokenizer(folder: str | Path) -> Any:
    """A byte-level one, as Qwen's class, with the tokens that stand for images."""
    from transformers import AutoTokenizer

    plain = tiny_tokenizer(folder, texts=_TEXT, vocab_size=420)
    plain.add_special_tokens({"additional_special_tokens": list(_VISION)})
    plain.chat_template = _TEMPLATE
    plain.save_pretrained(folder)
    settings = Path(folder) / "tokenizer_config.json"
    values: dict[str, Any] = json.loads(settings.read_text(encoding="utf-8"))
    values["tokenizer_class"] = "Qwen2TokenizerFast"
    settings.write_text(json.dumps(values, indent=2), encoding="utf-8")
    return AutoTokenizer.from_pretrained(folder, local_files_only=True)


def _processing(folder: str | Path) -> None:
    try:
        import PIL  # noqa: F401 (its absence shows late and badly)
        import transformers
    except ModuleNotFoundError:
        raise MissingDependencyError.of("Pillow", "diffusion", "a vision-language model") from None
    make: Any = getattr(transformers, "Qwen2VLImageProcessorPil", None) or transformers.Qwen2VLImageProcessor
    make(patch_size=_PATCH, temporal_patch_size=2, merge_size=2, min_pixels=64, max_pixels=4096).save_pretrained(folder)
