from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from xpert.errors import (
    DataError,
    IncompatibleModelError,
    ReferenceNotFoundError,
    SettingsError,
    SummarizerError,
    WeightsError,
)
from xpert.summarizers.hf import HFSummarizer
from xpert.summarizers.instructions import INSTRUCTION_FILE, LANGUAGE_STYLE
from xpert.testing.tiny import tiny_causal_lm
from xpert.types import AnswerPair

PAIRS = [AnswerPair(prompt=f"p{i}", base="rain falls " * (i + 1), other="Oh, rain! " * (7 - i)) for i in range(6)]


@pytest.fixture(scope="module", params=["llama", "gpt2", "qwen2"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_causal_lm(tmp_path_factory.mktemp("s") / request.param, architecture=request.param, seed=3, tied=False)


def test_embedding_is_the_vector_that_the_output_layer_multiplies(folder: Path) -> None:
    summarizer = HFSummarizer(folder)
    rows = summarizer.summarize(PAIRS).embeddings
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    for pair, row in zip(PAIRS, rows, strict=True):
        question = LANGUAGE_STYLE.compare.format(a=pair.base, b=pair.other)
        text = tokenizer.apply_chat_template(
            [{"role": "user", "content": question}], tokenize=False, add_generation_prompt=True
        )
        ids = tokenizer(text, return_tensors="pt", add_special_tokens=False)["input_ids"]
        with torch.no_grad():
            logits = model(input_ids=ids).logits[0, -1]
            ours = model.get_output_embeddings()(torch.from_numpy(row))
        torch.testing.assert_close(ours, logits, rtol=1e-4, atol=1e-4)


def test_batch_size_and_order_change_nothing(folder: Path) -> None:
    expected = HFSummarizer(folder).summarize(PAIRS, n_candidates=8)
    for options in ({"batch_size": 1}, {"token_budget": 700}, {"batch_size": 4}):
        got = HFSummarizer(folder, **options).summarize(PAIRS, n_candidates=8)
        np.testing.assert_allclose(got.embeddings, expected.embeddings, rtol=0, atol=1e-5)
        assert [c.word for c in got.candidates] == [c.word for c in expected.candidates]
    back = HFSummarizer(folder).summarize(PAIRS[::-1], n_candidates=8)
    np.testing.assert_allclose(back.embeddings[::-1], expected.embeddings, rtol=0, atol=1e-5)
    assert [c.word for c in back.candidates] == [c.word for c in expected.candidates]


def test_answers_are_cut(folder: Path) -> None:
    long = AnswerPair(prompt="", base="the sun", other="warm sun " * 50)
    longer = AnswerPair(prompt="", base="the sun", other="warm sun " * 90)
    short = HFSummarizer(folder, max_answer_tokens=16)
    cut = [short.summarize([pair]).embeddings for pair in (long, longer)]
    np.testing.assert_allclose(cut[0], cut[1], rtol=0, atol=1e-5)
    assert "16 tokens" in short.instruction
    whole = HFSummarizer(folder, max_answer_tokens=400)
    assert not np.allclose(whole.summarize([long]).embeddings, whole.summarize([longer]).embeddings)


def test_writing_depends_on_seed_word_and_prompt_alone(folder: Path, tmp_path: Path) -> None:
    wording = {"name": "t", "compare": "{a} {b}", "write": "{word} {prompt}", "meaning": "{word}", "max_new_tokens": 12}
    own = copy_with(folder, tmp_path / "own", wording)
    summarizer = HFSummarizer(own, batch_size=2)
    prompts = ["why", "tell me how", "rain"]
    texts = summarizer.write("friendly", prompts, seed=1)
    assert texts == summarizer.write("friendly", prompts, seed=1)
    assert texts[::-1] == summarizer.write("friendly", prompts[::-1], seed=1)
    assert texts != summarizer.write("friendly", prompts, seed=2)
    assert texts != summarizer.write("poetic", prompts, seed=1)


def test_meaning_is_one_row_a_word(folder: Path) -> None:
    summarizer = HFSummarizer(folder)
    rows = summarizer.meaning(["friendly", "poetic"])
    assert rows.shape == (2, summarizer.width)
    np.testing.assert_allclose(summarizer.meaning(["poetic"])[0], rows[1], rtol=0, atol=1e-5)
    with pytest.raises(DataError, match="at least one word"):
        summarizer.meaning([])


def test_closed(folder: Path) -> None:
    summarizer = HFSummarizer(folder, name="zoo:mine")
    summarizer.close()
    summarizer.close()
    with pytest.raises(SummarizerError, match="zoo:mine is closed"):
        summarizer.summarize(PAIRS)


def test_raw_prompts_without_a_chat_template(tmp_path: Path) -> None:
    raw = tiny_causal_lm(tmp_path / "raw", chat_template=False)
    assert HFSummarizer(raw).summarize(PAIRS, n_candidates=3).embeddings.shape == (6, 32)


def test_bad_input(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="at least one pair"):
        HFSummarizer(folder).summarize([])
    with pytest.raises(DataError, match=r"pair 2 of 2: .* exceed the 1024 positions"):
        HFSummarizer(folder, max_answer_tokens=2000).summarize(
            [PAIRS[0], AnswerPair(prompt="", base="x", other="zq" * 900)]
        )
    with pytest.raises(SettingsError, match="batch_size"):
        HFSummarizer(folder, batch_size=0)
    with pytest.raises(ReferenceNotFoundError):
        HFSummarizer(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(IncompatibleModelError, match="no tokenizer"):
        HFSummarizer(tmp_path / "empty")


def test_weights_that_are_not_finite(tmp_path: Path) -> None:
    folder = tiny_causal_lm(tmp_path / "nan")
    model = AutoModelForCausalLM.from_pretrained(folder)
    model.model.layers[0].mlp.up_proj.weight.data[0, 0] = float("nan")
    model.save_pretrained(folder)
    with pytest.raises(WeightsError, match="up_proj"):
        HFSummarizer(folder)


def copy_with(folder: Path, target: Path, wording: dict[str, Any]) -> Path:
    import shutil

    shutil.copytree(folder, target)
    (target / INSTRUCTION_FILE).write_text(json.dumps(wording), encoding="utf-8")
    return target


class Bigrams:
    """A Llama whose next token depends on the last one alone, as planted."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.folder = tiny_causal_lm(folder, hidden_size=512, tied=False, layers=1, **options)
        self.tokenizer: Any = AutoTokenizer.from_pretrained(folder)
        self.model: Any = AutoModelForCausalLM.from_pretrained(folder)
        self.model.model.layers[0].self_attn.o_proj.weight.data.zero_()
        self.model.model.layers[0].mlp.down_proj.weight.data.zero_()
        n = len(self.tokenizer)
        self.model.model.embed_tokens.weight.data = torch.eye(n, 512)
        self.model.lm_head.weight.data.zero_()

    def plant(self, last: str, following: dict[str, float]) -> None:
        scale = 512**0.5  # what the norm makes of a one-hot row
        column = self.token(last)
        self.model.lm_head.weight.data[:, column] = -40 / scale
        for text, p in following.items():
            self.model.lm_head.weight.data[self.token(text), column] = float(np.log(p)) / scale

    def token(self, text: str) -> int:
        (found,) = self.tokenizer.encode(text, add_special_tokens=False)
        return found

    def plant_text(self, start: str, text: str, p: float) -> None:
        """After ``start`` comes ``text`` with probability ``p``, byte by byte, and then the end."""
        tokens = self.tokenizer.encode(text, add_special_tokens=False)
        scale, head = 512**0.5, self.model.lm_head.weight.data
        for k, (last, following) in enumerate(
            zip([self.token(start), *tokens], [*tokens, self.token("<|end|>")], strict=True)
        ):
            head[:, last] = -40 / scale
            head[following, last] = 0.0 if k else float(np.log(p)) / scale

    def save(self) -> Path:
        self.model.save_pretrained(self.folder)
        return self.folder


def test_words_not_pieces(tmp_path: Path) -> None:
    bigrams = Bigrams(tmp_path / "bigrams")
    bigrams.plant(
        "<|assistant|>", {"s": 0.2, "S": 0.1, " f": 0.15, "w": 0.25, " the": 0.1, "!": 0.1, "<|end|>": 0.05, "7": 0.05}
    )
    bigrams.plant("s", {"h": 0.9, " ": 0.1})  # s h y: completed
    bigrams.plant("S", {"h": 1.0})  # S h y: the same word
    bigrams.plant("h", {"y": 1.0})
    bigrams.plant("y", {"<|end|>": 1.0})
    bigrams.plant(" f", {"u": 1.0})  # fun, followed by a stop
    bigrams.plant("u", {"n": 1.0})
    bigrams.plant("n", {".": 1.0})
    bigrams.plant("w", {"w": 1.0})  # goes on for ever: dropped
    bigrams.plant(" the", {"x": 0.4, " ": 0.6})  # a whole word, but a stop-word
    summary = HFSummarizer(bigrams.save()).summarize(PAIRS[:3], n_candidates=2)
    assert [c.word for c in summary.candidates] == ["shy", "fun"]
    assert summary.candidates[0].score == pytest.approx(0.2 * 0.9 + 0.1, abs=1e-3)
    assert summary.candidates[1].score == pytest.approx(0.15, abs=1e-3)


FOREIGN = (
    "友好。正式。友好的回答。正式的回答。",
    "freundlich, förmlich, höflich, freundlich",
    "ودود رسمي ودود رسمي مهني",
)


@pytest.mark.parametrize("trained", [False, True])
@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("正式", "正式"),
        ("礼貌", "礼貌"),
        ("雅。", "雅"),
        ("förmlich", "förmlich"),
        ("Förmlich.", "förmlich"),
        (" مهني", "مهني"),
        ("礼貌but", "礼貌"),
    ],
)
def test_words_of_other_scripts(tmp_path: Path, text: str, word: str, trained: bool) -> None:
    """Of a tokenizer trained on English a Chinese character is three tokens, two of which are no text yet."""
    bigrams = Bigrams(tmp_path / "bigrams", **({"texts": FOREIGN} if trained else {}))
    pieces = bigrams.tokenizer.encode(text, add_special_tokens=False)
    if len(set(pieces)) < len(pieces):
        return  # a token occurs twice: what follows cannot be planted on the last token alone
    bigrams.plant_text("<|assistant|>", text, 0.7)
    words = [c.word for c in HFSummarizer(bigrams.save()).summarize(PAIRS[:2], n_candidates=1).candidates]
    assert words == [word]
