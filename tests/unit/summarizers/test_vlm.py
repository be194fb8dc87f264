from __future__ import annotations

import copy
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("PIL", reason="needs the extra 'diffusion'")

import torch

from xpert.errors import DataError, IncompatibleModelError, SettingsError, SummarizerError
from xpert.images import open_image
from xpert.protocols import TextEncoder, WordProposer, Writer
from xpert.summarizers.aspects import find_instruction
from xpert.summarizers.image_encoder import ImageEncoderSummarizer
from xpert.summarizers.instructions import Instruction
from xpert.summarizers.vision_language import VisionLanguageModel, within
from xpert.summarizers.vlm import VLMSummarizer, listed_adjectives, turn_of
from xpert.summarizers.words import WordRules
from xpert.testing import sample_image_pairs
from xpert.testing.tiny_clip import tiny_clip
from xpert.testing.tiny_vlm import tiny_vlm
from xpert.types import AnswerPair

PAIRS = sample_image_pairs()[:3]
SHORT = Instruction(name="s", compare="{a} {b} {prompt}?", write="{word} {prompt}", meaning="{word}")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_vlm(tmp_path_factory.mktemp("vlm") / "tiny")


@pytest.fixture(scope="module")
def vlm(folder: Path) -> VLMSummarizer:
    return VLMSummarizer(folder, instruction=SHORT)


@pytest.fixture(scope="module")
def model(folder: Path) -> VisionLanguageModel:
    return VisionLanguageModel(folder, device=torch.device("cpu"), dtype=torch.float32)


def test_the_hidden_state_is_what_the_output_layer_multiplies(model: VisionLanguageModel) -> None:
    inputs = model.inputs([within(PAIRS[0].base, None), "and", within(PAIRS[0].other, None), "which?"])
    with torch.no_grad():
        out = model.model(**inputs, output_hidden_states=True)
    hidden = model.last_hidden(inputs)
    torch.testing.assert_close(hidden, out.hidden_states[-1][0, -1], rtol=0, atol=1e-6)
    torch.testing.assert_close(model.layer(hidden), out.logits[0, -1], rtol=0, atol=1e-5)


def test_words_are_tried_out_where_the_turn_ends(model: VisionLanguageModel) -> None:
    """A token after the kept turn gives what it gives when all is read at once: images count fewer positions than tokens."""
    inputs = model.inputs([within(PAIRS[0].base, None), within(PAIRS[1].other, None), "which?"])
    head = model.read(inputs)
    assert head.position < head.n_tokens
    token = torch.tensor([[77]])
    stepped = next(iter(model.step(token, [torch.full_like(token, head.position)], [copy.deepcopy(head.cache)])))
    longer = dict(inputs) | {"input_ids": torch.cat([inputs["input_ids"], token], dim=1)}
    longer["attention_mask"] = torch.ones_like(longer["input_ids"])
    if "mm_token_type_ids" in longer:
        longer["mm_token_type_ids"] = torch.cat([inputs["mm_token_type_ids"], torch.zeros_like(token)], dim=1)
    torch.testing.assert_close(stepped.reshape(-1), model.last_hidden(longer), rtol=0, atol=1e-5)


def test_both_images_and_the_prompt_are_read(vlm: VLMSummarizer) -> None:
    one = PAIRS[0]
    pairs = [
        one,
        AnswerPair(prompt=one.prompt, base=PAIRS[2].other, other=one.other),
        AnswerPair(prompt=one.prompt, base=one.base, other=PAIRS[2].other),
        AnswerPair(prompt="another", base=one.base, other=one.other),
    ]
    rows = vlm.summarize(pairs).embeddings
    assert rows.dtype == np.float32
    for row in rows[1:]:
        assert np.abs(row - rows[0]).max() > 1e-3


def test_candidates_are_words_by_probability(vlm: VLMSummarizer, model: VisionLanguageModel) -> None:
    found = vlm.summarize(PAIRS, n_candidates=6).candidates
    assert 1 <= len(found) <= 6
    assert all(0 < candidate.score <= 1 for candidate in found)
    assert [c.score for c in found] == sorted((c.score for c in found), reverse=True)
    again = vlm.summarize(PAIRS[::-1], n_candidates=6).candidates
    assert [c.word for c in again] == [c.word for c in found]
    assert [c.score for c in again] == pytest.approx([c.score for c in found])


