from __future__ import annotations

from pathlib import Path

import pytest

from xpert.artifacts.tokenizer import FastTokenizer, tokenizer_values
from xpert.errors import IncompatibleModelError
from xpert.rendering import render, token_ids
from xpert.testing.tiny import tiny_tokenizer

TEXTS = ("Tell me how a volcano works.", "  two  blanks\n", "naïve – 漢字", "<|user|> is special")


def both(folder: Path, **options: bool) -> tuple[object, FastTokenizer]:
    tokenizer = tiny_tokenizer(folder, **options)
    return tokenizer, FastTokenizer(folder, tokenizer_values(tokenizer, folder))


def test_it_gives_the_tokens_of_transformers(tmp_path: Path) -> None:
    theirs, ours = both(tmp_path)
    for text in TEXTS:
        assert render(ours, text) == render(theirs, text)
        for special in (True, False):
            assert ours(text, add_special_tokens=special) == {
                "input_ids": theirs(text, add_special_tokens=special)["input_ids"]
            }
    assert token_ids(ours, TEXTS) == token_ids(theirs, TEXTS)
    assert (ours.eos_token_id, ours.pad_token_id, len(ours)) == (theirs.eos_token_id, theirs.pad_token_id, len(theirs))
    ids = theirs(TEXTS[0])["input_ids"]
    assert ours.decode(ids) == theirs.decode(ids)


def test_it_chunks_as_transformers_does(tmp_path: Path) -> None:
    theirs, ours = both(tmp_path)
    options = {"truncation": True, "max_length": 5, "return_overflowing_tokens": True}
    expected = theirs(list(TEXTS), **options)
    found = ours(list(TEXTS), **options)
    assert found["input_ids"] == expected["input_ids"]
    assert found["overflow_to_sample_mapping"] == list(expected["overflow_to_sample_mapping"])
    assert len(ours(TEXTS[0])["input_ids"]) > 5, "chunking must not stay switched on"


def test_without_a_chat_template_text_stays_as_it_is(tmp_path: Path) -> None:
    _, ours = both(tmp_path, chat_template=False)
    assert not ours.chat_template
    assert render(ours, " a ") == " a "


def test_a_template_that_strips_its_message_is_kept(tmp_path: Path) -> None:
    tokenizer = tiny_tokenizer(tmp_path)
    tokenizer.chat_template = "{% for m in messages %}[{{ m['content'] | trim }}]{% endfor %}>"
    ours = FastTokenizer(tmp_path, tokenizer_values(tokenizer, tmp_path))
    assert render(ours, " a \n") == "[a]>" == render(tokenizer, " a \n")


def test_a_template_that_does_more_than_frame_is_refused(tmp_path: Path) -> None:
    tokenizer = tiny_tokenizer(tmp_path)
    tokenizer.chat_template = "{{ messages[0]['content'] | upper }}"
    with pytest.raises(IncompatibleModelError, match="chat template does more"):
        tokenizer_values(tokenizer, tmp_path)


def test_a_broken_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(IncompatibleModelError, match="cannot be read"):
        FastTokenizer(tmp_path, {"frame": None, "pad_id": 0, "eos_id": 1})
