"""A catalog that has grown is the catalog of all its models, and nothing old was asked or embedded again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xpert.catalog import Catalog
from xpert.catalog_pairs import PairRows
from xpert.errors import (
    CatalogError,
    IncompatibleModelError,
    ReferenceNotFoundError,
    SettingsError,
    SummarizerError,
)
from xpert.explainer import Explainer
from xpert.growing import check_summarizer
from xpert.measured import MEASURED
from xpert.protocols import SubvectorContext
from xpert.testing.fakes import FakeSummarizer, fake_text
from xpert.types import AnswerPair, Array, Generation, ModelCard, Summary

STYLES = ("friendly", "formal", "poetic", "technical", "angry")


class Prober:
    """Models are planted styles; counts whom it asked."""

    def __init__(self, asked: list[str | None], weights: str) -> None:
        self.asked, self.weights = asked, weights

    def card(self, name: str, reference: str) -> ModelCard:
        return ModelCard(name=name, reference=reference, kind="full", base="fake:base", bytes=1, sha256="ab" * 32)

    def answer(self, reference: str | None, prompts: Sequence[str], generation: Generation) -> list[str]:
        self.asked.append(reference)
        return [fake_text(p, (reference or "").partition(":")[2], seed=generation.seed) for p in prompts]

    def prompts(self, references: Sequence[str]) -> list[str] | None:
        return [f"question {i} about topic {i % 7}" for i in range(20)]

    def second_answer(self, prompts: Sequence[str], generation: Generation) -> tuple[list[str], str]:
        return [fake_text(p, seed=generation.seed + 1) for p in prompts], "sampled"

    def fingerprint(self, reference: str | None) -> str | None:
        return f"{self.weights} {reference}"


class Modality:
    name = "text"
    measured = MEASURED

    def __init__(self, weights: str = "w") -> None:
        self.asked: list[str | None] = []
        self.weights = weights

    @contextmanager
    def open(self, base: str, *, device: str | None = None, dtype: str | None = None) -> Iterator[Prober]:
        yield Prober(self.asked, self.weights)


class Summarizer(FakeSummarizer):
    fingerprint = "fake"

    def __init__(self) -> None:
        super().__init__()
        self.others: list[str] = []

    def summarize(self, pairs: Sequence[AnswerPair], *, n_candidates: int = 0) -> Summary:
        if n_candidates:
            self.others += [pair.other for pair in pairs]
        return super().summarize(pairs, n_candidates=n_candidates)


class Source:
    name = "planted"

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
        "summarizer": Summarizer(),
        "n_prompts": 8,
        "eps_orth": 0.4,
        "subvectors": Source(),
        "modality": Modality(),
        "max_candidates": 6,
    }
    return Explainer("fake:base", **(settings | options))


def models(*styles: str) -> dict[str, str]:
    return {style: f"fake:{style}" for style in styles}


def same(one: Catalog, other: Catalog) -> None:
    """Equal in all but how often words were examined."""
    assert (one.basis.axes, one.models, one.base_answers) == (other.basis.axes, other.models, other.base_answers)
    counted = replace(other.provenance, n_candidates_examined=one.provenance.n_candidates_examined)
    for key, value in one.provenance.to_json().items():
        expected = counted.to_json()[key]
        if key in ("measured_scale", "match_thresholds"):
            assert value == pytest.approx(expected, rel=1e-6)
        elif key == "fits":
            assert value.keys() == expected.keys()
            for name, fit in value.items():
                flat = {k: v for k, v in fit.items() if not isinstance(v, dict)}
                assert flat == pytest.approx({k: expected[name][k] for k in flat}, abs=1e-6)
                for k in fit.keys() - flat.keys():
                    assert fit[k] == pytest.approx(expected[name][k], abs=1e-6)
        else:
            assert value == expected, key
    for a, b in [
        (one.basis.vectors, other.basis.vectors),
        (one.basis.null, other.basis.null),
        (one.coordinates, other.coordinates),
        (one.stderr, other.stderr),
        (one.embeddings, other.embeddings),
        (np.stack(list(one.pairs or ())), np.stack(list(other.pairs or ()))),
    ]:
        np.testing.assert_allclose(a, b, atol=1e-6)


@pytest.mark.parametrize("first", [1, 2, 4])
@pytest.mark.parametrize(
    "options", [{}, {"centering": "none"}, {"coefficients": "projection"}, {"measured_weight": 0.2}]
)
def test_adding_gives_what_explaining_all_gives(tmp_path: Path, first: int, options: dict[str, Any]) -> None:
    whole = explainer(**options).explain(models(*STYLES))
    start = explainer(**options).explain(models(*STYLES[:first]))
    folder = start.save_pretrained(tmp_path / "c")
    modality, summarizer = Modality(), Summarizer()
    own = {"modality": modality, "summarizer": summarizer, "subvectors": Source(), "max_candidates": 6}
    opened = Catalog.from_pretrained(folder)
    grown = Explainer.for_catalog(opened, **own).extend(opened, models(*STYLES[first:]))
    same(grown, whole)
    assert modality.asked == [f"fake:{style}" for style in STYLES[first:]]
    assert len(summarizer.others) == 8 * (len(STYLES) - first)
    same(Catalog.from_pretrained(grown.save_pretrained(folder)), whole)  # over the old one
    one_by_one = start
    for style in STYLES[first:]:
        one_by_one = explainer(**options).extend(one_by_one, models(style))
    same(one_by_one, whole)


def test_removing_keeps_the_words_and_projects_what_is_left() -> None:
    modality = Modality()
    whole = explainer().explain(models(*STYLES))
    less = explainer(modality=modality).extend(whole, remove=["poetic", "friendly"])
    assert modality.asked == []
    assert less.names == ("formal", "technical", "angry")
    assert less.basis.subset(["word"]).axes == whole.basis.subset(["word"]).axes
    assert less.embeddings is not None
    np.testing.assert_allclose(less.coordinates, less.basis.project(less.embeddings), atol=1e-6)
    rows = np.stack(list(whole.pairs or ()))[[1, 3, 4]]
    np.testing.assert_array_equal(np.stack(list(less.pairs or ())), rows)
    assert set(less.provenance.fits) == set(less.names)
    back = explainer().extend(less, models("poetic"))
    assert back["poetic"].words[0][0] == "poetic"


def test_replacing_keeps_the_place() -> None:
    whole = explainer().explain(models("friendly", "formal", "poetic"))
    other = explainer().extend(whole, {"formal": "fake:angry"})
    assert other.names == ("friendly", "formal", "poetic")
    assert other.card("formal").reference == "fake:angry"
    assert next(word for word, _ in other["formal"].words if word in STYLES) == "angry"
    assert set(whole.basis.subset(["word"]).words) <= set(other.basis.words)
    unchanged = [0, 2]
    assert whole.pairs is not None
    assert other.pairs is not None
    for i in unchanged:
        np.testing.assert_array_equal(other.pairs[i], whole.pairs[i])


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return explainer().explain(models("friendly", "formal"))


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({}, SettingsError, "nothing to do"),
        ({"remove": ["nobody"]}, ReferenceNotFoundError, "no model 'nobody' in the catalog: it has friendly, formal"),
        ({"remove": ["friendly", "formal"]}, SettingsError, "all 2 models would be removed"),
        ({"models": {"formal": "fake:angry"}, "remove": ["formal"]}, SettingsError, "added and removed"),
        ({"models": {"a/b": "fake:angry"}}, SettingsError, "path separators"),
    ],
)
def test_what_cannot_be_done(catalog: Catalog, given: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        explainer().extend(catalog, **given)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("seed", 1),
        ("eps_orth", 0.3),
        ("eps_dec", 0.5),
        ("centering", "none"),
        ("coefficients", "projection"),
        ("candidate_order", "residual"),
        ("measured_weight", 0.1),
        ("generation", Generation(max_new_tokens=9)),
        ("prompts", ["another"]),
        ("n_prompts", 9),
        ("subvectors", "described"),
    ],
)
def test_options_that_are_not_the_catalogs(catalog: Catalog, option: str, value: Any) -> None:
    with pytest.raises(SettingsError, match=rf"{option}: .*[Ll]eave (it|them) out"):
        explainer(**{option: value}).extend(catalog, models("poetic"))


def test_how_many_are_answered_at_once_is_free(catalog: Catalog) -> None:
    grown = explainer(generation=Generation(batch_size=3)).extend(catalog, models("poetic"))
    assert list(grown) == ["friendly", "formal", "poetic"]


def test_a_catalog_without_pair_rows_says_what_to_do(catalog: Catalog, tmp_path: Path) -> None:
    device = Catalog.from_pretrained(catalog.save_pretrained(tmp_path / "c", server_files=False))
    for work in (explainer().extend, lambda c, _: Explainer.for_catalog(c)):
        with pytest.raises(CatalogError, match=r"no pairs\.safetensors.*explain all models again"):
            work(device, models("poetic"))


def test_another_base_or_summarizer_is_told(catalog: Catalog) -> None:
    with pytest.raises(IncompatibleModelError, match="not the one that made the catalog"):
        explainer(modality=Modality("changed")).extend(catalog, models("poetic"))

    class Changed(Summarizer):
        fingerprint = "other weights"

    with pytest.raises(SummarizerError, match="not the one that made the catalog"):
        explainer(summarizer=Changed()).extend(catalog, models("poetic"))

    class Silent(Summarizer):
        fingerprint = None  # type: ignore[assignment]

        @property
        def name(self) -> str:
            return "another"

    with pytest.raises(SummarizerError, match="'another'"):
        explainer(summarizer=Silent()).extend(catalog, models("poetic"))
    assert catalog.pairs is not None
    nameless = replace(catalog, pairs=_without_makers(catalog.pairs))
    assert "poetic" in explainer().extend(nameless, models("poetic"))


def _without_makers(pairs: PairRows) -> PairRows:
    rows = PairRows.empty(pairs.shape, {})
    for i, row in enumerate(pairs):
        rows.put(i, row)
    return rows


def test_an_unknown_option_of_for_catalog(catalog: Catalog) -> None:
    with pytest.raises(SettingsError, match="no option 'colour'"):
        Explainer.for_catalog(catalog, colour="red")


def test_another_setting_of_the_sub_vectors_is_refused() -> None:
    class Said(Source):
        def __init__(self, fingerprint: str) -> None:
            self.fingerprint = fingerprint

    catalog = explainer(subvectors=Said("24 prompts")).explain(models("friendly", "formal"))
    with pytest.raises(SettingsError, match="other settings of 'planted'"):
        explainer(subvectors=Said("2 prompts")).extend(catalog, models("poetic"))
    assert "poetic" in explainer(subvectors=Said("24 prompts")).extend(catalog, models("poetic"))


def test_an_encoders_catalog_of_before_words_known_by_example_says_how_it_grows() -> None:
    catalog = explainer().explain(models(*STYLES))
    made = replace(catalog.provenance, summarizer="encoder:minilm", subvectors="described")
    with pytest.raises(SummarizerError, match="exemplars=False"):
        check_summarizer(replace(catalog, provenance=made), "encoder:minilm", "another", made.width, None)
