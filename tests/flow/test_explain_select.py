"""From recorded or live models to a selection, with the fakes in place of a summarizer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xpert.catalog import Catalog
from xpert.errors import DataError, IncompatibleModelError, ReferenceNotFoundError, SettingsError
from xpert.explainer import Explainer
from xpert.selector import Selector
from xpert.testing.fakes import FAKE_STYLES, FakeSummarizer, fake_text
from xpert.types import Example, Generation

STYLES = ("friendly", "formal", "poetic", "technical", "angry", "childish", "sarcastic", "salesy")
PROMPTS = [f"tell me about thing {i} and its parts" for i in range(60)]


def record(folder: Path, name: str, prompts: list[str], *, style: str | None = None, strength: float = 0.3) -> str:
    path = folder / f"{name}.jsonl"
    rows = [{"prompt": p, "response": fake_text(p, style, seed=len(name), strength=strength)} for p in prompts]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return f"answers:{path}"


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A base and a model per style that answered 40 prompts."""
    folder = tmp_path_factory.mktemp("pool")
    models = {style: record(folder, style, PROMPTS[:40], style=style) for style in STYLES}
    return {"base": record(folder, "base", PROMPTS[:40])} | models


@pytest.fixture(scope="module")
def catalog(pool: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """Explained, written and read again."""
    explainer = Explainer(pool["base"], FakeSummarizer(), n_prompts=30)
    folder = tmp_path_factory.mktemp("catalogs") / "catalog"
    explainer.explain({style: pool[style] for style in STYLES}).save_pretrained(folder)
    return Catalog.from_pretrained(folder)


def user(style: str, *, strength: float = 0.3, prompted: bool = True) -> list[Example]:
    return [
        Example(prompt=p if prompted else None, response=fake_text(p, style, seed=99, strength=strength))
        for p in PROMPTS[40:]
    ]


def test_words_are_those_of_the_models(catalog: Catalog) -> None:
    for style in STYLES:
        words = [word for word, _ in catalog[style].words if word in FAKE_STYLES]
        assert words[0] == style
        assert catalog[style].named_share > 0.8
    kinds = {axis.word: axis.kind for axis in catalog.basis.axes}
    assert set(STYLES) == {word for word, kind in kinds.items() if kind == "word"}


@pytest.mark.parametrize("axes", ["all", "named", "named+measured"])
@pytest.mark.parametrize("paired", [True, False])
def test_the_right_model_is_selected_for_every_user(catalog: Catalog, axes: Any, paired: bool) -> None:
    selector = Selector(catalog, FakeSummarizer(), axes=axes)
    answers = [fake_text(p, seed=7) for p in PROMPTS[40:]] if paired else None
    for style in STYLES:
        selection = selector.select(user(style, prompted=paired), answers)
        assert (selection.best, selection.matched) == (style, True)
        assert len(selection.ranking) == len(STYLES)


def test_a_faint_style_is_still_found(catalog: Catalog) -> None:
    answers = [fake_text(p, seed=7) for p in PROMPTS[40:]]
    found = [Selector(catalog, FakeSummarizer()).select(user(s, strength=0.1), answers).best for s in STYLES]
    assert sum(one == other for one, other in zip(found, STYLES, strict=True)) >= 7


def test_two_runs_write_the_same_bytes(pool: dict[str, str], tmp_path: Path) -> None:
    for run in ("1", "2"):
        explainer = Explainer(pool["base"], FakeSummarizer(), n_prompts=10)
        explainer.explain({style: pool[style] for style in STYLES[:3]}).save_pretrained(tmp_path / run)
    for path in (tmp_path / "1").iterdir():
        assert path.read_bytes() == (tmp_path / "2" / path.name).read_bytes(), path.name


def test_the_null_of_a_recorded_base_is_told(catalog: Catalog, pool: dict[str, str], tmp_path: Path) -> None:
    assert catalog.provenance.null_pairs == "reordered"
    rows = [{"prompt": p, "response": fake_text(p), "response2": fake_text(p, seed=8)} for p in PROMPTS[:10]]
    (tmp_path / "twice.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    explainer = Explainer(f"answers:{tmp_path / 'twice.jsonl'}", FakeSummarizer(), n_prompts=10)
    assert explainer.explain({"formal": pool["formal"]}).provenance.null_pairs == "response2"


def test_the_order_of_models_moves_rows_only(catalog: Catalog, pool: dict[str, str]) -> None:
    explainer = Explainer(pool["base"], FakeSummarizer(), n_prompts=30)
    back = explainer.explain({style: pool[style] for style in STYLES[::-1]})
    assert catalog.embeddings is not None
    assert back.embeddings is not None
    np.testing.assert_allclose(back.embeddings[::-1], catalog.embeddings, atol=1e-6)
    assert set(back.basis.words) == set(catalog.basis.words)


def test_fewer_shared_prompts_than_asked_for(pool: dict[str, str], tmp_path: Path) -> None:
    few = record(tmp_path, "few", PROMPTS[30:], style="formal")
    with pytest.raises(DataError, match="expected at least 11 that base and models share, found 10"):
        Explainer(pool["base"], FakeSummarizer(), n_prompts=11).explain({"few": few, "poetic": pool["poetic"]})
    assert len(Explainer(pool["base"], FakeSummarizer(), n_prompts=10).explain({"few": few}).base_answers) == 10


def test_bad_models_are_told_before_work_is_done(pool: dict[str, str], tiny_base: Path, tmp_path: Path) -> None:
    explainer = Explainer(pool["base"], FakeSummarizer(), n_prompts=5)
    with pytest.raises(SettingsError, match="models"):
        explainer.explain({})
    with pytest.raises(SettingsError, match="'a/b'"):
        explainer.explain({"a/b": pool["formal"]})
    with pytest.raises(IncompatibleModelError, match="recorded"):
        explainer.explain({"live": str(tiny_base)})
    with pytest.raises(ReferenceNotFoundError, match="missing"):
        explainer.explain({"missing": f"answers:{tmp_path / 'missing.jsonl'}"})
    with pytest.raises(ReferenceNotFoundError, match="unknown summarizer"):
        Explainer(pool["base"], "nonsense:x").explain({"formal": pool["formal"]})


def test_live_models_are_probed_and_explained(tiny_base: Path, tiny_adapters: dict[str, Path], tiny_full: Path) -> None:
    explainer = Explainer(
        str(tiny_base), FakeSummarizer(), n_prompts=4, generation=Generation(max_new_tokens=6), eps_dec=0.5
    )
    models = {name: str(path) for name, path in tiny_adapters.items()} | {"full": str(tiny_full)}
    catalog = explainer.explain(models)
    assert list(catalog) == [*tiny_adapters, "full"]
    assert [card.kind for card in catalog.models] == ["adapter"] * 3 + ["full"]
    assert catalog.provenance.null_pairs.startswith("sampled")
    assert np.isfinite(catalog.coordinates).all()
    selection = Selector(catalog, FakeSummarizer()).select(list(catalog.base_answers))
    assert selection.best in models
