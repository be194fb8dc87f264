from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("PIL", reason="needs the extra 'diffusion'")

from xpert.errors import (
    DataError,
    IncompatibleModelError,
    MissingDependencyError,
    SettingsError,
    SummarizerError,
    WeightsError,
)
from xpert.protocols import TextEncoder
from xpert.summarizers import load_summarizer, usual_instruction
from xpert.summarizers.aspects import find_instruction
from xpert.summarizers.folders import is_image_text_model
from xpert.summarizers.image_encoder import ImageEncoderSummarizer
from xpert.testing import sample_image_pairs
from xpert.testing.tiny_clip import tiny_clip
from xpert.types import AnswerPair, Candidate

PAIRS = sample_image_pairs()
Make = Callable[..., Any]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_clip(tmp_path_factory.mktemp("clip") / "tiny")


@pytest.fixture
def encoder(folder: Path) -> ImageEncoderSummarizer:
    return ImageEncoderSummarizer(folder, words=("neon", "sketched", "grey"))


def pair(base: str, other: str) -> AnswerPair:
    return AnswerPair(prompt="", base=base, other=other)


def test_the_difference_of_unit_features(encoder: ImageEncoderSummarizer) -> None:
    rows = encoder.summarize(PAIRS).embeddings
    for one, row in zip(PAIRS, rows, strict=True):
        base, other = encoder.encode_images([one.base, one.other])
        assert np.linalg.norm(base) == pytest.approx(1, abs=1e-5)
        np.testing.assert_allclose(row, other - base, atol=1e-6)
    assert np.abs(rows[0]).max() > 1e-3


def test_swapped_images_turn_the_row_around_and_equal_ones_give_zero(encoder: ImageEncoderSummarizer) -> None:
    rows = encoder.summarize(PAIRS).embeddings
    swapped = encoder.summarize([pair(one.other, one.base) for one in PAIRS]).embeddings
    np.testing.assert_allclose(swapped, -rows, atol=1e-6)
    assert (encoder.summarize([pair(PAIRS[0].base, PAIRS[0].base)]).embeddings == 0).all()


