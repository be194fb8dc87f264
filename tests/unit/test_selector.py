from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xpert.basis import SubvectorBasis
from xpert.catalog import Catalog
from xpert.constraints import Constraints
from xpert.embedding import embed_pairs
from xpert.errors import CatalogError, DataError, SettingsError, SummarizerError
from xpert.provenance import Fit, Provenance
from xpert.selector import Selector, user_pairs
from xpert.space import distances, match_threshold, restrict
from xpert.testing.fakes import FakeSummarizer, fake_text
from xpert.types import AnswerPair, Axis, Coordinates, Example, Generation, ModelCard

NAMES = ("friendly", "formal", "poetic")
PROMPTS = [f"what about {i} and its uses" for i in range(20)]
BASE = [fake_text(prompt) for prompt in PROMPTS]


def user(style: str, *, seed: int = 5, strength: float = 0.4) -> list[Example]:
    return [
        Example(prompt=prompt, response=fake_text(prompt, style, seed=seed, strength=strength)) for prompt in PROMPTS
    ]


def planted(**changes: Any) -> Catalog:
    """Models are the styles themselves, axes the styles' directions: no explainer is needed."""
    summarizer = FakeSummarizer(common=0.0)
    rows = []
    for name in NAMES:
        texts = [fake_text(prompt, name, seed=1) for prompt in PROMPTS]
        pairs = [AnswerPair(prompt="", base=a, other=b) for a, b in zip(BASE, texts, strict=True)]
        rows.append(embed_pairs(summarizer, pairs).hidden.mean(axis=0))
    vectors = np.stack(rows)
    basis = SubvectorBasis(
        axes=tuple(Axis(word=name) for name in NAMES), vectors=vectors, null=np.zeros(vectors.shape[1], np.float32)
    )
    settings: dict[str, Any] = {
        "base": "b",
        "summarizer": summarizer.name,
        "instruction": summarizer.instruction,
        "width": vectors.shape[1],
        "measured": (),
        "measured_scale": 1.0,
        "n_prompts": 20,
        "prompts_sha256": "",
        "seed": 0,
        "generation": Generation(),
        "eps_orth": 0.5,
        "eps_dec": 0.2,
        "centering": "none",
        "null_pairs": "none",
        "subvectors": "planted",
        "coefficients": "least-squares",
        "candidate_order": "given",
        "n_candidates_examined": 3,
        "fits": dict.fromkeys(NAMES, Fit(residual=0, named_share=1, measured_share=0, unnamed_share=0, converged=True)),
        "match_thresholds": {"direction:all": 0.6},
    }
    cards = [ModelCard(name=n, reference=n, kind="recorded", base="b", bytes=0, sha256="") for n in NAMES]
    return Catalog(
        basis=basis,
        models=tuple(cards),
        coordinates=basis.project(vectors),
        stderr=np.zeros((3, 3), np.float32),
        provenance=Provenance(**(settings | changes)),
        base_answers=tuple(Example(prompt=p, response=a) for p, a in zip(PROMPTS, BASE, strict=True)),
    )


def selector(catalog: Catalog | None = None, **options: Any) -> Selector:
    return Selector(catalog or planted(), FakeSummarizer(common=0.0), **options)


@pytest.mark.parametrize("style", NAMES)
@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize("metric", ["direction", "embedding", "coordinates"])
def test_each_user_gets_the_model_of_their_style(style: str, paired: bool, metric: Any) -> None:
    selection = selector(metric=metric, threshold=0.6).select(user(style), BASE if paired else None)
    assert selection.best == style == selection.ranking[0][0]
    assert selection.matched
    assert selection.paired == paired
    assert sorted(name for name, _ in selection.ranking) == sorted(NAMES)
    far = [distance for _, distance in selection.ranking]
    assert far == sorted(far)
    assert selection.words[0][0] == style


def test_strength_is_apart_from_direction() -> None:
    faint = user("poetic", strength=0.15)
    by_direction = selector().select(faint, BASE)
    by_embedding = selector(metric="embedding", threshold=1.0).select(faint, BASE)
    assert (by_direction.best, by_direction.matched) == ("poetic", True)
    assert by_direction.ranking[0][1] < 0.5
    assert by_embedding.ranking[0][1] > 0.5 * np.linalg.norm(planted().basis.vectors[2])


def test_a_user_without_a_style_matches_nothing() -> None:
    examples = [Example(response=answer) for answer in BASE]
    selection = selector().select(examples, BASE)
    assert not selection.matched
    assert [distance for _, distance in selection.ranking] == pytest.approx([1.0] * 3)


