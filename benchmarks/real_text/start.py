"""The start of everything: a tokenizer for the models' side of the data, and a Llama of three million random weights.

    python start.py DATA OUT

``DATA`` is the folder ``style_qa``; ``OUT`` becomes a model that ``xpert train --start`` takes.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from xpert.examples import load_examples
from xpert.tensors.files import atomic_folder

HELD_OUT_FROM = 500
"""Lines up to here are the models', the later ones the users'."""
VOCABULARY = 4096
POSITIONS = 1024
TEMPLATE = (
    "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}{% if m['role'] == 'assistant' %}<|end|>{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def make_tokenizer(data: Path) -> Any:
    """Byte-level BPE over the models' lines of every file, with a chat template."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=["<|pad|>", "<|end|>", "<|user|>", "<|assistant|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_texts(data), trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<|pad|>",
        eos_token="<|end|>",
        additional_special_tokens=["<|user|>", "<|assistant|>"],
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )
    fast.chat_template = TEMPLATE
    return fast


def make_model(tokenizer: Any, *, hidden_size: int = 192, layers: int = 5, seed: int = 0) -> Any:
    """A Llama with tied embeddings and random weights."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    model: Any = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=hidden_size,
            num_hidden_layers=layers,
            intermediate_size=8 * hidden_size // 3,
            num_attention_heads=hidden_size // 32,
            num_key_value_heads=hidden_size // 32,
            max_position_embeddings=POSITIONS,
            tie_word_embeddings=True,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    model.generation_config.do_sample = False
    return model


def _texts(data: Path) -> Iterator[str]:
    for file in sorted(data.glob("*.jsonl")):
        for example in load_examples(file)[:HELD_OUT_FROM]:
            yield f"{example.prompt}\n{example.response}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    given = parser.parse_args()
    tokenizer = make_tokenizer(given.data)
    model = make_model(tokenizer)
    with atomic_folder(given.out) as folder:
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    print(f'{{"parameters": {sum(p.numel() for p in model.parameters())}}}')


if __name__ == "__main__":
    main()
