"""A pool that is probed here is the one that `Explainer` explains, and users are found as `Selector` finds them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from xpert.errors import DataError
from xpert.evaluation.demo_users import DemoUser
from xpert.evaluation.experiments.decomposing import Settings, accuracies, word_basis
from xpert.evaluation.experiments.pool import base_answers, embedded_users, probed_pool, with_words
from xpert.explainer import Explainer
from xpert.protocols import SummarizerDefaults
from xpert.selector import Selector
from xpert.space import AXES
from xpert.testing.fakes import FakeSummarizer, fake_text
from xpert.types import Example

ASKED = [f"question {i} about topic {i % 7}" for i in range(20)]
OTHERS = [f"thing {i} of another kind" for i in range(12)]
STYLES = ("friendly", "formal", "poetic")


@pytest.fixture
def recorded(tmp_path: Path) -> tuple[str, dict[str, str]]:
    """A base and a model a style, as recorded answers."""

    def write(name: str, style: str | None, prompts: list[str]) -> str:
        lines = [
            {"prompt": p, "response": fake_text(p, style, seed=1), "response2": fake_text(p, style, seed=2)}
            for p in prompts
        ]
        file = tmp_path / f"{name}.jsonl"
        file.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
        return f"answers:{file}"

    return write("base", None, ASKED + OTHERS), {style: write(style, style, ASKED) for style in STYLES}


def users(strength: float) -> list[DemoUser]:
    return [
        DemoUser(
            name=style,
            style=style,
            examples=tuple(Example(prompt=p, response=fake_text(p, style, seed=5, strength=strength)) for p in OTHERS),
        )
        for style in STYLES
    ]


def test_the_pool_is_that_of_the_explainer(recorded: tuple[str, dict[str, str]], tmp_path: Path) -> None:
    base, models = recorded
    summarizer = FakeSummarizer()
    pool = probed_pool(base, models, summarizer, ASKED, n_candidates=11, cache=tmp_path / "cache")
    pool = with_words(pool, summarizer, cache=tmp_path / "cache")
    settings = Settings(name="own", eps_orth=0.4, eps_dec=0.2)
    words = word_basis(pool, settings)
    explainer = Explainer(base, summarizer, prompts=ASKED, eps_orth=0.4, eps_dec=0.2, max_candidates=11)
    catalog = explainer.explain(models)
    assert pool.is_centred
    assert words.basis.words == catalog.basis.subset(["word"]).words
    assert words.n_examined == catalog.provenance.n_candidates_examined
    assert words.converged == np.mean([catalog[name].converged for name in catalog])
    assert words.residual == pytest.approx(np.mean([catalog[name].residual for name in catalog]), abs=1e-5)
    np.testing.assert_allclose(words.basis.vectors, catalog.basis.subset(["word"]).vectors[:, : summarizer.width])

    people = users(0.05)
    said = base_answers(base, people)
    found = accuracies(pool, embedded_users(people, said, summarizer), words)
    for axes in AXES:
        selector = Selector(catalog, summarizer, axes=axes)
        right = [
            selector.select(user.examples, [said[str(e.prompt)] for e in user.examples]).best == user.style
            for user in people
        ]
        assert found[axes] == pytest.approx(np.mean(right))
    strong = accuracies(pool, embedded_users(users(0.4), said, summarizer), words)
    assert strong == dict.fromkeys(AXES, 1.0)


def test_a_summarizer_that_is_not_centred_has_no_null(recorded: tuple[str, dict[str, str]]) -> None:
    base, models = recorded
    summarizer = FakeSummarizer(common=0.0, defaults=SummarizerDefaults(centering="none"))
    pool = probed_pool(base, models, summarizer, ASKED[:6])
    assert not pool.is_centred
    assert pool.candidates == ((), (), ())
    assert pool.rows.shape == (3, 6, summarizer.width)


def test_users_need_prompts(recorded: tuple[str, dict[str, str]]) -> None:
    nameless = DemoUser(name="a", style="friendly", examples=(Example(response="a text"),))
    with pytest.raises(DataError, match="a prompt beside every text"):
        base_answers(recorded[0], [nameless])
    with pytest.raises(DataError, match="at least one"):
        base_answers(recorded[0], [])
    with pytest.raises(DataError, match=f"found none to '{OTHERS[0]}'"):
        embedded_users(users(0.4), {}, FakeSummarizer())


def test_a_part_of_the_users(recorded: tuple[str, dict[str, str]]) -> None:
    said = base_answers(recorded[0], users(0.4))
    everybody = embedded_users(users(0.4), said, FakeSummarizer())
    part = everybody.part(slice(1, 3))
    assert part.styles == STYLES[1:]
    np.testing.assert_array_equal(part.hidden, everybody.hidden[1:])
    alone = embedded_users(users(0.4)[1:], said, FakeSummarizer())
    np.testing.assert_allclose(alone.hidden, part.hidden, atol=1e-6)
