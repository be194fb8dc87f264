from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xpert.catalog import Catalog
from xpert.embedding import measured_scale
from xpert.errors import DataError, SettingsError, SummarizerError, WeightsError, XpertError
from xpert.explainer import Explainer
from xpert.measured import MEASURED
from xpert.probing import check_names
from xpert.protocols import SubvectorContext
from xpert.testing.fakes import FAKE_STYLES, FakeSummarizer, fake_text
from xpert.types import AnswerPair, Array, Generation, ModelCard, Summary

PROMPTS = [f"question {i} about topic {i % 7}" for i in range(12)]
STYLES = {name: f"fake:{name}" for name in ("friendly", "formal", "poetic")}


class FakeProber:
    """Models are planted styles: ``fake:friendly`` answers in the friendly style, the base in the plain one."""

    def __init__(self, shared: Sequence[str] | None) -> None:
        self.shared = shared

    def card(self, name: str, reference: str) -> ModelCard:
        digest = hashlib.sha256(reference.encode()).hexdigest()
        return ModelCard(name=name, reference=reference, kind="recorded", base="fake:base", bytes=1, sha256=digest)

    def answer(self, reference: str | None, prompts: Sequence[str], generation: Generation) -> list[str]:
        style = None if reference is None else reference.partition(":")[2]
        return [fake_text(prompt, style, seed=generation.seed) for prompt in prompts]

    def prompts(self, references: Sequence[str]) -> list[str] | None:
        return None if self.shared is None else list(self.shared)

    def second_answer(self, prompts: Sequence[str], generation: Generation) -> tuple[list[str], str]:
        return [fake_text(prompt, None, seed=generation.seed + 1) for prompt in prompts], "sampled"


class FakeModality:
    name = "text"
    measured = MEASURED

    def __init__(self, shared: Sequence[str] | None = PROMPTS) -> None:
        self.shared, self.open_now, self.opened = shared, 0, 0

    @contextmanager
    def open(self, base: str, *, device: str | None = None, dtype: str | None = None) -> Iterator[FakeProber]:
        self.open_now += 1
        self.opened += 1
        try:
            yield FakeProber(self.shared)
        finally:
            self.open_now -= 1


class FakeSource:
    """Sub-vectors of the fakes: summaries of texts written in the style."""

    name = "fake-contrastive"

    def vectors(self, words: Sequence[str], context: SubvectorContext) -> Array:
        rows = []
        for word in words:
            pairs = [
                AnswerPair(prompt=p, base=a, other=fake_text(p, word, seed=9))
                for p, a in zip(context.prompts, context.base_answers, strict=True)
            ]
            rows.append(context.summarizer.summarize(pairs).embeddings.mean(axis=0) - context.null)
        return np.stack(rows).astype(np.float32)


def explainer(**options: Any) -> Explainer:
    settings: dict[str, Any] = {
        "summarizer": FakeSummarizer(),
        "n_prompts": 8,
        "eps_orth": 0.4,
        "subvectors": FakeSource(),
        "modality": FakeModality(),
    }
    return Explainer("fake:base", **(settings | options))


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return explainer().explain(STYLES)


def test_models_are_explained_by_their_own_words(catalog: Catalog) -> None:
    for name in STYLES:
        explanation = catalog[name]
        named = [(word, value) for word, value in explanation.words if word in FAKE_STYLES]
        assert named[0][0] == name
        assert named[0][1] == pytest.approx(1.0, abs=0.35)
        assert explanation.converged == (explanation.residual <= catalog.provenance.eps_dec)


def test_the_shares_and_the_rest_add_up(catalog: Catalog) -> None:
    assert catalog.embeddings is not None
    for name, e in zip(catalog, catalog.embeddings, strict=True):
        shares = catalog[name].named_share ** 2 + catalog[name].measured_share ** 2 + catalog[name].unnamed_share ** 2
        assert shares + catalog.basis.residual(e) ** 2 == pytest.approx(1.0, abs=1e-4)
        assert catalog[name].measured_share == pytest.approx(
            np.linalg.norm(e[catalog.provenance.width :]) / np.linalg.norm(e), abs=1e-5
        )


