from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import nnls

from xpert.basis import SubvectorBasis
from xpert.catalog import Catalog
from xpert.errors import DataError, RecordedModelError, ReferenceNotFoundError, SettingsError
from xpert.merger import Merger
from xpert.mergers import weights as weights_module
from xpert.mergers.base import Member
from xpert.mergers.weights import PROMISING, best_weights, promising, sparse_weights
from xpert.provenance import Fit, Provenance
from xpert.selection_io import load_selection, selection_from_json, selection_to_json
from xpert.types import Axis, Coordinates, Generation, MergePlan, ModelCard, Selection

WORDS = ("friendly", "concise", "vivid")


def catalog(coordinates: Any, *, references: Sequence[str] = (), kinds: Sequence[str] = (), base: str = "b") -> Catalog:
    """Models at known places over three near-dependent axes of different lengths."""
    z = np.asarray(coordinates, np.float32)
    names = [f"model{i}" for i in range(len(z))]
    vectors = np.array([[2, 0, 0, 0], [0.5, 1, 0, 0], [0, 0, 0, 3]], np.float32)
    basis = SubvectorBasis(axes=tuple(Axis(word=w) for w in WORDS), vectors=vectors, null=np.zeros(4, np.float32))
    values: dict[str, Any] = {
        "base": base,
        "summarizer": "fake",
        "instruction": "",
        "width": 4,
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
        "fits": dict.fromkeys(names, Fit(residual=0, named_share=1, measured_share=0, unnamed_share=0, converged=True)),
        "match_thresholds": {"direction:all": 0.6},
    }
    cards = [
        ModelCard(
            name=name,
            reference=references[i] if references else name,
            kind=kinds[i] if kinds else "adapter",
            base=base,
            bytes=0,
            sha256="",
        )
        for i, name in enumerate(names)
    ]
    return Catalog(
        basis=basis,
        models=tuple(cards),
        coordinates=z,
        stderr=np.zeros_like(z),
        provenance=Provenance(**values),
        base_answers=(),
    )


def selection(values: Any, **changes: Any) -> Selection:
    z = np.asarray(values, np.float32)
    fields: dict[str, Any] = {
        "best": "model0",
        "matched": False,
        "ranking": (("model0", 0.25), ("model1", 1.5)),
        "words": (("friendly", 1.0), ("vivid", -0.1)),
        "coordinates": Coordinates(values=z, stderr=np.full_like(z, 0.125), n_pairs=7),
        "threshold": 0.6,
    }
    return Selection(**(fields | changes))


def test_the_weights_of_a_planted_mixture_are_found() -> None:
    models = [[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1]]
    plan = Merger(catalog(models)).plan(exactly([0.7, 0, 0.3]))
    assert plan.helps
    assert plan.weights == pytest.approx({"model0": 0.7, "model2": 0.3})
    assert plan.distance_after == pytest.approx(0, abs=1e-6)
    assert plan.distance_before > 0.3
    assert dict(plan.words) == pytest.approx({"friendly": 0.7, "concise": 0.0, "vivid": 0.3}, abs=1e-6)
    assert [word for word, _ in plan.words][:2] == ["friendly", "vivid"]


def test_a_plan_tells_what_each_model_brings_to_the_sum() -> None:
    plan = Merger(catalog([[1, 0, 0], [0, 1, 0], [0, 0, 1]])).plan(exactly([0.7, 0, 0.3]))
    assert list(plan.brings) == ["model0", "model2"]
    assert dict(plan.brings["model2"]) == pytest.approx({"vivid": 0.3}, abs=1e-6)
    assert dict(plan.brings["model0"])["friendly"] == pytest.approx(0.7, abs=1e-6)
    assert Merger(catalog([[1, 0, 0]])).plan(exactly([0.7, 0, 0.3])).brings == {}


