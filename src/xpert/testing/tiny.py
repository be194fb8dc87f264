"""Tiny models for tests: made in memory from a config, in milliseconds, without a network.

They answer nonsense, but they are real: Transformers and PEFT load them, they have a byte-level tokenizer that encodes any text,
and two with one seed are the same bit for bit.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch

__all__ = ["move_matrices", "tiny_adapter", "tiny_causal_lm", "tiny_full", "tiny_tokenizer"]

Architecture = Literal["llama", "qwen2", "qwen3", "smollm", "gemma", "gemma2", "gemma3", "gpt2"]

CHAT_TEMPLATE = (
    "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}{% if m['role'] == 'assistant' %}<|end|>{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
_FAMILIES = {
    "llama": "LlamaConfig",
    "smollm": "LlamaConfig",  # SmolLM is one: tied embeddings, grouped queries
    "qwen2": "Qwen2Config",
    "qwen3": "Qwen3Config",
    "gemma": "GemmaConfig",
    "gemma2": "Gemma2Config",
    "gemma3": "Gemma3TextConfig",
}
SPECIAL = ("<|pad|>", "<|end|>", "<|user|>", "<|assistant|>", "<|system|>")
TEXT = (
    "the quick brown fox jumps over the lazy dog and the small cat sleeps in the warm sun",
    "tell me how a volcano works. write a short letter to a friend. explain why the sky is blue.",
    "which adjective describes the style of the second text: friendly, formal, playful, concise, poetic or expert?",
    "a friendly answer, a formal answer, a playful answer, a concise answer, a poetic answer, an expert answer.",
    "the water is heated by the sun, rises as vapour, cools, and falls again as rain, snow or hail.",
)


def tiny_tokenizer(
    folder: str | Path, *, chat_template: bool = True, vocab_size: int = 400, texts: Sequence[str] = TEXT
) -> Any:
    """Train a byte-level BPE tokenizer on a few sentences, save it to ``folder``, and return it.

    Args:
        folder: Where its files go; made if it does not exist.
        chat_template: Whether it has one (``<|user|>...<|assistant|>...<|end|>``).
        vocab_size: At most so many tokens (256 bytes and five special tokens are always there).
        texts: What it is trained on, in any language.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    raw: Any = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    trainer: Any = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    raw.train_from_iterator(texts, trainer)
    tokenizer: Any = PreTrainedTokenizerFast(
        tokenizer_object=raw,
        pad_token="<|pad|>",
        eos_token="<|end|>",
        clean_up_tokenization_spaces=False,
        model_input_names=["input_ids", "attention_mask"],
    )
    if chat_template:
        tokenizer.chat_template = CHAT_TEMPLATE
    Path(folder).mkdir(parents=True, exist_ok=True)
    tokenizer.save_pretrained(folder)
    return tokenizer


def tiny_causal_lm(
    folder: str | Path,
    *,
    architecture: Architecture = "llama",
    seed: int = 0,
    tied: bool = True,
    hidden_size: int = 32,
    layers: int = 2,
    chat_template: bool = True,
    vocab_size: int = 400,
    texts: Sequence[str] = TEXT,
) -> Path:
    """Write a causal language model with random weights and its tokenizer to ``folder``.

    Args:
        folder: Where it goes.
        architecture: Which family's config and module names.
        seed: Of its weights; the caller's random state is left alone.
        tied: Whether output layer and input embeddings are one tensor.
        hidden_size: Width, a multiple of 4 (four heads; two key-value heads where the family has them).
        layers: Number of layers.
        chat_template: Whether its tokenizer has one.
        vocab_size: Of its tokenizer; another one makes a model that does not belong to the usual tiny ones.
        texts: What its tokenizer is trained on.

    Returns:
        The folder.
    """
    from transformers import AutoModelForCausalLM

    tokenizer = tiny_tokenizer(folder, chat_template=chat_template, vocab_size=vocab_size)
    ids = {"pad_token_id": tokenizer.pad_token_id, "eos_token_id": tokenizer.eos_token_id, "bos_token_id": None}
    rows = len(tokenizer) + (16 if architecture == "qwen2" else 0)  # Qwen2 pads its vocabulary
    config = _config(architecture, rows, hidden_size, layers, {**ids, "tie_word_embeddings": tied})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model: Any = AutoModelForCausalLM.from_config(config)
        for name, parameter in sorted(model.named_parameters()):
            if parameter.dim() > 1:  # the usual 0.02 would make all answers alike
                parameter.data.normal_(0.0, 0.3 if "embed" in name or "wte" in name else hidden_size**-0.5)
    model.save_pretrained(folder)
    return Path(folder)