@pytest.mark.parametrize("architecture", ["clip", "siglip"])
def test_features_are_the_models_own(architecture: Any, tmp_path: Path) -> None:
    """Beside Transformers' own processing, with padding as it does it."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    folder = tiny_clip(tmp_path / "own", architecture=architecture)
    model: Any = AutoModel.from_pretrained(folder).eval()
    texts = ["a red picture", "a blue picture of a dog in the house"]
    tokenizer = AutoTokenizer.from_pretrained(folder)
    padding = {"padding": "max_length" if architecture == "siglip" else True}
    asked = tokenizer(texts, return_tensors="pt", max_length=24, truncation=True, **padding)
    if architecture == "siglip":
        asked.pop("attention_mask")
    with torch.no_grad():
        out = model.get_text_features(**asked)
    rows = out if isinstance(out, torch.Tensor) else out.pooler_output
    expected = torch.nn.functional.normalize(rows, dim=1).numpy()
    np.testing.assert_allclose(ImageEncoderSummarizer(folder).encode(texts), expected, atol=1e-5)


def test_batch_size_changes_nothing(folder: Path, encoder: ImageEncoderSummarizer) -> None:
    one = ImageEncoderSummarizer(folder, batch_size=1)
    np.testing.assert_allclose(one.summarize(PAIRS).embeddings, encoder.summarize(PAIRS).embeddings, atol=1e-5)
    texts = ["a red picture", "a blue picture of a dog in the house and the tree and the sun " * 3, "grey"]
    alone = np.concatenate([encoder.encode([text]) for text in texts])
    np.testing.assert_allclose(encoder.encode(texts), alone, atol=1e-5)


def test_the_end_of_a_long_caption_counts(encoder: ImageEncoderSummarizer) -> None:
    start = "a picture of the house and the tree " * 5
    a, b = encoder.encode([start + "red", start + "blue"])
    assert np.abs(a - b).max() > 1e-4


def test_the_word_of_what_was_planted_comes_first(colour_encoder: Make, picture: Make) -> None:
    encoder = colour_encoder()
    for word, tint in (("red", (255, 100, 100)), ("green", (100, 255, 100)), ("blue", (100, 100, 255))):
        pairs = [pair(picture(120, 120, 120), picture(*tint, size=(24, 40)))]
        assert encoder.summarize(pairs, n_candidates=3).candidates[0].word == word
        turned = encoder.summarize([pair(one.other, one.base) for one in pairs], n_candidates=3).candidates
        assert turned[-1].word == word
        assert turned[-1].score < 0


class Proposer:
    fingerprint = "listed"

    def __init__(self, words: Sequence[str]) -> None:
        self.words, self.asked = words, 0

    def propose(self, pairs: Sequence[AnswerPair], n: int) -> tuple[Candidate, ...]:
        self.asked += 1
        return tuple(Candidate(word=word, score=1.0) for word in self.words)[:n]


def test_proposed_words_are_ranked_and_no_others(colour_encoder: Make, picture: Make) -> None:
    proposer = Proposer(["blue", "crimson"])
    encoder = colour_encoder(proposer=proposer)
    pairs = [pair(picture(120, 120, 120), picture(255, 100, 100))]
    found = encoder.summarize(pairs, n_candidates=9).candidates
    assert [c.word for c in found] == ["crimson", "blue"]
    listed = {c.word: c.score for c in colour_encoder().summarize(pairs, n_candidates=9).candidates}
    assert found[0].score == pytest.approx(
        listed["red"], abs=1e-6
    )  # crimson is planted as red, relative to the same mean
    assert encoder.summarize(pairs).candidates == ()
    assert proposer.asked == 1
    assert colour_encoder(proposer=Proposer([])).summarize(pairs, n_candidates=9).candidates == ()


def test_who_may_propose(folder: Path) -> None:
    with pytest.raises(SettingsError, match="proposer: expected vlm:REF or an object with propose, got int"):
        ImageEncoderSummarizer(folder, proposer=3)  # pyright: ignore[reportArgumentType]
    with pytest.raises(SettingsError, match="cannot propose words"):
        ImageEncoderSummarizer(folder, proposer=f"encoder:{folder}")


def test_by_name_and_its_aspect(folder: Path) -> None:
    assert is_image_text_model(folder)
    encoder = load_summarizer(f"encoder:{folder}")
    assert isinstance(encoder, ImageEncoderSummarizer)
    assert isinstance(encoder, TextEncoder)
    assert encoder.wording == find_instruction("image-style") == usual_instruction(f"encoder:{folder}")
    assert len(encoder.words) >= 150
    assert encoder.name == f"encoder:{folder}"
    assert encoder.width == 24
    assert (encoder.defaults.subvectors, encoder.defaults.centering, encoder.defaults.eps_orth) == (
        "captioned",
        "none",
        0.8,
    )
    assert usual_instruction("vlm:anything") == encoder.wording
    assert usual_instruction("encoder:minilm") == usual_instruction("hf:x") == find_instruction("language-style")


def test_a_folder_may_bring_its_words(folder: Path, tmp_path: Path) -> None:
    own = shutil.copytree(folder, tmp_path / "own")
    said = {"name": "looks", "words": ["neon", "grey"], "carriers": ["a {word} picture"]}
    (own / "xpert_instruction.json").write_text(json.dumps(said))
    assert ImageEncoderSummarizer(own).words == ("neon", "grey")
    assert "looks: 2 words (sha256 " in ImageEncoderSummarizer(own).instruction
    assert ImageEncoderSummarizer(own, instruction="image-style").wording == find_instruction("image-style")


def test_the_zoos_keep_their_name(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import xpert.zoo

    monkeypatch.setattr(xpert.zoo, "path", lambda name: {"pictures-encoder": folder}[name])
    encoder = load_summarizer("zoo:pictures-encoder")
    assert isinstance(encoder, ImageEncoderSummarizer)
    assert encoder.name == "zoo:pictures-encoder"
    assert usual_instruction("zoo:pictures-encoder").name == "image-style"


def test_the_fingerprint_depends_on_words_proposer_and_processing(folder: Path, tmp_path: Path) -> None:
    plain = ImageEncoderSummarizer(folder).fingerprint
    other = shutil.copytree(folder, tmp_path / "other")
    assert ImageEncoderSummarizer(other).fingerprint == plain
    settings = json.loads((other / "preprocessor_config.json").read_text())
    (other / "preprocessor_config.json").write_text(json.dumps(settings | {"image_mean": [0.1, 0.1, 0.1]}))
    options = ({"words": ("neon", "grey")}, {"proposer": Proposer(["neon"])}, {"dtype": "bfloat16"})
    said = {plain, ImageEncoderSummarizer(other).fingerprint}
    said |= {ImageEncoderSummarizer(folder, **option).fingerprint for option in options}
    assert len(said) == 5
    unknown = Proposer(["neon"])
    unknown.fingerprint = None  # pyright: ignore[reportAttributeAccessIssue]
    assert ImageEncoderSummarizer(folder, proposer=unknown).fingerprint is None


def test_closed(encoder: ImageEncoderSummarizer) -> None:
    encoder.close()
    encoder.close()
    with pytest.raises(SummarizerError, match="closed"):
        encoder.summarize(PAIRS)
    with pytest.raises(SummarizerError, match="closed"):
        encoder.encode(["x"])


def test_bad_input(encoder: ImageEncoderSummarizer, folder: Path, tmp_path: Path, picture: Make) -> None:
    good, broken = picture(), tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    with pytest.raises(DataError, match="at least one pair"):
        encoder.summarize([])
    for base, other, message in (
        (good, "A cat sat.", r"pair 2 of 2, other answer: expected an image .* got the text 'A cat sat.'"),
        ("A cat.", good, "pair 2 of 2, base answer"),
        (good, str(broken), r"broken\.png: not an image"),
        (good, str(tmp_path / "none.png"), "cannot be read"),
    ):
        with pytest.raises(DataError, match=message) as caught:
            encoder.summarize([pair(good, good), pair(base, other)])
        assert "\n" not in str(caught.value)
    with pytest.raises(SettingsError, match="batch_size"):
        ImageEncoderSummarizer(folder, batch_size=0)
    with pytest.raises(SettingsError, match="dtype"):
        ImageEncoderSummarizer(folder, dtype="int8")


def test_texts_and_images_do_not_mix_up(tiny_summarizer: Path, picture: Make) -> None:
    from xpert.summarizers.hf import HFSummarizer

    llm = HFSummarizer(tiny_summarizer)
    with pytest.raises(DataError, match=r"expected texts, got images .* encoder: with a CLIP model, or vlm:"):
        llm.summarize([pair(picture(), "cats.png")])
    assert llm.summarize([pair("It lies in", "cats.png")]).embeddings.shape == (1, 48)  # a text that looks like a path


def test_folders_that_are_none(folder: Path, tiny_base: Path, tmp_path: Path) -> None:
    assert not is_image_text_model(tiny_base)
    assert not is_image_text_model(tmp_path)
    sentences = shutil.copytree(folder, tmp_path / "sentences")
    (sentences / "modules.json").write_text("[]")
    assert not is_image_text_model(sentences)
    for name, message in (("preprocessor_config.json", "no image processor"), ("tokenizer.json", "no tokenizer")):
        less = shutil.copytree(folder, tmp_path / name)
        (less / name).unlink()
        with pytest.raises(IncompatibleModelError, match=message):
            ImageEncoderSummarizer(less)
    pickled = shutil.copytree(folder, tmp_path / "pickled")
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    with pytest.raises(WeightsError, match="pickled"):
        ImageEncoderSummarizer(pickled)
    llm = shutil.copytree(tiny_base, tmp_path / "llm")
    with pytest.raises(IncompatibleModelError, match="has no features of images and texts"):
        ImageEncoderSummarizer(llm)


def test_pillow_is_missing(folder: Path, encoder: ImageEncoderSummarizer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(MissingDependencyError, match=r"xpert\[diffusion\]"):
        encoder.summarize(PAIRS)