def test_measured_axes_carry_the_quantity_itself_and_the_weight_asked_for(catalog: Catalog) -> None:
    made, basis = catalog.provenance, catalog.basis
    measured = basis.where(["measured"])
    assert [basis.words[i] for i in measured] == list(made.measured)
    assert catalog.embeddings is not None
    quantities = catalog.embeddings[:, made.width :] / made.measured_scale
    np.testing.assert_allclose(catalog.coordinates[:, measured], quantities, atol=1e-5)
    assert measured_scale([[3.0, 4.0], [5.0, 0.0]], [[0.5, 0.0], [0.0, 0.5]], 0.5) == pytest.approx(5.0)
    assert measured_scale([[1.0]], [[0.0]], 0.5) == pytest.approx(5.0)
    assert measured_scale([[0.0]], [[1.0]], 0.5) == 0.5


def test_switches_leave_axes_out() -> None:
    plain = explainer(measured_weight=0, unnamed=False).explain(STYLES)
    assert {axis.kind for axis in plain.basis.axes} == {"word"}
    assert plain.basis.width == plain.provenance.width == 24


class ForgetfulSource(FakeSource):
    """Knows nothing of poetry."""

    def vectors(self, words: Sequence[str], context: SubvectorContext) -> Array:
        known = np.array([[word not in ("poetic", "lyrical")] for word in words])
        return super().vectors(words, context) * known


def test_unnamed_axes_take_up_what_no_word_names() -> None:
    covered = explainer(subvectors=ForgetfulSource()).explain(STYLES)
    bare = explainer(subvectors=ForgetfulSource(), unnamed=False).explain(STYLES)
    assert covered.embeddings is not None
    assert "poetic" not in covered.basis.words
    assert [axis.word for axis in covered.basis.axes if axis.kind == "unnamed"][:1] == ["unnamed-1"]
    assert max(covered.basis.residual(e) for e in covered.embeddings) < 0.05
    assert max(bare.basis.residual(e) for e in covered.embeddings) > 0.5
    assert covered["poetic"].unnamed_share > 0.5 > covered["friendly"].unnamed_share
    assert (covered["poetic"].converged, covered["friendly"].converged) == (False, True)
    few = explainer(subvectors=ForgetfulSource(), max_unnamed=0).explain(STYLES)
    assert few.basis.where(["unnamed"]) == []


def test_two_runs_write_the_same_bytes(tmp_path: Path, catalog: Catalog) -> None:
    one = catalog.save_pretrained(tmp_path / "1")
    other = explainer().explain(STYLES).save_pretrained(tmp_path / "2")
    for path in one.iterdir():
        assert path.read_bytes() == (other / path.name).read_bytes(), path.name


def test_another_seed_asks_other_prompts(catalog: Catalog) -> None:
    assert explainer(seed=1).explain(STYLES).provenance.prompts_sha256 != catalog.provenance.prompts_sha256


def test_null_centering_takes_the_common_direction_out() -> None:
    summarizer = FakeSummarizer(common=50.0)
    centred = explainer(summarizer=summarizer).explain(STYLES)
    raw = explainer(summarizer=summarizer, centering="none").explain(STYLES)
    assert centred.embeddings is not None
    assert raw.embeddings is not None
    assert np.linalg.norm(centred.basis.null) == pytest.approx(50.0, rel=0.01)
    assert np.linalg.norm(centred.embeddings, axis=1).max() < 1
    assert np.linalg.norm(raw.embeddings[:, :24], axis=1).min() > 40
    assert (centred.provenance.null_pairs, raw.provenance.null_pairs) == ("sampled", "none")
    assert not raw.basis.null.any()


