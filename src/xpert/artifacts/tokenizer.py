"""A model's tokenizer through the library ``tokenizers`` alone: the same tokens as Transformers gives, without it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from xpert.errors import IncompatibleModelError, MissingDependencyError

__all__ = ["FastTokenizer", "tokenizer_values"]

_MESSAGE = "xpert message"
_PROBES = ("a", "Tell me  how\nit works.", "<b>1 & 2</b>", "naïve – 漢字", " outer white space \n")


class FastTokenizer:
    """What this package asks of a tokenizer, with the names that Transformers has.

    Args:
        folder: Where ``tokenizer.json`` lies.
        values: What `tokenizer_values` told of it.

    Raises:
        xpert.errors.IncompatibleModelError: The file cannot be read.
        xpert.errors.MissingDependencyError: The library is not installed.
    """

    is_fast = True

    def __init__(self, folder: str | Path, values: Mapping[str, Any]) -> None:
        try:
            from tokenizers import Tokenizer
        except ModuleNotFoundError:
            raise MissingDependencyError("an exported model needs tokenizers: pip install tokenizers") from None
        file = Path(folder) / "tokenizer.json"
        try:
            self._tokenizer: Any = Tokenizer.from_file(str(file))
        except Exception as error:  # the library raises nothing narrower
            raise IncompatibleModelError(f"{file}: its tokenizer cannot be read ({error}): export it again") from None
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._frame: Mapping[str, Any] | None = values["frame"]
        self.chat_template = self._frame is not None
        self.pad_token_id: int | None = values["pad_id"]
        self.eos_token_id: int | None = values["eos_id"]

    def __call__(
        self,
        text: str | Sequence[str],
        *,
        add_special_tokens: bool = True,
        verbose: bool = False,
        truncation: bool = False,
        max_length: int | None = None,
        return_overflowing_tokens: bool = False,
    ) -> dict[str, Any]:
        """Token ids of a text or of several; with ``return_overflowing_tokens`` all chunks of ``max_length`` of them."""
        single = isinstance(text, str)
        texts = [text] if isinstance(text, str) else list(text)
        if truncation:
            self._tokenizer.enable_truncation(max_length)
        try:
            encoded = self._tokenizer.encode_batch(texts, add_special_tokens=add_special_tokens)
        finally:
            self._tokenizer.no_truncation()
        if not return_overflowing_tokens:
            return {"input_ids": encoded[0].ids if single else [one.ids for one in encoded]}
        parts = [(part.ids, i) for i, one in enumerate(encoded) for part in (one, *one.overflowing)]
        return {"input_ids": [ids for ids, _ in parts], "overflow_to_sample_mapping": [i for _, i in parts]}

    def decode(self, ids: Sequence[int], *, skip_special_tokens: bool = False) -> str:
        """The text of token ids."""
        return self._tokenizer.decode(list(ids), skip_special_tokens=skip_special_tokens)

    def __len__(self) -> int:
        """Tokens in the vocabulary, added ones included."""
        return int(self._tokenizer.get_vocab_size(with_added_tokens=True))

    def convert_ids_to_tokens(self, ids: Sequence[int]) -> list[str | None]:
        """The tokens as the vocabulary spells them."""
        return [self._tokenizer.id_to_token(i) for i in ids]

    def apply_chat_template(
        self, messages: Sequence[Mapping[str, str]], *, tokenize: bool = False, add_generation_prompt: bool = True
    ) -> str:
        """One user's message in the chat template, as it was rendered when the model was exported."""
        if self._frame is None or tokenize or not add_generation_prompt or len(messages) != 1:
            raise IncompatibleModelError("an exported tokenizer renders one message of a user, and gives text")
        content = messages[0]["content"]
        return f"{self._frame['before']}{content.strip() if self._frame['strip'] else content}{self._frame['after']}"


def tokenizer_values(tokenizer: Any, folder: str | Path) -> dict[str, Any]:
    """What `FastTokenizer` must know of a tokenizer of Transformers beside its ``tokenizer.json``.

    Args:
        tokenizer: The tokenizer.
        folder: Where it comes from, for messages.

    Raises:
        xpert.errors.IncompatibleModelError: It is no fast one, or its chat template does more than frame a message.
    """
    if not getattr(tokenizer, "is_fast", False):
        raise IncompatibleModelError(f"{folder}: expected a fast tokenizer (tokenizer.json), which a device can run")
    return {"frame": _frame(tokenizer, folder), "pad_id": tokenizer.pad_token_id, "eos_id": tokenizer.eos_token_id}


def _frame(tokenizer: Any, folder: str | Path) -> dict[str, Any] | None:
    """What the chat template puts before and after a user's message."""
    if not tokenizer.chat_template:
        return None

    def rendered(text: str) -> str:
        messages = [{"role": "user", "content": text}]
        return tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)

    before, found, after = rendered(_MESSAGE).partition(_MESSAGE)
    for strip in (False, True):
        if found and all(
            rendered(text) == f"{before}{text.strip() if strip else text}{after}" for text in (*_PROBES, _MESSAGE)
        ):
            return {"before": before, "after": after, "strip": strip}
    raise IncompatibleModelError(
        f"{folder}: its chat template does more than put text before and after a message, which cannot be exported: "
        "give the tokenizer another chat_template"
    )