def test_base_answers_may_be_examples_and_two_runs_agree() -> None:
    one = selector().select(user("formal"), BASE)
    other = selector().select(user("formal"), [Example(prompt="x", response=answer) for answer in BASE])
    np.testing.assert_array_equal(one.coordinates.values, other.coordinates.values)
    assert one.ranking == other.ranking
    unpaired = [selector().locate(user("formal")) for _ in range(2)]
    np.testing.assert_array_equal(unpaired[0].values, unpaired[1].values)


def test_the_null_embedding_is_subtracted() -> None:
    summarizer = FakeSummarizer(common=3.0)
    null = embed_pairs(summarizer, [AnswerPair(prompt="", base="a", other="a")]).hidden[0]
    catalog = planted()
    catalog = replace(catalog, basis=replace(catalog.basis, null=null))
    located = Selector(catalog, summarizer).locate(user("formal"), BASE)
    np.testing.assert_allclose(located.values, selector().locate(user("formal"), BASE).values, atol=1e-5)


def test_standard_errors_and_number_of_pairs() -> None:
    examples = user("friendly")
    place = selector().locate(examples, BASE)
    single = np.stack([selector().locate([e], [a]).values for e, a in zip(examples, BASE, strict=True)])
    np.testing.assert_allclose(place.stderr, single.std(axis=0, ddof=1) / np.sqrt(20), rtol=1e-3)
    assert place.n_pairs == 20
    assert not selector().locate(examples[:1], BASE[:1]).stderr.any()


def test_unpaired_references_cycle_in_a_seeded_order() -> None:
    stored = [Example(prompt=str(i), response=str(i)) for i in range(3)]
    pairs = user_pairs([Example(prompt="p", response="r")] * 7, None, stored, seed=0)
    used = [pair.base for pair in pairs]
    assert sorted(used[:3]) == ["0", "1", "2"]
    assert used == (used[:3] * 3)[:7]
    assert {pair.prompt for pair in pairs} == {""}
    assert pairs == user_pairs([Example(prompt="p", response="r")] * 7, None, stored, seed=0)


def test_bad_data() -> None:
    with pytest.raises(DataError, match="at least one"):
        selector().select([])
    with pytest.raises(DataError, match="expected 20, one an example in their order, got 3"):
        selector().select(user("formal"), BASE[:3])
    with pytest.raises(DataError, match="the catalog stores none"):
        selector(replace(planted(), base_answers=())).select(user("formal"))


def test_a_summarizer_of_another_width_says_both_and_what_to_pass() -> None:
    with pytest.raises(
        SummarizerError, match=r"is 32 wide, the catalog's \('fake:24-0'\) 24: pass summarizer='fake:24-0'"
    ):
        Selector(planted(), FakeSummarizer(width=32)).select(user("formal"))


class Named(FakeSummarizer):
    def __init__(self, name: str, instruction: str = "rates of planted marker words") -> None:
        super().__init__(common=0.0)
        self._name, self._instruction = name, instruction

    @property
    def instruction(self) -> str:
        return self._instruction


def by_name(monkeypatch: pytest.MonkeyPatch, made: FakeSummarizer) -> None:
    monkeypatch.setattr("xpert.embedding.load_summarizer", lambda name, device, dtype: made)


def test_a_summarizer_by_name_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    made = FakeSummarizer(common=0.0)
    by_name(monkeypatch, made)
    assert Selector(planted()).select(user("formal"), BASE).best == "formal"
    assert made.closed == 1
    with pytest.raises(DataError):
        Selector(planted()).select(user("formal"), BASE[:1])


def test_another_summarizer_by_name_is_refused_and_as_an_object_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    by_name(monkeypatch, Named("hf:org/other"))
    with pytest.raises(SummarizerError, match="'hf:org/other' is not the catalog's: pass summarizer='fake:24-0'"):
        Selector(planted(), "hf:org/other").select(user("formal"), BASE)
    assert Selector(planted(), Named("hf:org/other")).select(user("formal"), BASE).best == "formal"


def test_the_same_model_run_another_way_is_the_catalogs(monkeypatch: pytest.MonkeyPatch) -> None:
    by_name(monkeypatch, Named("streamed:org/x"))
    catalog = planted(summarizer="hf:org/x")
    assert Selector(catalog, "streamed:org/x").select(user("formal"), BASE).best == "formal"


def test_another_question_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    by_name(monkeypatch, Named("fake:24-0", "what colour is it?"))
    with pytest.raises(SummarizerError, match="asks another question"):
        Selector(planted()).select(user("formal"), BASE)


def test_options_are_checked() -> None:
    with pytest.raises(SettingsError, match="metric"):
        selector(metric="cosine")
    with pytest.raises(SettingsError, match="axes"):
        selector(axes="words")
    unnamed = planted()
    axes = tuple(Axis(word=f"unnamed-{i}", kind="unnamed") for i in range(3))
    with pytest.raises(SettingsError, match="no such axis"):
        selector(replace(unnamed, basis=replace(unnamed.basis, axes=axes)), axes="named")
    with pytest.raises(SettingsError, match="none for embedding:all"):
        selector(metric="embedding").select(user("formal"))


