"""The tokenizer that base and summarizer share: byte-level BPE with one token for (nearly) every adjective."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from xpert.zoo.corpus import DEFAULT, PROPERTIES, STYLES, questions, side_questions, write

__all__ = ["CHAT_TEMPLATE", "make_tokenizer"]

CHAT_TEMPLATE = (
    "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}{% if m['role'] == 'assistant' %}<|end|>{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
ADJECTIVE_WEIGHT = 400
"""How often each adjective is shown to the tokenizer's training, so that its pieces are merged into one token."""


def make_tokenizer(folder: Path, *, vocab_size: int = 4096) -> Any:
    """Train the tokenizer on default answers and on the models' half of the styled texts; save it to ``folder``.

    Returns:
        A ``PreTrainedTokenizerFast`` with a chat template, ``<|end|>`` as end and ``<|pad|>`` as padding token.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=["<|pad|>", "<|end|>", "<|user|>", "<|assistant|>", "<|system|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_texts(), trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<|pad|>",
        eos_token="<|end|>",
        additional_special_tokens=["<|user|>", "<|assistant|>", "<|system|>"],
        padding_side="left",
        model_input_names=["input_ids", "attention_mask"],
        clean_up_tokenization_spaces=False,
    )
    fast.chat_template = CHAT_TEMPLATE
    fast.save_pretrained(folder)
    return fast


def _texts() -> Iterator[str]:
    for question in questions():
        yield question.text
        yield from (write(question, DEFAULT, side="models", seed=seed) for seed in range(4))
    for number, style in enumerate(STYLES.values()):
        for question in side_questions("models"):
            yield write(question, style, side="models", seed=number)
    for adjectives in PROPERTIES.values():
        for adjective in adjectives:
            yield from (f"{adjective}\n the {adjective} style" for _ in range(ADJECTIVE_WEIGHT))
