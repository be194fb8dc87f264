from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xpert.basis import SubvectorBasis
from xpert.catalog import Catalog
from xpert.catalog_pairs import PairRows
from xpert.errors import ReferenceNotFoundError, SettingsError
from xpert.merged_entry import with_merged
from xpert.mergers.base import Member
from xpert.mergers.linear import LinearMerger
from xpert.provenance import Fit, Provenance
from xpert.types import Axis, Example, Generation, MergePlan, ModelCard


def made(references: dict[str, Path], base: Path) -> Catalog:
    """Models at known places over two axes, with pair rows and embeddings."""
    rng = np.random.default_rng(0)
    names, prompts = list(references), [Example(prompt=f"q{i}", response="a") for i in range(5)]
    z, rows = rng.normal(size=(len(names), 2)).astype(np.float32), rng.normal(size=(len(names), 5, 3))
    pairs = PairRows.empty((len(names), 5, 3), {"base": "b"})
    for model, own in enumerate(rows.astype(np.float32)):
        pairs.put(model, own)
    fit = {"named_share": 1.0, "measured_share": 0.0, "unnamed_share": 0.0, "converged": True}
    values: dict[str, Any] = {
        "base": str(base),
        "summarizer": "fake",
        "instruction": "",
        "width": 3,
        "measured": (),
        "measured_scale": 1.0,
        "n_prompts": 5,
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
        "n_candidates_examined": 2,
        "fits": {
            name: Fit(residual=0.1 * i, reliability={"all": 0.5 + 0.1 * i}, **fit) for i, name in enumerate(names)
        },
        "match_thresholds": {"direction:all": 0.6},
    }
    cards = [
        ModelCard(
            name=name,
            reference=str(folder),
            kind="adapter",
            base=str(base),
            bytes=1,
            sha256="ab" * 32,
            candidates=("kind", name),
        )
        for name, folder in references.items()
    ]
    axes, vectors = (Axis(word="kind"), Axis(word="terse")), np.eye(2, 3, dtype=np.float32)
    return Catalog(
        basis=SubvectorBasis(axes=axes, vectors=vectors, null=np.zeros(3, np.float32), coefficients="least-squares"),
        models=tuple(cards),
        coordinates=z,
        stderr=np.full_like(z, 0.25),
        provenance=Provenance(**values),
        base_answers=tuple(prompts),
        embeddings=rows.mean(1).astype(np.float32),
        pairs=pairs,
    )


@pytest.fixture
def tiny_catalog(tiny_base: Path, tiny_adapters: dict[str, Path]) -> Catalog:
    return made(tiny_adapters, tiny_base)


def planned(weights: dict[str, float]) -> MergePlan:
    return MergePlan(weights=weights, distance_before=1.0, distance_after=0.5)


@pytest.fixture
def merged(tiny_base: Path, tiny_adapters: dict[str, Path], tmp_path: Path) -> Path:
    members = [Member(name=n, reference=str(tiny_adapters[n]), weight=0.5) for n in ("tutor", "poet")]
    return LinearMerger().merge(tiny_base, members, tmp_path / "mix")


def test_a_merged_model_stands_at_the_weighted_sum(tiny_catalog: Catalog, merged: Path, tmp_path: Path) -> None:
    one, two = tiny_catalog.names[:2]
    grown = with_merged(tiny_catalog, planned({one: 0.5, two: 0.25}), merged, "mix")
    assert grown.names == (*tiny_catalog.names, "mix")
    z, e = tiny_catalog.coordinates, tiny_catalog.stderr
    assert np.allclose(grown.coordinates[-1], 0.5 * z[0] + 0.25 * z[1], atol=1e-6)
    assert np.allclose(grown.stderr[-1], np.sqrt((0.5 * e[0]) ** 2 + (0.25 * e[1]) ** 2), atol=1e-6)
    assert np.array_equal(grown.coordinates[:-1], z)
    card = grown.card("mix")
    assert (card.kind, card.reference) == ("adapter", str(merged))
    words = [word for name in (one, two) for word in tiny_catalog.card(name).candidates]
    assert card.candidates == tuple(dict.fromkeys(words))
    assert tiny_catalog.pairs is not None
    assert grown.pairs is not None
    assert len(grown.pairs) == len(grown)
    assert np.allclose(grown.pairs[3], 0.5 * tiny_catalog.pairs[0] + 0.25 * tiny_catalog.pairs[1], atol=1e-5)
    assert tiny_catalog.embeddings is not None
    assert grown.embeddings is not None
    assert np.allclose(grown.embeddings[-1], 0.5 * tiny_catalog.embeddings[0] + 0.25 * tiny_catalog.embeddings[1])
    assert grown.provenance.fits["mix"].residual == pytest.approx(0.1 / 3)
    assert grown.provenance.fits["mix"].reliability == pytest.approx({"all": 0.5 + 0.1 / 3})
    again = Catalog.from_pretrained(grown.save_pretrained(tmp_path / "catalog"))
    assert again.names == grown.names
    assert np.array_equal(again.coordinates, grown.coordinates)
    assert again["mix"].words
    assert json.loads((merged / "xpert_merge.json").read_text())["models"]


def test_names_and_plans_that_cannot_be(tiny_catalog: Catalog, merged: Path, tmp_path: Path) -> None:
    one = tiny_catalog.names[0]
    with pytest.raises(SettingsError, match=f"the catalog has a model '{one}' already"):
        with_merged(tiny_catalog, planned({one: 1.0}), merged, one)
    with pytest.raises(SettingsError, match="the plan is empty"):
        with_merged(tiny_catalog, planned({}), merged, "mix")
    with pytest.raises(ReferenceNotFoundError, match="no model 'gone'"):
        with_merged(tiny_catalog, planned({"gone": 1.0}), merged, "mix")
    with pytest.raises(ReferenceNotFoundError):
        with_merged(tiny_catalog, planned({one: 1.0}), tmp_path / "nothing", "mix")
