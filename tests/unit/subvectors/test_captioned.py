from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from xpert.errors import SettingsError, SummarizerError
from xpert.protocols import SubvectorContext
from xpert.subvectors.captioned import CaptionedSubvectors
from xpert.testing import FakeSummarizer
from xpert.types import AnswerPair

PROMPTS = ("a picture of a {brace}", "a photo.", "a blue picture")
COLOURS = ("red", "green", "blue")
Make = Callable[..., Any]


def context(summarizer: Any, prompts: tuple[str, ...] = PROMPTS) -> SubvectorContext:
    null = np.zeros(summarizer.width, np.float32)
    return SubvectorContext(summarizer=summarizer, prompts=prompts, base_answers=prompts, null=null)


def test_the_scripts_way_is_the_difference_of_captions(colour_encoder: Make) -> None:
    encoder = colour_encoder()
    source = CaptionedSubvectors(template="a {word} photo of {caption}", plain="a photo of {caption}", centred=False)
    rows = source.vectors(COLOURS, context(encoder))
    captions = [prompt.rstrip(".") for prompt in PROMPTS]
    for word, row in zip(COLOURS, rows, strict=True):
        said = encoder.encode([f"a {word} photo of {caption}" for caption in captions])
        plain = encoder.encode([f"a photo of {caption}" for caption in captions])
        np.testing.assert_allclose(row, (said - plain).mean(axis=0), atol=1e-6)


def test_relative_to_the_list(colour_encoder: Make) -> None:
    encoder = colour_encoder()
    source = CaptionedSubvectors()
    rows = source.vectors(COLOURS, context(encoder))
    np.testing.assert_allclose(rows.sum(axis=0), 0, atol=1e-5)
    raw = CaptionedSubvectors(centred=False).vectors(COLOURS, context(encoder))
    np.testing.assert_allclose(rows, raw - raw.mean(axis=0), atol=1e-6)
    crimson = source.vectors(["crimson"], context(encoder))  # planted as red, not of the list
    np.testing.assert_allclose(crimson[0], rows[0], atol=1e-6)
    alone = CaptionedSubvectors().vectors(["blue"], context(encoder))
    np.testing.assert_allclose(alone[0], rows[2], atol=1e-6)


def test_a_words_vector_points_to_what_it_names(colour_encoder: Make, picture: Make) -> None:
    encoder = colour_encoder()
    rows = CaptionedSubvectors().vectors(COLOURS, context(encoder))
    pairs = [AnswerPair(prompt="", base=picture(120, 120, 120), other=picture(255, 100, 100))]
    towards = rows @ encoder.summarize(pairs).embeddings[0]
    assert towards[0] > 0.05 > 0 > towards[1]
    assert towards[2] < 0


def test_the_first_captions_alone(colour_encoder: Make) -> None:
    encoder = colour_encoder()
    one = CaptionedSubvectors(n_captions=1).vectors(COLOURS, context(encoder))
    np.testing.assert_array_equal(one, CaptionedSubvectors().vectors(COLOURS, context(encoder, PROMPTS[:1])))
    assert np.abs(one - CaptionedSubvectors().vectors(COLOURS, context(encoder))).max() > 1e-3


def test_settings_tell_apart() -> None:
    made = [{}, {"n_captions": 3}, {"centred": False}, {"template": "{word} {caption}"}, {"words": ["a", "b"]}]
    assert len({CaptionedSubvectors(**options).fingerprint for options in made}) == 5


def test_bad_settings() -> None:
    for options, message in (
        ({"n_captions": 0}, "n_captions"),
        ({"template": "a {word} picture"}, r"template: expected a text with \{word\} and \{caption\}"),
        ({"plain": "a {word} photo of {caption}"}, "plain"),
    ):
        with pytest.raises(SettingsError, match=message):
            CaptionedSubvectors(**options)


def test_who_cannot() -> None:
    class Silent(FakeSummarizer):
        encode = None  # pyright: ignore[reportAssignmentType, reportIncompatibleMethodOverride]

    with pytest.raises(SummarizerError, match="need an encoder of texts and images"):
        CaptionedSubvectors().vectors(["red"], context(Silent()))

    class Wordless(FakeSummarizer):
        words = ()

    with pytest.raises(SummarizerError, match="relative to a list of words"):
        CaptionedSubvectors().vectors(["red"], context(Wordless()))
