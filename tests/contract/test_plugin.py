"""An installed package's backends are found by name and keep the contracts (``make test`` installs ``tests/plugin``)."""

from __future__ import annotations

import numpy as np
import pytest

from xpert import AnswerPair, SubvectorContext, load_summarizer
from xpert.errors import ReferenceNotFoundError
from xpert.registry import SUBVECTORS, SUMMARIZERS
from xpert.testing import check_subvector_source, check_summarizer

LOUD = AnswerPair(prompt="Why?", base="Because it is so.", other="BECAUSE IT IS SO!")


def test_summarizer_is_found_by_name() -> None:
    summarizer = load_summarizer("shouting:anything")
    assert type(summarizer).__module__ == "xpert_plugin_example"
    assert summarizer.name == "shouting:anything"
    assert "shouting" in SUMMARIZERS.names()


def test_summarizer_keeps_the_contract() -> None:
    check_summarizer(lambda: load_summarizer("shouting:anything"))


def test_summarizer_hears_what_is_planted() -> None:
    summary = load_summarizer("shouting:x").summarize([LOUD], n_candidates=1)
    assert summary.candidates[0].word == "excited"  # one of one sentence ends in "!", one of 13 letters was a capital
    np.testing.assert_allclose(summary.embeddings, [[12 / 13, 1]], rtol=1e-6)


def test_subvectors_are_found_and_keep_the_contract() -> None:
    context = SubvectorContext(
        summarizer=load_summarizer("shouting:x"),
        prompts=["Why?"],
        base_answers=["Because."],
        null=np.zeros(2, np.float32),
    )
    check_subvector_source(SUBVECTORS.get("shouting"), context, words=("loud", "excited"))


def test_unknown_name_lists_the_plugin_too() -> None:
    with pytest.raises(ReferenceNotFoundError, match=r"unknown summarizer 'whispering'.*shouting.*xpert\.summarizers"):
        SUMMARIZERS.get("whispering")
