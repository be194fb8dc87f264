"""Tiny text-to-image pipelines for tests: Stable Diffusion's four families from tiny configs, random weights, no network.

They paint noise, but they are real: diffusers loads them by their own classes, a prompt changes the picture, and two with one
seed are the same bit for bit.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias

import torch

from xpert.errors import MissingDependencyError
from xpert.testing.tiny import TEXT, move_matrices

__all__ = ["FAMILIES", "PipelineFamily", "tiny_pipeline", "tiny_pipeline_adapter", "tiny_pipeline_full"]

PipelineFamily: TypeAlias = Literal["sd15", "sd21", "sdxl", "sd35"]
FAMILIES: tuple[PipelineFamily, ...] = ("sd15", "sd21", "sdxl", "sd35")
"""Stable Diffusion 1.5 (noise is predicted), 2.1 (velocity), XL (two text encoders), 3.5 (a transformer, flow matching)."""

_WIDTH = 32
_CHANNELS = (32, 64)
_LATENTS = {"sd35": 16}
_N_TOKENS = 16
_NORMS = 8


def tiny_pipeline(folder: str | Path, *, family: PipelineFamily = "sd15", seed: int = 0, size: int = 32) -> Path:
    """Write a text-to-image pipeline with random weights to ``folder``.

    Args:
        folder: Where it goes.
        family: Which Stable Diffusion's classes.
        seed: Of its weights; the caller's random state is left alone.
        size: Side of its pictures in pixels, a multiple of 4 (its VAE halves sides once, its denoiser once more).

    Returns:
        The folder.

    Raises:
        xpert.errors.MissingDependencyError: diffusers is not installed.
    """
    diffusers = _diffusers()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        parts = _parts(diffusers, family, size // 2)
        for name, part in sorted(parts.items()):
            if isinstance(part, torch.nn.Module):
                _spread(part, strong=name in ("unet", "transformer"))
                part.eval()
        pipeline = _assemble(diffusers, family, parts)
    pipeline.save_pretrained(folder)
    return Path(folder)


def tiny_pipeline_full(base: str | Path, folder: str | Path, *, seed: int = 0, scale: float = 0.1) -> Path:
    """A full fine-tune of ``base``: a copy with every matrix of the denoiser moved by ``scale`` times its own spread."""
    shutil.copytree(base, folder)
    move_matrices(denoiser_folder(folder), seed=seed, scale=scale)
    return Path(folder)


def tiny_pipeline_adapter(
    base: str | Path,
    folder: str | Path,
    *,
    rank: int = 4,
    alpha: int = 4,
    seed: int = 0,
    target_modules: Sequence[str] = ("to_q", "to_k", "to_v", "to_out.0"),
    scale: float = 1.0,
) -> Path:
    """Write a LoRA adapter of ``base``'s denoiser as diffusers does (``pytorch_lora_weights.safetensors``), with a B that is not zero.

    Args:
        base: Folder of a pipeline.
        folder: Where the adapter goes.
        rank: ``r``.
        alpha: ``lora_alpha``; the update is ``alpha / rank * B A``.
        seed: Of A and B; the caller's random state is left alone.
        target_modules: Which modules it changes.
        scale: Spread of B's entries, times ``rank ** -0.5 / 2``.

    Returns:
        The folder.
    """
    diffusers = _diffusers()
    from peft import LoraConfig
    from peft.utils import get_peft_model_state_dict

    pipeline: Any = diffusers.DiffusionPipeline.from_pretrained(base, local_files_only=True)
    name = denoiser_folder(base).name
    denoiser = getattr(pipeline, name)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        denoiser.add_adapter(LoraConfig(r=rank, lora_alpha=alpha, target_modules=list(target_modules)))
        for key, parameter in sorted(denoiser.named_parameters()):
            if "lora_B" in key:
                parameter.data.normal_(0.0, scale * 0.5 * rank**-0.5)
    layers = {f"{name}_lora_layers": get_peft_model_state_dict(denoiser)}
    settings = {f"{name}_lora_adapter_metadata": denoiser.peft_config["default"].to_dict()}
    pipeline.save_lora_weights(folder, **layers, **settings)
    return Path(folder)


def denoiser_folder(pipeline: str | Path) -> Path:
    """The sub-folder of a pipeline's denoiser: ``unet`` or ``transformer``."""
    names = json.loads((Path(pipeline) / "model_index.json").read_text(encoding="utf-8"))
    return Path(pipeline) / ("unet" if "unet" in names else "transformer")


def _parts(diffusers: Any, family: PipelineFamily, latent_size: int) -> dict[str, Any]:
    latents = _LATENTS.get(family, 4)
    parts: dict[str, Any] = {
        "vae": diffusers.AutoencoderKL(
            block_out_channels=[16, 32],
            in_channels=3,
            out_channels=3,
            down_block_types=["DownEncoderBlock2D"] * 2,
            up_block_types=["UpDecoderBlock2D"] * 2,
            latent_channels=latents,
            norm_num_groups=_NORMS,
            sample_size=2 * latent_size,
            **(
                {"shift_factor": 0.06, "use_quant_conv": False, "use_post_quant_conv": False}
                if family == "sd35"
                else {}
            ),
        ),
        "tokenizer": _clip_tokenizer(),
        "text_encoder": _clip(projected=family == "sd35", seed_shift=0),
    }
    if family in ("sdxl", "sd35"):
        parts |= {"tokenizer_2": _clip_tokenizer(), "text_encoder_2": _clip(projected=True, seed_shift=1)}
    if family == "sd35":
        parts |= {"tokenizer_3": _t5_tokenizer(), "text_encoder_3": _t5()}
        parts["transformer"] = diffusers.SD3Transformer2DModel(
            sample_size=latent_size,
            patch_size=1,
            in_channels=latents,
            out_channels=latents,
            num_layers=2,
            attention_head_dim=8,
            num_attention_heads=4,
            caption_projection_dim=_WIDTH,
            joint_attention_dim=_WIDTH,
            pooled_projection_dim=2 * _WIDTH,
            pos_embed_max_size=latent_size,
            qk_norm="rms_norm",
        )
        parts["scheduler"] = diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0)
    else:
        parts["unet"] = _unet(diffusers, family, latent_size)
        parts["scheduler"] = _scheduler(diffusers, family)
    return parts


