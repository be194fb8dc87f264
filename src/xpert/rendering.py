"""Prompts as a model reads them: in its chat template, as token ids. Needs no torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from xpert.errors import DataError

__all__ = ["render", "token_ids"]


def render(tokenizer: Any, prompt: str) -> str:
    """The prompt as the model expects it: in the tokenizer's chat template if it has one, else as it is."""
    if not tokenizer.chat_template:
        return prompt
    messages = [{"role": "user", "content": prompt}]
    return tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)


def token_ids(tokenizer: Any, texts: Sequence[str]) -> list[list[int]]:
    """Token ids of rendered prompts; a chat template brings its own special tokens, raw text gets the tokenizer's.

    Raises:
        xpert.errors.DataError: A text gives no token at all.
    """
    special = not tokenizer.chat_template
    rows = tokenizer(list(texts), add_special_tokens=special, verbose=False)["input_ids"] if texts else []
    for number, row in enumerate(rows, start=1):
        if not row:
            raise DataError(f"prompt {number} of {len(rows)}: expected text, got an empty prompt; remove it")
    return [list(row) for row in rows]
