"""Words known by example (ADR 8) from ``xpert explain`` to ``xpert select``, with a tiny encoder that was taught three of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sentence_transformers", reason="needs the extra 'encoder'")

from xpert.catalog import Catalog
from xpert.cli import main
from xpert.summarizers.encoder import EncoderSummarizer
from xpert.summarizers.exemplars import Exemplars
from xpert.testing.fakes import fake_text
from xpert.testing.tiny_encoder import tiny_encoder

TAUGHT = ("friendly", "formal", "poetic")


@pytest.fixture
def encoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Reference of a tiny encoder that knows three words by the differences which texts in these styles make."""
    folder = tiny_encoder(tmp_path / "encoder")
    plain = EncoderSummarizer(folder)
    texts = {style: [fake_text(f"question {i} of us", style) for i in range(20)] for style in (None, *TAUGHT)}
    means = {style: plain.encode(own).mean(axis=0) for style, own in texts.items()}
    vectors = np.stack([means[style] - means[None] for style in TAUGHT]).astype(np.float32)
    measured = np.zeros((1, len(TAUGHT)), np.float32)
    learnt = Exemplars(
        words=TAUGHT,
        aspects=("tone", "formality", "tone"),
        measured=("longer",),
        weights=np.concatenate([np.linalg.pinv(vectors), measured]).astype(np.float32),
        vectors=vectors,
        encoder=plain.weights_digest,
    )
    monkeypatch.setattr("xpert.summarizers.encoding.shipped_exemplars", lambda: learnt)
    return f"encoder:{folder}"


def xpert(capsys: Any, *arguments: object) -> dict[str, Any]:
    capsys.readouterr()
    code = main([*map(str, arguments), "--json"])
    out, err = capsys.readouterr()
    assert code == 0, err
    return json.loads(out)


def test_a_catalog_of_words_by_example_grows_and_selects_as_a_full_run(
    encoder: str, pool: dict[str, str], me: Path, my_base_answers: Path, tmp_path: Path, capsys: Any
) -> None:
    def named(*styles: str) -> list[str]:
        return [part for style in styles for part in ("--model", f"{style}={pool[style]}")]

    whole, grown = tmp_path / "whole", tmp_path / "grown"
    made = ["explain", "--base", pool["base"], "--summarizer", encoder, "--n-prompts", 20]
    xpert(capsys, *made, *named("friendly", "formal", "poetic"), "--out", whole)
    xpert(capsys, *made, *named("friendly", "formal"), "--out", grown)
    assert Catalog.from_pretrained(grown).provenance.subvectors == "exemplary"
    xpert(capsys, "explain", "--catalog", grown, *named("poetic"), "--out", grown)

    one, other = Catalog.from_pretrained(whole), Catalog.from_pretrained(grown)
    assert one.basis.words[: len(TAUGHT)] == other.basis.words[: len(TAUGHT)] == TAUGHT
    assert one.basis.words == other.basis.words
    np.testing.assert_allclose(other.coordinates, one.coordinates, atol=1e-5)
    assert [card.candidates for card in other.models] == [card.candidates for card in one.models]
    assert {style: other[style].words[0][0] for style in TAUGHT} == {style: style for style in TAUGHT}

    asked = ["select", "--data", me, "--base-answers", my_base_answers]
    found = [xpert(capsys, *asked, "--catalog", folder) for folder in (whole, grown)]
    assert [selection["best"] for selection in found] == ["poetic", "poetic"]
    np.testing.assert_allclose(found[1]["coordinates"], found[0]["coordinates"], atol=1e-5)
