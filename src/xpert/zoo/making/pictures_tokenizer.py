"""The tokenizer of the picture zoo: CLIP's, with a vocabulary in which every word of the captions is one token."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path
from typing import Any

from xpert.zoo.pictures.scenes import COLOURS, KINDS, PLACES
from xpert.zoo.pictures.styles import STYLES
from xpert.zoo.pictures.words import ADJECTIVES, PHRASES, accepted_words

__all__ = ["MAX_LENGTH", "caption_words", "load_tokenizer", "make_picture_tokenizer"]

MAX_LENGTH = 28
"""Tokens of a prompt, with its begin and end."""

_GRAMMAR = "a an two three big small above below left right of in on the photo picture style , ."
_END_OF_WORD = "</w>"
_SPECIAL = ("<|startoftext|>", "<|endoftext|>")


def caption_words() -> list[str]:
    """Every word that captions are made of, and those accepted as names of a style; sorted, each once."""
    texts = [_GRAMMAR, *COLOURS, *KINDS, *(f"{kind}s" for kind in KINDS), *(place.phrase for place in PLACES.values())]
    texts += [
        *STYLES,
        *(text for table in (ADJECTIVES, PHRASES, accepted_words()) for row in table.values() for text in row),
    ]
    return sorted({word for text in texts for word in text.replace("-", " ").replace(",", " , ").split()})


def make_picture_tokenizer(out: Path) -> int:
    """Write the tokenizer; byte pairs are merged until every word of the captions is one token.

    Characters outside printable ASCII are not in the vocabulary.

    Returns:
        The number of tokens.
    """
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    letters = [chr(code) for code in range(33, 127) if not chr(code).isupper()]
    alphabet = [letter + end for end, letter in product(("", _END_OF_WORD), letters)]
    trainer = trainers.BpeTrainer(
        vocab_size=10_000,
        min_frequency=1,
        initial_alphabet=letters,
        end_of_word_suffix=_END_OF_WORD,
        show_progress=False,
    )
    tokenizer = Tokenizer(models.BPE(end_of_word_suffix=_END_OF_WORD))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.train_from_iterator(caption_words(), trainer)
    merges = [tuple(merge) for merge in json.loads(tokenizer.to_str())["model"]["merges"]]
    tokens = list(dict.fromkeys([*alphabet, *("".join(merge) for merge in merges), *_SPECIAL]))
    out.mkdir(parents=True, exist_ok=True)
    vocabulary = {token: i for i, token in enumerate(tokens)}
    (out / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False), encoding="utf-8")
    (out / "merges.txt").write_text("#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in merges), encoding="utf-8")
    start, end = _SPECIAL
    config = {
        "tokenizer_class": "CLIPTokenizer",
        "model_max_length": MAX_LENGTH,
        "bos_token": start,
        "eos_token": end,
        "unk_token": end,
        "pad_token": end,
        "do_lower_case": True,
    }
    (out / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    return len(tokens)


def load_tokenizer(folder: Path) -> Any:
    """The tokenizer of a folder, as `transformers.CLIPTokenizerFast`."""
    from transformers import CLIPTokenizerFast

    return CLIPTokenizerFast.from_pretrained(folder)