def test_what_makes_a_sum_shorter_is_told_as_more_of_that() -> None:
    measured = catalog([[1, 0, 0], [0, 1, 0], [0, 0, -1]])
    axes = (*measured.basis.axes[:2], Axis(word="longer", kind="measured"))
    basis = SubvectorBasis(axes=axes, vectors=measured.basis.vectors, null=measured.basis.null)
    plan = Merger(replace(measured, basis=basis)).plan(exactly([0.7, 0, -0.3]))
    assert dict(plan.brings["model2"]) == pytest.approx({"brief": 0.3}, abs=1e-6)


def test_an_opposite_style_is_told_by_what_it_takes_away() -> None:
    plan = Merger(catalog([[1, 0, 1], [0, 0, -1]])).plan(exactly([1, 0, 0.5]))
    assert plan.weights == pytest.approx({"model0": 1.0, "model1": 0.5})
    alone = (4 * 1 + 9 * 0.5) / (4 + 9)  # weight of the first model without the second
    assert dict(plan.brings["model1"]) == pytest.approx({"friendly": 1 - alone, "vivid": 0.5 - alone}, abs=1e-6)
    assert alone > 0.5


def exactly(values: Any) -> Selection:
    """A user of whom it is known where they are: no sampling noise."""
    z = np.asarray(values, np.float32)
    return selection(values, coordinates=Coordinates(values=z, stderr=np.zeros_like(z), n_pairs=7))


def test_at_most_as_many_models_as_allowed() -> None:
    models = np.eye(3)
    one, two, three = (Merger(catalog(models), max_models=n).plan(exactly([0.5, 0.4, 0.3])) for n in (1, 2, 3))
    assert [len(plan.weights) for plan in (one, two, three)] == [1, 2, 3]
    assert one.distance_after > two.distance_after > three.distance_after
    assert three.weights == pytest.approx({"model0": 0.5, "model1": 0.4, "model2": 0.3}, abs=1e-5)
    with pytest.raises(SettingsError, match="max_models: expected at least 1, got 0"):
        Merger(catalog(models), max_models=0)


def test_a_user_whom_one_model_fits_gets_one_model() -> None:
    plan = Merger(catalog(np.eye(3))).plan(selection([0, 1, 0]))
    assert plan.weights == pytest.approx({"model1": 1.0})
    assert plan.distance_before == pytest.approx(plan.distance_after, abs=1e-6)


def test_a_user_whom_no_model_resembles_gets_the_nearest() -> None:
    plan = Merger(catalog([[1, 0, 0], [0, 0.1, 0]])).plan(selection([-1, -1, 0]))
    assert plan.weights == {"model1": 1.0}
    assert plan.distance_after == plan.distance_before > 1


def test_recorded_models_are_passed_over_where_others_exist(tmp_path: Path) -> None:
    mixed = catalog(np.eye(3), kinds=["recorded", "adapter", "full"])
    plan = Merger(mixed).plan(exactly([0.7, 0.5, 0.1]))
    assert set(plan.weights) == {"model1", "model2"}
    only = catalog(np.eye(3), kinds=["recorded"] * 3)
    plan = Merger(only).plan(exactly([0.7, 0.5, 0.0]))
    assert set(plan.weights) == {"model0", "model1"}
    with pytest.raises(RecordedModelError, match="cannot merge 'model0'"):
        Merger(only).merge(plan, tmp_path / "o")
    assert not (tmp_path / "o").exists()


def test_selections_that_do_not_fit() -> None:
    with pytest.raises(SettingsError, match="2 coordinates, the catalog has 3 axes"):
        Merger(catalog(np.eye(3))).plan(selection([1, 0]))
    with pytest.raises(SettingsError, match="all zero"):
        Merger(catalog(np.eye(3))).plan(selection([0, 0, 0]))


