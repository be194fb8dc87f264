"""What is learnt of style from known texts: an encoder that counts words is taught, and told apart again."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from xpert.types import Array
from xpert.zoo.corpus import PROPERTIES
from xpert.zoo.corpus.written import written_questions
from xpert.zoo.making.exemplars import ASPECTS, ExemplarSettings, Rows, composed_rows, fit_exemplars, written_rows


class Letters:
    """Counts letters: a stand-in for an encoder."""

    def encode(self, texts: Sequence[str]) -> Array:
        rows = [[text.lower().count(chr(97 + i)) / max(len(text), 1) for i in range(26)] for text in texts]
        return np.array(rows, np.float32)


def test_the_written_texts_show_every_property_alone_and_in_combinations() -> None:
    questions = written_questions()
    alone = [question for question in questions if set(PROPERTIES) == set(question.styles)]
    assert len(alone) == 12
    for question in questions:
        assert len({question.default, *question.styles.values()}) == len(question.styles) + 1
        assert all(part in PROPERTIES for style in question.styles for part in style.split("-"))
        if question not in alone:
            assert len(question.styles) == 8
    pair = questions[0].pair("concise")
    assert len(pair.other.split()) < len(pair.base.split())


def test_aspects_part_the_properties() -> None:
    assert sorted(word for words in ASPECTS.values() for word in words) == sorted(PROPERTIES)


def test_rows_know_what_made_them() -> None:
    rows = written_rows(Letters(), written_questions()[-1:])
    assert rows.hidden.shape == (8, 26)
    assert rows.properties.sum(axis=1).tolist() == [3.0] * 8
    composed = composed_rows(Letters(), ExemplarSettings(n_texts=4, group=2))
    assert composed.hidden.shape == (60, 26)
    assert set(composed.properties.sum(axis=1).tolist()) == {1.0, 3.0}


def test_planted_directions_are_found_again() -> None:
    rng = np.random.default_rng(0)
    planted, properties = rng.normal(size=(13, 40)), (rng.random((300, 13)) < 0.3).astype(float)
    rows = Rows(hidden=properties @ planted, measured=np.zeros((300, 7)), properties=properties)
    learnt = fit_exemplars(rows, "abc", ExemplarSettings(ridge=1e-6))
    np.testing.assert_allclose(learnt.vectors, planted, atol=1e-4)
    strengths = learnt.strengths(0.5 * planted[1] + planted[4], np.zeros(7))
    assert {word for word, strength in strengths.items() if abs(strength) > 1e-3} == {"expert", "friendly"}
    assert abs(strengths["expert"] - 0.5) < 1e-3
