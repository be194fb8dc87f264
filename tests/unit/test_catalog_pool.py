"""Catalogs of very many models on disk (format version 2)."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xpert.basis import SubvectorBasis
from xpert.catalog import Catalog
from xpert.catalog_pool import LazyModels
from xpert.constraints import Constraints
from xpert.errors import CatalogCorruptError, ReferenceNotFoundError, SettingsError
from xpert.merger import Merger
from xpert.pool import PackedRows
from xpert.provenance import Fit, Provenance
from xpert.selector import Selector
from xpert.types import Axis, Coordinates, Example, Generation, ModelCard

M, K = 300, 4
Z = np.random.default_rng(0).normal(size=(M, K)).astype(np.float32)


def catalog() -> Catalog:
    names = [f"model-{i}" for i in range(M)]
    fit = Fit(residual=0.1, named_share=0.9, measured_share=0.1, unnamed_share=0.2, converged=True)
    values: dict[str, Any] = {
        "base": "b",
        "summarizer": "fake",
        "instruction": "",
        "width": 6,
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
        "fits": {name: replace(fit, reliability={"all": 0.5 + 0.001 * i}) for i, name in enumerate(names)},
        "match_thresholds": {"direction:all": 0.6},
        "match_limits": {"all:paired": 0.8},
    }
    cards = [
        ModelCard(name=n, reference=n, kind="adapter", base="b", bytes=i, sha256="", licence="é", candidates=("a1",))
        for i, n in enumerate(names)
    ]
    vectors = np.random.default_rng(1).normal(size=(K, 6)).astype(np.float32)
    return Catalog(
        basis=SubvectorBasis(
            axes=tuple(Axis(word=f"a{i}") for i in range(K)), vectors=vectors, null=np.zeros(6, np.float32)
        ),
        models=tuple(cards),
        coordinates=Z,
        stderr=np.full((M, K), 0.25, np.float32),
        provenance=Provenance(**values),
        base_answers=(Example(prompt="p", response="r"),),
    )


def opened(folder: Path, **options: Any) -> Catalog:
    return Catalog.from_pretrained(catalog().save_pretrained(folder, **({"pool": "float32"} | options)))


def place(seed: int = 5) -> Coordinates:
    z = np.random.default_rng(seed).normal(size=K).astype(np.float32)
    return Coordinates(values=z, stderr=np.zeros(K, np.float32), n_pairs=9)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    made, read = catalog(), opened(tmp_path / "c")
    assert json.loads((tmp_path / "c/xpert.json").read_text())["format_version"] == 2
    assert isinstance(read.models, LazyModels)
    assert isinstance(read.coordinates, PackedRows)
    np.testing.assert_array_equal(np.asarray(read.coordinates), Z)
    assert [*read.models] == [*made.models]
    assert read.names == made.names
    assert read["model-77"].words == made["model-77"].words
    assert read["model-77"].stderr == made["model-77"].stderr
    assert read.provenance.fits["model-7"].reliability == pytest.approx({"all": 0.507})
    assert read.provenance.fits["model-7"].residual == pytest.approx(0.1)
    assert read.models[-1].name == "model-299"
    assert [card.name for card in read.models[3:5]] == ["model-3", "model-4"]
    assert "model-3" in read
    assert "model-300" not in read
    with pytest.raises(ReferenceNotFoundError, match="no model 'nobody' in the catalog, which has 300 models"):
        read.card("nobody")
    assert Catalog.problems(tmp_path / "c") == []
    again = Catalog.from_pretrained(read.save_pretrained(tmp_path / "again"))
    assert (tmp_path / "again/coordinates.safetensors").read_bytes() == (
        tmp_path / "c/coordinates.safetensors"
    ).read_bytes()
    assert [*again.models] == [*made.models]


@pytest.mark.parametrize("dtype", ["float32", "float16", "int8"])
def test_selections_are_those_of_the_whole_catalog(tmp_path: Path, dtype: str) -> None:
    read = opened(tmp_path / "c", pool=dtype)
    whole = replace(catalog(), coordinates=np.asarray(read.coordinates))
    one, other = Selector(read, top=9).rank(place()), Selector(whole).rank(place())
    assert one.ranking == other.ranking[:9]
    assert (one.best, one.matched, one.words, one.reasons) == (other.best, other.matched, other.words, other.reasons)
    assert len(Selector(read).rank(place()).ranking) == 100
    assert len(Selector(catalog(), top=2).rank(place()).ranking) == 2
    with pytest.raises(SettingsError, match="top: expected 1 or more, got 0"):
        Selector(read, top=0)


def test_conditions_look_on_until_enough_are_found(tmp_path: Path) -> None:
    read, small = opened(tmp_path / "c"), Constraints(max_bytes=20)
    one = Selector(read, constraints=small, top=5).rank(place())
    other = Selector(catalog(), constraints=small, top=5).rank(place())
    assert one.ranking == other.ranking
    with pytest.raises(SettingsError, match="none of the catalog's 300 models has kinds=full"):
        Selector(read, constraints=Constraints(kinds=["full"])).rank(place())


def test_plans_are_those_of_the_whole_catalog(tmp_path: Path) -> None:
    read, selection = opened(tmp_path / "c"), Selector(catalog()).rank(place())
    one, other = Merger(read).plan(selection), Merger(catalog()).plan(selection)
    assert one.weights == pytest.approx(other.weights)
    assert one.words == other.words


def test_a_device_does_without_the_fits(tmp_path: Path) -> None:
    read = opened(tmp_path / "c", server_files=False)
    assert not (tmp_path / "c/fits.safetensors").exists()
    assert Selector(read).rank(place()).best == Selector(catalog()).rank(place()).best
    assert read.provenance.fits["model-7"].reliability == pytest.approx({"all": 0.507})
    assert np.isnan(read["model-7"].residual)


@pytest.mark.parametrize("name", ["coordinates.safetensors", "models.jsonl", "index.safetensors"])
def test_a_changed_file_is_told_when_it_is_first_read(tmp_path: Path, name: str) -> None:
    catalog().save_pretrained(tmp_path / "c", pool="float32")
    data = bytearray((tmp_path / "c" / name).read_bytes())
    data[-3] ^= 1
    (tmp_path / "c" / name).write_bytes(bytes(data))
    read = Catalog.from_pretrained(tmp_path / "c")
    with pytest.raises(CatalogCorruptError, match=f"{name}: the content is not what its hash says"):
        Selector(read).rank(place())


def test_nothing_of_many_rows_is_read_on_opening(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    catalog().save_pretrained(tmp_path / "c", pool="float32")
    hashed: list[str] = []
    monkeypatch.setattr("xpert.catalog_pool.sha256_file", lambda path: hashed.append(path.name) or "")
    read = Catalog.from_pretrained(tmp_path / "c")
    assert hashed == []
    with pytest.raises(CatalogCorruptError):
        np.asarray(read.coordinates)
    assert hashed == ["coordinates.safetensors"]


def test_unknown_types_and_missing_files(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="pool: expected one of float32, float16, int8, got 'int4'"):
        catalog().save_pretrained(tmp_path / "c", pool="int4")
    assert not (tmp_path / "c").exists()
    folder = catalog().save_pretrained(tmp_path / "c", pool="int8")
    (folder / "index.safetensors").unlink()
    with pytest.raises(CatalogCorruptError, match=r"index.safetensors: the file is missing"):
        Catalog.from_pretrained(folder)


def test_many_models_become_a_pool_by_themselves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(Catalog.from_pretrained(catalog().save_pretrained(tmp_path / "a")).coordinates, np.ndarray)
    monkeypatch.setattr("xpert.catalog.MANY", M)
    assert isinstance(Catalog.from_pretrained(catalog().save_pretrained(tmp_path / "b")).coordinates, PackedRows)