def test_what_it_proposes_is_counted(vlm: VLMSummarizer, monkeypatch: pytest.MonkeyPatch) -> None:
    replies = iter(["Neon, glowing, neon", "neon; hand-drawn", "1. glowing\n2. bright"])
    monkeypatch.setattr(VisionLanguageModel, "reply", lambda *_: next(replies))
    found = vlm.propose(PAIRS, 3)
    assert [(c.word, round(c.score, 2)) for c in found] == [("glowing", 0.67), ("neon", 0.67), ("bright", 0.33)]


def test_it_proposes_for_an_encoder_by_name(folder: Path, tmp_path: Path) -> None:
    encoder = ImageEncoderSummarizer(tiny_clip(tmp_path / "clip"), proposer=f"vlm:{folder}")
    proposed = VLMSummarizer(folder).propose(PAIRS, 50)
    assert {c.word for c in encoder.summarize(PAIRS, n_candidates=50).candidates} == {c.word for c in proposed}
    owned: Any = encoder._owned
    encoder.close()
    with pytest.raises(SummarizerError, match="closed"):
        owned.summarize(PAIRS)


def test_large_images_are_made_smaller(folder: Path, vlm: VLMSummarizer) -> None:
    wide = PAIRS[1].base
    assert open_image(wide).size == (24, 64)
    smaller = within(wide, 400)
    assert smaller.width * smaller.height <= 400
    assert smaller.height / smaller.width == pytest.approx(64 / 24, rel=0.1)
    assert within(wide, 24 * 64).size == (24, 64)
    small = VLMSummarizer(folder, instruction=SHORT, max_pixels=200)
    assert np.abs(small.summarize(PAIRS).embeddings - vlm.summarize(PAIRS).embeddings).max() > 1e-3
    assert "200 pixels" in small.instruction
    assert small.fingerprint != vlm.fingerprint


def test_defaults_and_provenance(folder: Path) -> None:
    vlm = VLMSummarizer(folder)
    assert vlm.wording == find_instruction("image-style")
    assert (vlm.defaults.centering, vlm.defaults.eps_orth, vlm.defaults.eps_dec) == ("null", 0.1, 0.2)
    assert vlm.defaults.subvectors == "unembedded"
    assert vlm.name == f"vlm:{folder}"
    assert vlm.width == 32
    assert isinstance(vlm, WordProposer)
    assert not isinstance(vlm, Writer)
    assert not isinstance(vlm, TextEncoder)


def test_turns() -> None:
    assert turn_of("{b}{a}", "1", "2") == ["2", "1"]
    for template in ("{a} and", "{a} {b} {word}"):
        with pytest.raises(SettingsError, match=r"expected \{a\} and \{b\}"):
            turn_of(template, "1", "2")


def test_lists_of_adjectives() -> None:
    rules = WordRules()
    assert listed_adjectives("- **Sketchy**\n- black-and-white lines\n\n- 2 of", rules) == [
        "sketchy",
        "black-and-white",
    ]
    assert listed_adjectives("", rules) == []


def test_bad_input(folder: Path, vlm: VLMSummarizer, tiny_base: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="at least one pair"):
        vlm.summarize([])
    with pytest.raises(DataError, match="expected an image"):
        vlm.summarize([AnswerPair(prompt="", base="A cat.", other="A dog.")])
    with pytest.raises(DataError, match=r"more than the 2048 positions .* lower max_pixels"):
        vlm.summarize([AnswerPair(prompt="long " * 2100, base=PAIRS[0].base, other=PAIRS[0].other)])
    with pytest.raises(SettingsError, match="max_pixels"):
        VLMSummarizer(folder, max_pixels=3)
    with pytest.raises(SettingsError, match="question"):
        VLMSummarizer(folder, question="which?")
    with pytest.raises(IncompatibleModelError, match="is no vision-language model"):
        VLMSummarizer(tiny_base)
    mute = shutil.copytree(folder, tmp_path / "mute")
    (mute / "chat_template.jinja").unlink()
    with pytest.raises(IncompatibleModelError, match="no chat template"):
        VLMSummarizer(mute)


def test_closed(folder: Path) -> None:
    vlm = VLMSummarizer(folder)
    vlm.close()
    vlm.close()
    with pytest.raises(SummarizerError, match="closed"):
        vlm.propose(PAIRS, 2)