def test_merging_is_proposed_only_beyond_the_noise() -> None:
    models = np.eye(3)
    noisy = [
        selection(
            [1, 0.3, 0],
            coordinates=Coordinates(
                values=np.array([1, 0.3, 0], np.float32), stderr=np.full(3, s, np.float32), n_pairs=9
            ),
        )
        for s in (0.01, 0.3)
    ]
    sure, unsure = (Merger(catalog(models)).plan(chosen) for chosen in noisy)
    assert set(sure.weights) == {"model0", "model1"}
    assert sure.helps
    assert sure.gains[0] > sure.needed[0]
    assert set(unsure.weights) == {"model0"}
    assert not unsure.helps
    assert unsure.gains == pytest.approx(sure.gains)
    assert unsure.gains[0] <= unsure.needed[0]
    assert unsure.stderr_before > sure.stderr_before > 0
    assert unsure.distance_after <= unsure.distance_before


def test_each_further_model_pays_its_penalty() -> None:
    user = exactly([0.5, 0.4, 0.3])
    free, dear = (Merger(catalog(np.eye(3)), max_models=3, penalty=p).plan(user) for p in (0.0, 0.2))
    assert len(free.weights) == 3
    assert len(dear.weights) == 2
    assert dear.needed == (0.2, 0.2)
    assert dear.gains[1] < 0.2 < dear.gains[0]
    with pytest.raises(SettingsError, match="penalty: expected 0 or more, got -1"):
        Merger(catalog(np.eye(3)), penalty=-1)


def test_chance_finds_something_as_often_as_it_says() -> None:
    """Users that are one model but for noise: a second one is proposed for about 5% of them, however many models there are."""
    rng = np.random.default_rng(0)
    models, proposed = rng.normal(size=(200, 12)), 0
    for _ in range(200):
        noise = 0.3 * rng.normal(size=(201, 12))
        found, tried = sparse_weights(models, models[7] + noise[0], 2, noise[1:], penalty=0.0)
        proposed += int((found > 0).sum() > 1)
        assert len(tried) == 1
    assert proposed <= 0.1 * 200


def test_a_large_pool_is_filtered_by_correlation() -> None:
    rng = np.random.default_rng(1)
    models = rng.normal(size=(2 * PROMISING + 500, 6))
    models[[11, 2222]] = np.eye(6)[:2]
    user = np.eye(6)[0] + 0.2 * np.eye(6)[1]
    keep = promising(models, user)
    assert {11, 2222} <= set(keep.tolist())
    assert len(keep) < len(models)
    assert promising(models[:50], user).tolist() == list(range(50))


coordinates = arrays(np.float64, (5, 3), elements=st.floats(-2, 2).map(lambda x: round(x, 2)))


@settings(deadline=None, max_examples=60)
@given(coordinates, arrays(np.float64, (3,), elements=st.floats(-2, 2).map(lambda x: round(x, 2))))
def test_no_pair_is_better_and_nothing_is_worse_than_a_single_model(models: Any, user: Any) -> None:
    found = best_weights(models, user, 2)
    assert (found >= 0).all()
    assert (found > 0).sum() <= 2
    left = float(np.linalg.norm(found @ models - user))
    pairs = [float(nnls(models[list(pair)].T, user)[1]) for pair in combinations(range(5), 2)]
    assert left == pytest.approx(min(pairs), abs=1e-4)
    assert left <= float(np.linalg.norm(models - user, axis=1).min()) + 1e-6
    assert float(np.linalg.norm(best_weights(models, user, 3) @ models - user)) <= left + 1e-6


def test_large_pools_try_pairs_with_the_nearest_models(monkeypatch: pytest.MonkeyPatch) -> None:
    models = np.random.default_rng(0).normal(size=(60, 8))
    user = 0.9 * models[4] + 0.2 * models[37]
    monkeypatch.setattr(weights_module, "ALL_PAIRS", 20)
    monkeypatch.setattr(weights_module, "NEAREST", 5)
    found = best_weights(models, user, 2)
    assert {int(i) for i in np.flatnonzero(found)} == {4, 37}
    assert found[[4, 37]] == pytest.approx([0.9, 0.2])