def test_measured_axes_that_this_version_does_not_know() -> None:
    basis = planted().basis
    wider = replace(basis, vectors=np.pad(basis.vectors, ((0, 0), (0, 1))), null=np.zeros(25, np.float32))
    catalog = replace(planted(measured=("more rhymes",)), basis=wider)
    with pytest.raises(CatalogError, match="'more rhymes'"):
        selector(catalog).select(user("formal"), BASE)


# What is told of the choice -----------------------------------------------------------------------------------------


def calibrated() -> Catalog:
    """The planted catalog with what `xpert.matching.calibrate` stores."""
    made = planted()
    fits = {name: replace(fit, reliability={"all": 0.9}) for name, fit in made.provenance.fits.items()}
    return replace(
        made, provenance=replace(made.provenance, fits=fits, match_limits={"all:paired": 0.8, "all:unpaired": 0.7})
    )


@pytest.mark.parametrize(("paired", "least"), [(True, 0.8), (False, 0.7)])
def test_the_catalogs_least_likeness_is_told_as_a_distance(paired: bool, least: float) -> None:
    selection = selector(calibrated()).select(user("formal"), BASE if paired else None)
    assert selection.least_likeness == least
    assert selection.likeness is not None
    assert selection.likeness > 0.9
    assert selection.matched
    assert selection.matched == (selection.ranking[0][1] <= selection.threshold)
    cosines = [1 - far**2 / 2 for far in (selection.ranking[0][1], selection.threshold)]
    assert cosines[0] / cosines[1] == pytest.approx(selection.likeness / least, rel=1e-4)
    assert selector(calibrated(), threshold=0.6).select(user("formal"), BASE).threshold == 0.6


def test_a_catalog_of_before_keeps_its_threshold() -> None:
    selection = selector().select(user("formal"), BASE)
    assert (selection.threshold, selection.likeness, selection.least_likeness) == (0.6, None, None)


def test_strength_is_told_apart() -> None:
    strong, faint = (selector(calibrated()).select(user("poetic", strength=s), BASE) for s in (0.4, 0.15))
    assert strong.strength is not None
    assert faint.strength is not None
    assert faint.strength < 0.6 * strong.strength
    assert faint.best == strong.best == "poetic"


@pytest.mark.parametrize(("user_is", "best", "following"), [(-0.4, -0.5, 0.9), (0.3, 0.3, 1.3)])
def test_length_speaks_for_a_model_as_what_it_is_beside_the_other(
    user_is: float, best: float, following: float
) -> None:
    made = planted()
    axes = (*made.basis.axes[:2], Axis(word="longer", kind="measured"))
    basis = SubvectorBasis(axes=axes, vectors=made.basis.vectors, null=made.basis.null)
    places = np.array([[1, 0, best], [1, 0, following], [0, 1, 0]], np.float32)
    selector = Selector(replace(made, basis=basis, coordinates=places), FakeSummarizer(common=0.0))

    def speaks(length: float, chosen: int, other: int) -> str:
        where = np.array([1, 0, length], np.float32)
        return selector._nearer(Coordinates(values=where, stderr=np.zeros_like(where), n_pairs=9), chosen, other)[0][0]

    assert speaks(user_is, 0, 1) == "brief"
    assert speaks(following, 1, 0) == "lengthy"


def test_reasons_name_the_style_and_what_the_next_lacks() -> None:
    selection = selector().select(user("formal"), BASE)
    assert selection.reasons[0][0] == "formal"
    assert selection.over_next[0][0] in ("formal", selection.ranking[1][0])
    assert selection.missing == ()


def test_missing_words_are_told_where_nothing_fits() -> None:
    whole = planted()
    without = replace(
        whole,
        models=whole.models[:2],
        coordinates=whole.coordinates[:2],
        stderr=whole.stderr[:2],
        provenance=replace(whole.provenance, fits={name: whole.provenance.fits[name] for name in NAMES[:2]}),
    )
    selection = selector(without).select(user("poetic"), BASE)
    assert not selection.matched
    assert selection.missing[0] == "poetic"


def test_constraints_leave_models_out() -> None:
    catalog = planted()
    cards = tuple(replace(card, bytes=10 * i) for i, card in enumerate(catalog.models))
    catalog = replace(catalog, models=cards)
    selection = selector(catalog, constraints=Constraints(max_bytes=0)).select(user("formal"), BASE)
    assert (selection.best, selection.excluded, len(selection.ranking)) == ("friendly", 2, 1)
    assert selection.over_next == ()
    with pytest.raises(SettingsError, match="none of the catalog's 3 models has kinds=full: allow more"):
        selector(catalog, constraints=Constraints(kinds=["full"])).select(user("formal"), BASE)