def test_prompts_are_a_seeded_sample_or_the_given_ones(catalog: Catalog) -> None:
    asked = [answer.prompt for answer in catalog.base_answers]
    assert len(asked) == 8
    assert asked == [prompt for prompt in PROMPTS if prompt in asked]
    given = explainer(prompts=["one", "two"]).explain(STYLES)
    assert [answer.prompt for answer in given.base_answers] == ["one", "two"]
    assert given.base_answers[1].response == fake_text("two", None, seed=0)


def test_fewer_prompts_than_asked_for() -> None:
    with pytest.raises(DataError, match="expected at least 13 that base and models share, found 12"):
        explainer(n_prompts=13).explain(STYLES)


def test_a_base_without_prompts_gets_the_shipped_ones() -> None:
    shipped = explainer(modality=FakeModality(None)).explain(STYLES)
    assert len({answer.prompt for answer in shipped.base_answers}) == 8


@pytest.mark.parametrize("names", [[], [""], ["a/b"], ["a\\b"], [".."], ["a\nb"], ["a", "b", "a"]])
def test_names_that_cannot_be_one(names: list[str]) -> None:
    with pytest.raises(SettingsError, match="models"):
        check_names(names)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"eps_orth": 0}, "eps_orth"),
        ({"eps_dec": 2}, "eps_dec"),
        ({"centering": "mean"}, "centering"),
        ({"measured_weight": -1}, "measured_weight"),
        ({"n_prompts": 0}, "n_prompts"),
        ({"max_candidates": 0}, "max_candidates"),
        ({"candidate_order": "random"}, "candidate_order"),
    ],
)
def test_options_are_checked_before_anything_is_loaded(options: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        explainer(**options)


def test_an_empty_list_of_prompts() -> None:
    with pytest.raises(SettingsError, match="prompts"):
        explainer(prompts=[]).explain(STYLES)


def test_resources_are_freed_and_objects_stay_open() -> None:
    summarizer, modality = FakeSummarizer(), FakeModality()
    explainer(summarizer=summarizer, modality=modality).explain(STYLES)
    assert (modality.open_now, modality.opened, summarizer.closed) == (0, 1, 0)


class BrokenSummarizer(FakeSummarizer):
    def __init__(self, change: str) -> None:
        super().__init__()
        self.change = change

    def summarize(self, pairs: Sequence[AnswerPair], *, n_candidates: int = 0) -> Summary:
        summary = super().summarize(pairs, n_candidates=n_candidates)
        rows = summary.embeddings[:, :-1] if self.change == "narrow" else summary.embeddings * np.float32(np.nan)
        return replace(summary, embeddings=rows)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [("narrow", SummarizerError, r"expected embeddings of shape \(8, 24\)"), ("nan", WeightsError, "not finite")],
)
def test_results_of_a_broken_summarizer(change: str, error: type[XpertError], message: str) -> None:
    modality = FakeModality()
    with pytest.raises(error, match=message):
        explainer(summarizer=BrokenSummarizer(change), modality=modality).explain(STYLES)
    assert modality.open_now == 0


def test_a_model_that_answers_as_the_base_is_explained_by_nothing() -> None:
    same = explainer(centering="none", summarizer=FakeSummarizer(common=0.0)).explain({"same": "fake:plain-words"})
    assert np.isfinite(same.coordinates).all()
    assert np.isfinite(list(same.provenance.match_thresholds.values())).all()


def test_one_prompt_and_one_model() -> None:
    catalog = explainer(n_prompts=1).explain({"friendly": "fake:friendly"})
    assert not catalog.stderr.any()
    assert catalog["friendly"].words


def test_standard_errors_are_of_the_mean(catalog: Catalog) -> None:
    many = explainer(prompts=[f"question {i} about something" for i in range(128)]).explain(STYLES)
    few = explainer(prompts=[f"question {i} about something" for i in range(32)]).explain(STYLES)
    shrink = np.median(many.stderr[:, 0]) / np.median(few.stderr[:, 0])
    assert 0.3 < shrink < 0.75
