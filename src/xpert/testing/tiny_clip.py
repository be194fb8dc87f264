"""Tiny image-text encoders for tests: CLIP and SigLIP from tiny configs, random weights, made in memory, without a network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias

import torch

from xpert.errors import MissingDependencyError

__all__ = ["ImageTextArchitecture", "tiny_clip", "word_tokenizer"]

ImageTextArchitecture: TypeAlias = Literal["clip", "siglip"]

_WORDS = (
    *("a", "the", "of", "in", "on", "and", "picture", "photo", "image", "style", "cat", "dog", "house", "tree", "sun"),
    *("red", "green", "blue", "dark", "bright", "grey", "neon", "sketched", "pixelated", "watercolour", "blurry", ","),
)
_SPECIAL = ("<|startoftext|>", "<|endoftext|>", "<|unknown|>")


def tiny_clip(
    folder: str | Path,
    *,
    architecture: ImageTextArchitecture = "clip",
    seed: int = 0,
    hidden_size: int = 32,
    width: int = 24,
    image_size: int = 32,
    max_tokens: int = 24,
) -> Path:
    """Write an image-text encoder with tokenizer and image processor to ``folder``.

    It knows a few dozen words, all others by their letters.

    Args:
        folder: Where it goes.
        architecture: Whose classes.
        seed: Of its weights; the caller's random state is left alone.
        hidden_size: Of both towers, a multiple of 4.
        width: Of the space that texts and images share (SigLIP's is ``hidden_size``).
        image_size: Side of the images that it sees, in pixels, a multiple of 8; others are resized and cropped.
        max_tokens: Longest text, in tokens.

    Returns:
        The folder.

    Raises:
        xpert.errors.MissingDependencyError: Pillow is not installed.
    """
    tokenizer = word_tokenizer(_WORDS, max_tokens=max_tokens)
    tokenizer.save_pretrained(folder)
    processor = _image_processor(architecture, image_size)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = _model(architecture, tokenizer, hidden_size, width, image_size)
        for name, parameter in sorted(model.named_parameters()):
            if parameter.dim() > 1:  # the usual 0.02 would make all images alike
                fan_in = parameter[0].numel()
                parameter.data.normal_(0.0, 0.5 if "position" in name or "token_emb" in name else fan_in**-0.5)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return Path(folder)


def word_tokenizer(words: Sequence[str], *, max_tokens: int, extra: Sequence[str] = ()) -> Any:
    """A tokenizer in CLIP's manner (start, text, end) that knows some words and reads all others letter by letter.

    Args:
        words: The words it knows, in lower case.
        max_tokens: Longest text.
        extra: Further special tokens.
    """
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    letters = [chr(code) for code in range(33, 127)]
    vocabulary = [*_SPECIAL, *extra, *dict.fromkeys([*words, *letters, *(f"##{c}" for c in letters)])]
    ids = {token: i for i, token in enumerate(vocabulary)}
    raw: Any = Tokenizer(models.WordPiece(ids, unk_token=_SPECIAL[2]))
    raw.normalizer = normalizers.Lowercase()
    raw.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    raw.decoder = decoders.WordPiece()
    start, end = _SPECIAL[:2]
    raw.post_processor = processors.TemplateProcessing(
        single=f"{start} $A {end}", special_tokens=[(start, ids[start]), (end, ids[end])]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=raw,
        bos_token=start,
        eos_token=end,
        pad_token=end,
        unk_token=_SPECIAL[2],
        model_max_length=max_tokens,
        model_input_names=["input_ids", "attention_mask"],
    )


def _model(architecture: ImageTextArchitecture, tokenizer: Any, hidden_size: int, width: int, image_size: int) -> Any:
    from transformers import CLIPConfig, CLIPModel, SiglipConfig, SiglipModel

    tower = {
        "hidden_size": hidden_size,
        "intermediate_size": 2 * hidden_size,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
    }
    text = {
        **tower,
        "vocab_size": len(tokenizer),
        "max_position_embeddings": tokenizer.model_max_length,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        "projection_dim": width,
        "projection_size": hidden_size,
    }
    vision = {**tower, "image_size": image_size, "patch_size": 8, "projection_dim": width}
    if architecture == "siglip":
        return SiglipModel(SiglipConfig(text_config=text, vision_config=vision)).eval()
    return CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=width)).eval()


def _image_processor(architecture: ImageTextArchitecture, image_size: int) -> Any:
    try:
        import PIL  # noqa: F401 (its absence shows late and badly)
        import transformers
    except ModuleNotFoundError:
        raise MissingDependencyError.of("Pillow", "diffusion", "an image encoder") from None
    name = "CLIPImageProcessor" if architecture == "clip" else "SiglipImageProcessor"
    make: Any = getattr(transformers, f"{name}Pil", None) or getattr(transformers, name)  # Transformers 5: with Pillow
    side = {"height": image_size, "width": image_size}
    if architecture == "siglip":
        return make(size=side)
    return make(size={"shortest_edge": image_size}, crop_size=side)