def tiny_full(base: str | Path, folder: str | Path, *, seed: int = 0, scale: float = 0.05) -> Path:
    """A full fine-tune of ``base``: a copy with every matrix moved by ``scale`` times its own spread, at random."""
    shutil.copytree(base, folder)
    move_matrices(folder, seed=seed, scale=scale)
    return Path(folder)


def move_matrices(folder: str | Path, *, seed: int, scale: float) -> None:
    """Move every matrix in a folder's safetensors files by ``scale`` times its own spread, at random."""
    from safetensors.torch import load_file, save_file

    generator = torch.Generator().manual_seed(seed)
    for file in sorted(Path(folder).glob("*.safetensors")):
        tensors = load_file(file)
        for name in sorted(tensors):
            if tensors[name].dim() > 1:
                noise = torch.randn(tensors[name].shape, generator=generator)
                tensors[name] = tensors[name] + scale * tensors[name].std() * noise
        save_file(tensors, file, metadata={"format": "pt"})


def tiny_adapter(
    base: str | Path,
    folder: str | Path,
    *,
    rank: int = 4,
    alpha: int = 8,
    seed: int = 0,
    target_modules: Sequence[str] | None = None,
    scale: float = 1.0,
) -> Path:
    """Write a PEFT LoRA adapter of ``base`` whose B is not zero, so that it changes the answers.

    Args:
        base: Folder of a causal LM.
        folder: Where the adapter goes.
        rank: ``r``.
        alpha: ``lora_alpha``; the update is ``alpha / rank * B A``.
        seed: Of A and B; the caller's random state is left alone.
        target_modules: Which modules it changes; None: PEFT's choice for the architecture.
        scale: Spread of B's entries, times ``rank ** -0.5 / 2``.

    Returns:
        The folder.
    """
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    model: Any = AutoModelForCausalLM.from_pretrained(base)
    gpt2 = model.config.model_type == "gpt2"
    config = LoraConfig(
        r=rank,
        lora_alpha=alpha,
        target_modules=None if target_modules is None else list(target_modules),
        task_type="CAUSAL_LM",
        fan_in_fan_out=gpt2,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        peft: Any = get_peft_model(model, config)
        for name, parameter in sorted(peft.named_parameters()):
            if "lora_B" in name:
                parameter.data.normal_(0.0, scale * 0.5 * rank**-0.5)
    peft.save_pretrained(folder)
    return Path(folder)


def _config(architecture: Architecture, vocab_size: int, hidden_size: int, layers: int, common: dict[str, Any]) -> Any:
    import transformers

    if architecture == "gpt2":
        return transformers.GPT2Config(
            vocab_size=vocab_size, n_embd=hidden_size, n_layer=layers, n_head=4, n_positions=1024, **common
        )
    family: Any = getattr(transformers, _FAMILIES[architecture])
    own: dict[str, Any] = {} if architecture in ("llama", "qwen2", "smollm") else {"head_dim": hidden_size // 4}
    if architecture in ("gemma2", "gemma3"):
        own |= {"sliding_window": 16, "query_pre_attn_scalar": hidden_size // 4}
    return family(
        vocab_size=vocab_size,
        hidden_size=hidden_size,
        intermediate_size=2 * hidden_size,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=1024,
        **own,
        **common,
    )