def test_the_plan_becomes_a_model_by_any_method(
    tiny_base: Path, tiny_adapters: dict[str, Path], tmp_path: Path
) -> None:
    references = [str(tiny_adapters[name]) for name in ("tutor", "poet", "clerk")]
    made = catalog(np.eye(3), references=references, base=str(tiny_base))
    merger = Merger(made)
    plan = merger.plan(exactly([0.7, 0, 0.3]))
    assert (merger.merge(plan, tmp_path / "start") / "adapter_model.safetensors").is_file()
    assert Merger(catalog(np.eye(3), references=references), base=tiny_base).merge(plan, tmp_path / "b").is_dir()
    asked: list[tuple[str, list[str]]] = []

    class Recorder:
        name = "recorder"

        def merge(self, base: Any, members: Sequence[Member], out: Any, *, words: Any = ()) -> Path:
            asked.append((str(base), [member.reference for member in members]))
            return Path(out)

    Merger(made, Recorder()).merge(plan, tmp_path / "c")
    assert asked == [(str(tiny_base), [references[0], references[2]])]
    with pytest.raises(ReferenceNotFoundError, match="unknown merge method 'mean'"):
        Merger(made, "mean").merge(plan, tmp_path / "d")
    with pytest.raises(ReferenceNotFoundError, match="no model 'gone'"):
        merger.merge(MergePlan(weights={"gone": 1.0}, distance_before=1, distance_after=1), tmp_path / "d")
    assert not (tmp_path / "d").exists()


def test_selections_go_through_json_unchanged(tmp_path: Path) -> None:
    chosen = selection([0.1, 0.2, 1 / 3], axes="named", paired=False)
    file = tmp_path / "selection.json"
    file.write_text(json.dumps(selection_to_json(chosen)))
    again = load_selection(file)
    assert np.array_equal(again.coordinates.values, chosen.coordinates.values)
    assert np.array_equal(again.coordinates.stderr, chosen.coordinates.stderr)
    assert selection_to_json(again) == selection_to_json(chosen)
    assert (again.axes, again.paired, again.ranking, again.words) == ("named", False, chosen.ranking, chosen.words)


def drop(name: str) -> Callable[[dict[str, Any]], Any]:
    return lambda values: {key: value for key, value in values.items() if key != name}


def put(name: str, value: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda values: {**values, name: value}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda values: [values], "expected a JSON object, as xpert select --json prints it, got list"),
        (drop("coordinates"), "lacks 'coordinates'"),
        (drop("threshold"), "lacks 'threshold'"),
        (put("matched", 1), "'matched': expected bool, got int"),
        (put("n_pairs", True), "'n_pairs': expected int, got bool"),
        (put("coordinates", [1.0, "x", 2.0]), "'coordinates' at position 1: expected a finite number, got 'x'"),
        (put("coordinates", [1.0]), "'coordinates' has 1 numbers, 'stderr' 3"),
        (put("threshold", float("nan")), "'threshold': expected a finite number"),
        (put("ranking", [["model0", 1.0]]), "'ranking' at position 0: expected an object with 'name' and 'distance'"),
        (put("ranking", [{"name": "model0"}]), "'ranking' at position 0: lacks 'distance'"),
        (put("best", "nobody"), "'best' is 'nobody', which is not in 'ranking'"),
        (put("words", None), "'words': expected list, got null"),
    ],
)
def test_selections_that_are_broken(tmp_path: Path, change: Callable[[Any], Any], message: str) -> None:
    values = change(selection_to_json(selection([1, 2, 3])))
    with pytest.raises(DataError, match=message):
        selection_from_json(values)
    file = tmp_path / "selection.json"
    file.write_text(json.dumps(values))
    with pytest.raises(DataError, match=message) as caught:
        load_selection(file)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_that_are_no_selections(tmp_path: Path) -> None:
    file = tmp_path / "selection.json"
    with pytest.raises(DataError, match=r"selection.json: cannot be read"):
        load_selection(file)
    file.write_text('{"best":\n"a",')
    with pytest.raises(DataError, match=r"selection.json: line 2: expected JSON"):
        load_selection(file)
    file.write_bytes(b"\xff\xfe{}")
    with pytest.raises(DataError, match=r"expected UTF-8 text"):
        load_selection(file)