def _unet(diffusers: Any, family: PipelineFamily, latent_size: int) -> Any:
    options: dict[str, Any] = {}
    if family == "sdxl":
        options = {
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": 8,
            "projection_class_embeddings_input_dim": 6 * 8 + _WIDTH,
            "transformer_layers_per_block": [1, 2],
        }
    return diffusers.UNet2DConditionModel(
        block_out_channels=_CHANNELS,
        layers_per_block=1,
        sample_size=latent_size,
        in_channels=4,
        out_channels=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=2 if family == "sd15" else (2, 4),
        use_linear_projection=family != "sd15",
        cross_attention_dim=2 * _WIDTH if family == "sdxl" else _WIDTH,
        norm_num_groups=_NORMS,
        **options,
    )


def _scheduler(diffusers: Any, family: PipelineFamily) -> Any:
    common = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}
    if family == "sdxl":
        return diffusers.EulerDiscreteScheduler(**common)
    kind = "v_prediction" if family == "sd21" else "epsilon"
    return diffusers.DDIMScheduler(**common, clip_sample=False, set_alpha_to_one=False, prediction_type=kind)


def _assemble(diffusers: Any, family: PipelineFamily, parts: dict[str, Any]) -> Any:
    if family == "sdxl":
        return diffusers.StableDiffusionXLPipeline(**parts, add_watermarker=False)
    if family == "sd35":
        return diffusers.StableDiffusion3Pipeline(**parts)
    bare = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
    return diffusers.StableDiffusionPipeline(**parts, **bare)


def _spread(model: Any, *, strong: bool) -> None:
    """Random matrices of a spread at which prompts and noise show in what comes out; the usual ones make all pictures alike."""
    for name, parameter in sorted(model.named_parameters()):
        if parameter.dim() > 1:
            fan_in = parameter[0].numel()
            gain = 1.0 if strong and "embed" not in name else 0.7
            spread = (
                1.0 if "embedding" in name and parameter.dim() == 2 and "linear" not in name else gain * fan_in**-0.5
            )
            parameter.data.normal_(0.0, spread)


def _clip(*, projected: bool, seed_shift: int) -> Any:
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    config = CLIPTextConfig(
        vocab_size=len(_clip_vocabulary()),
        hidden_size=_WIDTH,
        intermediate_size=2 * _WIDTH,
        num_hidden_layers=1 + seed_shift,
        num_attention_heads=4,
        max_position_embeddings=_N_TOKENS,
        projection_dim=_WIDTH,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
    )
    return (CLIPTextModelWithProjection if projected else CLIPTextModel)(config)


def _t5() -> Any:
    from transformers import T5Config, T5EncoderModel

    size = len(_words()) + 3
    config = T5Config(vocab_size=size, d_model=_WIDTH, d_kv=8, d_ff=2 * _WIDTH, num_layers=1, num_heads=4)
    return T5EncoderModel(config)


def _words() -> list[str]:
    return sorted({word.strip(".,:?") for text in TEXT for word in text.split()})


def _clip_vocabulary() -> dict[str, int]:
    """Letters alone and at a word's end: CLIP's tokenizer without merges reads any word letter by letter."""
    letters = [chr(code) for code in range(33, 127)]
    return {
        token: i
        for i, token in enumerate(["<|startoftext|>", "<|endoftext|>", *letters, *(f"{c}</w>" for c in letters)])
    }


def _clip_tokenizer() -> Any:
    from tempfile import TemporaryDirectory

    from transformers import CLIPTokenizer

    with TemporaryDirectory() as folder:
        vocabulary, merges = Path(folder) / "vocab.json", Path(folder) / "merges.txt"
        vocabulary.write_text(json.dumps(_clip_vocabulary()), encoding="utf-8")
        merges.write_text("#version: 0.2\n", encoding="utf-8")
        return CLIPTokenizer(vocab_file=str(vocabulary), merges_file=str(merges), model_max_length=_N_TOKENS)


def _t5_tokenizer() -> Any:
    """A T5 tokenizer of whole words and, for others, none but the unknown one."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import T5TokenizerFast

    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), *((f"\u2581{word}", -1.0) for word in _words())]
    raw: Any = Tokenizer(models.Unigram(pieces, unk_id=2))
    raw.pre_tokenizer = pre_tokenizers.Metaspace()
    return T5TokenizerFast(tokenizer_object=raw, extra_ids=0, model_max_length=_N_TOKENS)


def _diffusers() -> Any:
    try:
        import diffusers
    except ModuleNotFoundError:
        raise MissingDependencyError.of("diffusers", "diffusion", "a text-to-image pipeline") from None
    return diffusers
