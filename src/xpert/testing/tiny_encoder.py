"""A tiny sentence-transformers model for tests: random weights, made in memory, without a network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

__all__ = ["tiny_encoder"]

_WORDS = [
    "the",
    "a",
    "rain",
    "falls",
    "on",
    "warm",
    "sun",
    "yes",
    "friend",
    "funny",
    "dog",
    "answer",
    "to",
    "question",
    "of",
    "formal",
    "friendly",
    "poetic",
    "concise",
    "style",
    "this",
    "text",
    "is",
    "in",
    "said",
    ".",
    ",",
    "!",
    "?",
]
_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def tiny_encoder(
    folder: str | Path, *, seed: int = 0, hidden_size: int = 32, max_tokens: int = 64, letters: str = ""
) -> Path:
    """Write a BERT with mean pooling that knows a few dozen words (all others by their letters) to ``folder``.

    Args:
        folder: Where it goes.
        seed: Of its weights; the caller's random state is left alone.
        hidden_size: Width of its embeddings, a multiple of 4.
        max_tokens: Longest text, in tokens.
        letters: Letters that it knows beside ASCII ones: those of another script.

    Returns:
        The folder.
    """
    from transformers import BertConfig, BertModel

    folder = Path(folder)
    (folder / "1_Pooling").mkdir(parents=True)
    tokenizer = _tokenizer(max_tokens, letters)
    tokenizer.save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden_size,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=2 * hidden_size,
        max_position_embeddings=max_tokens,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model: Any = BertModel(config)
        model.embeddings.word_embeddings.weight.data.normal_(0.0, 1.0)
    model.save_pretrained(folder)
    _write(folder / "modules.json", _modules())
    _write(folder / "sentence_bert_config.json", {"max_seq_length": max_tokens, "do_lower_case": False})
    _write(
        folder / "1_Pooling" / "config.json",
        {"word_embedding_dimension": hidden_size, "pooling_mode_mean_tokens": True},
    )
    return folder


def _tokenizer(max_tokens: int, more: str) -> Any:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    letters = "abcdefghijklmnopqrstuvwxyz0123456789-" + more
    vocabulary = [*_SPECIAL, *dict.fromkeys([*_WORDS, *letters, *(f"##{c}" for c in letters)])]
    ids = {token: i for i, token in enumerate(vocabulary)}
    raw: Any = Tokenizer(models.WordPiece(ids, unk_token="[UNK]"))
    raw.normalizer = normalizers.BertNormalizer()
    raw.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    raw.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", ids["[CLS]"]), ("[SEP]", ids["[SEP]"])]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=raw,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_max_length=max_tokens,
        model_input_names=["input_ids", "attention_mask"],
    )


def _modules() -> list[dict[str, object]]:
    return [
        {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
    ]


def _write(file: Path, content: object) -> None:
    file.write_text(json.dumps(content, indent=2), encoding="utf-8")
