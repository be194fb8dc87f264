from __future__ import annotations

import numpy as np

from xpert.axes import anchored
from xpert.basis import SubvectorBasis
from xpert.protocols import SubvectorContext
from xpert.registry import SUBVECTORS
from xpert.subvectors.described import DescribedSubvectors
from xpert.subvectors.exemplary import ExemplarySubvectors
from xpert.testing import FakeSummarizer
from xpert.types import Array


class Taught(FakeSummarizer):
    """Knows two opposites by example."""

    @property
    def exemplars(self) -> dict[str, Array]:
        row = np.zeros(self.width, np.float32)
        row[0] = 2.0
        return {"expert": row, "elementary": -0.9 * row}


def context(summarizer: FakeSummarizer) -> SubvectorContext:
    null = np.zeros(summarizer.width, np.float32)
    return SubvectorContext(summarizer=summarizer, prompts=["p"], base_answers=["a"], null=null)


def test_words_known_by_example_have_their_own_vectors_and_others_are_described() -> None:
    where, source = context(Taught()), ExemplarySubvectors()
    rows = source.vectors(["friendly", "expert", "formal"], where)
    assert rows.dtype == np.float32
    np.testing.assert_array_equal(rows[1], Taught().exemplars["expert"])
    described = DescribedSubvectors().vectors(["friendly", "formal"], where)
    np.testing.assert_allclose(rows[[0, 2], 1:], described[:, 1:], atol=1e-7)
    np.testing.assert_allclose(rows[[0, 2], 0], 0, atol=1e-7)  # the examples' direction is taken out
    assert source.vectors(["expert"], where).shape == (1, Taught().width)
    assert source.vectors([], where).shape == (0, Taught().width)


def test_a_summarizer_that_was_taught_nothing_has_described_words_only() -> None:
    where = context(FakeSummarizer())
    assert ExemplarySubvectors().anchors(where) == ()
    np.testing.assert_array_equal(
        ExemplarySubvectors().vectors(["friendly"], where), DescribedSubvectors().vectors(["friendly"], where)
    )


def test_a_basis_begins_with_the_words_known_by_example_though_they_are_opposites() -> None:
    where, source = context(Taught()), ExemplarySubvectors()
    start = SubvectorBasis.empty(np.zeros(Taught().width + 3, np.float32))
    basis = anchored(start, source.anchors(where), source, where)
    assert basis.words == ("expert", "elementary")
    np.testing.assert_array_equal(basis.vectors[0, : Taught().width], Taught().exemplars["expert"])
    assert not basis.vectors[:, Taught().width :].any(), "the measured block stays empty"
    assert anchored(basis, source.anchors(where), source, where) is basis


def test_its_name_and_settings() -> None:
    assert isinstance(SUBVECTORS.make("exemplary"), ExemplarySubvectors)
    other = ExemplarySubvectors(DescribedSubvectors(n_texts=2))
    assert other.fingerprint != ExemplarySubvectors().fingerprint