# The metric -----------------------------------------------------------------------------------------------------------


def random_basis(seed: int, kinds: Sequence[Any] = ("word",) * 4) -> SubvectorBasis:
    rng = np.random.default_rng(seed)
    axes = tuple(Axis(word=f"a{i}", kind=kind) for i, kind in enumerate(kinds))
    vectors = rng.normal(size=(len(kinds), 12)).astype(np.float32)
    return SubvectorBasis(axes=axes, vectors=vectors, null=np.zeros(12, np.float32))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1000), factor=st.floats(0.01, 100))
def test_directions_do_not_change_with_strength(seed: int, factor: float) -> None:
    basis, rng = random_basis(seed), np.random.default_rng(seed + 1)
    models, one = rng.normal(size=(5, 4)), rng.normal(size=4)
    plain = distances(basis, models, one)
    np.testing.assert_allclose(plain, distances(basis, models, one * factor), atol=1e-4)
    np.testing.assert_allclose(plain, distances(basis, models * factor, one), atol=1e-4)
    assert (plain <= 2 + 1e-6).all()


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1000))
def test_distances_are_those_of_the_embeddings(seed: int) -> None:
    basis, rng = random_basis(seed), np.random.default_rng(seed + 1)
    z = rng.normal(size=(2, 4))
    e = z @ basis.vectors
    assert distances(basis, z[:1], z[1], metric="embedding")[0] == pytest.approx(np.linalg.norm(e[0] - e[1]), rel=1e-4)
    unit = e / np.linalg.norm(e, axis=1, keepdims=True)
    assert distances(basis, z[:1], z[1])[0] == pytest.approx(np.linalg.norm(unit[0] - unit[1]), rel=1e-4)
    assert distances(basis, z[:1], z[1], metric="coordinates")[0] == pytest.approx(
        np.linalg.norm(z[0] - z[1]), rel=1e-4
    )


def test_near_dependent_axes_do_not_blow_distances_up() -> None:
    vectors = np.array([[1, 0], [1, 1e-3]], np.float32)
    basis = SubvectorBasis(axes=(Axis(word="a"), Axis(word="b")), vectors=vectors, null=np.zeros(2, np.float32))
    z = basis.project([[1.0, 0.0], [1.0, 0.01]])
    assert distances(basis, z[:1], z[1])[0] == pytest.approx(0.01, rel=0.01)
    assert distances(basis, z[:1], z[1], metric="coordinates")[0] > 10


def test_the_zero_place() -> None:
    basis = random_basis(0)
    assert distances(basis, np.eye(4), np.zeros(4)).tolist() == pytest.approx([1.0] * 4)
    assert distances(basis, np.zeros((1, 4)), np.zeros(4)).tolist() == [0.0]


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1000))
def test_restriction_projects_the_embedding_on_the_subset(seed: int) -> None:
    basis = random_basis(seed, ("word", "word", "measured", "unnamed"))
    z = np.random.default_rng(seed + 1).normal(size=(3, 4)).astype(np.float32)
    subset, places = restrict(basis, z, "named")
    np.testing.assert_allclose(places, subset.project(z @ basis.vectors), atol=1e-4)
    assert subset.words == ("a0", "a1")
    assert restrict(basis, z, "named+measured")[0].words == ("a0", "a1", "a2")
    by_paper = replace(basis, coefficients="projection")
    np.testing.assert_array_equal(restrict(by_paper, z, "named")[1], z[:, :2])


def test_match_threshold_of_planted_noise() -> None:
    basis = SubvectorBasis(
        axes=tuple(Axis(word=str(i)) for i in range(3)),
        vectors=np.eye(3, dtype=np.float32),
        null=np.zeros(3, np.float32),
    )
    z = np.eye(3)
    quiet = [(row, row) for row in z]
    assert match_threshold(basis, z, quiet) == pytest.approx(np.sqrt(2) / 2)
    noisy = [(row, row + 0.9 * np.roll(row, 1)) for row in z]
    noise = float(distances(basis, noisy[0][1][None], noisy[0][0])[0])
    assert match_threshold(basis, z[:1], noisy[:1]) == pytest.approx(min(2 * noise, 0.99))
    assert match_threshold(basis, z, noisy) == pytest.approx(max(noise, np.sqrt(2) / 2))
    assert match_threshold(basis, z, [(row, -row) for row in z]) == pytest.approx(0.99)


def test_ranking_a_known_place_needs_no_summarizer() -> None:
    catalog = planted()
    place = Coordinates(values=catalog.coordinates[1], stderr=catalog.stderr[1], n_pairs=9)
    assert Selector(catalog).rank(place).ranking[0] == ("formal", 0.0)
