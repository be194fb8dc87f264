"""Images from end to end: recorded ones with planted looks, and what tiny pipelines paint."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

pytest.importorskip("PIL")

import xpert
from xpert.cli import main
from xpert.errors import IncompatibleModelError, SettingsError
from xpert.images import is_image, open_image
from xpert.modalities.diffusion import DiffusionModality
from xpert.registry import SUMMARIZERS
from xpert.testing.fake_images import FAKE_LOOKS, FakeImageSummarizer, fake_picture

SCENES = tuple(f"scene {i}" for i in range(12))


def record(folder: Path, look: str | None) -> str:
    """A recorded model whose pictures have a look, which is planted."""
    folder.mkdir(parents=True)
    rows = []
    for i, scene in enumerate(SCENES):
        fake_picture(scene, look).save(folder / f"{i}.png")
        rows.append(json.dumps({"prompt": scene, "image": f"{i}.png"}) + "\n")
    (folder / "model.jsonl").write_text("".join(rows), encoding="utf-8")
    return f"answers:{folder / 'model.jsonl'}"


@pytest.fixture
def looks(tmp_path: Path) -> dict[str, str]:
    return {look: record(tmp_path / "pool" / look, None if look == "base" else look) for look in ("base", *FAKE_LOOKS)}


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """A user's own pictures, which are warm: other scenes than the models'; captions beside them."""
    folder = tmp_path / "mine"
    folder.mkdir()
    for i in range(6):
        fake_picture(f"my own place {i}", "warm", size=48).save(folder / f"{i}.png")
        (folder / f"{i}.txt").write_text(SCENES[i], encoding="utf-8")
    return folder


@pytest.fixture
def named(monkeypatch: pytest.MonkeyPatch) -> str:
    """A name for the summarizer of planted looks."""
    module: Any = ModuleType("fake_images_of_tests")
    module.load = lambda target, **options: FakeImageSummarizer()
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(SUMMARIZERS.builtin, "fake-images", f"{module.__name__}:load")
    return "fake-images:7"


def explainer(base: str, **options: Any) -> xpert.Explainer:
    return xpert.Explainer(base=base, summarizer=FakeImageSummarizer(), **{"n_prompts": 10, **options})


def painter(base: Path | str, n: int, **options: Any) -> xpert.Explainer:
    """An explainer for pipelines: two steps, all prompts in one batch."""
    modality, generation = DiffusionModality(steps=2), xpert.Generation(batch_size=n)
    return explainer(
        str(base), prompts=[f"a place {i}" for i in range(n)], modality=modality, generation=generation, **options
    )


def test_recorded_images_are_explained_in_their_looks(looks: dict[str, str], tmp_path: Path, mine: Path) -> None:
    base, *models = looks
    catalog = explainer(looks[base]).explain({name: looks[name] for name in models})
    made = catalog.provenance
    assert (made.modality, made.settings) == ("diffusion", {})
    assert "brighter" in made.measured
    assert [catalog[name].words[0][0] for name in models] == models
    catalog.save_pretrained(tmp_path / "catalog")
    opened = xpert.Catalog.from_pretrained(tmp_path / "catalog")
    assert all(is_image(answer.response) for answer in opened.base_answers)
    selection = xpert.Selector(opened, summarizer=FakeImageSummarizer()).select(xpert.load_examples(mine))
    assert selection.best == "warm"
    assert not selection.paired


def test_growing_gives_what_explaining_all_gives(looks: dict[str, str], tmp_path: Path) -> None:
    base, *models = looks
    first = explainer(looks[base]).explain({name: looks[name] for name in models[:2]})
    folder = first.save_pretrained(tmp_path / "first")
    opened = xpert.Catalog.from_pretrained(folder)
    more = xpert.Explainer.for_catalog(opened, summarizer=FakeImageSummarizer())
    grown = more.extend(opened, {name: looks[name] for name in models[2:]})
    whole = explainer(looks[base]).explain({name: looks[name] for name in models})
    assert grown.basis.words == whole.basis.words
    np.testing.assert_allclose(grown.coordinates, whole.coordinates, atol=1e-5)
    for number in range(10):
        fake_picture("another", seed=number).save(tmp_path / "pool" / "base" / f"{number}.png")
    with pytest.raises(IncompatibleModelError, match="its answers are not those in the catalog"):
        more.extend(opened, {"warmer": looks["warm"]})


def test_the_command_line_takes_folders_files_and_bases(
    looks: dict[str, str], mine: Path, named: str, tmp_path: Path, capsys: Any
) -> None:
    models = [text for name in FAKE_LOOKS for text in ("--model", f"{name}={looks[name]}")]
    out = str(tmp_path / "catalog")
    told = ["explain", "--base", looks["base"], *models, "--summarizer", named, "--n-prompts", "10", "--out", out]
    assert main([*told, "--modality", "diffusion", "--no-cache"]) == 0
    rows = [{"prompt": SCENES[i], "image": f"mine/{i}.png"} for i in range(6)]
    (tmp_path / "me.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    for data, more in ((mine, []), (tmp_path / "me.jsonl", []), (mine, ["--base", looks["base"]])):
        capsys.readouterr()
        assert main(["select", "--catalog", out, "--data", str(data), *more, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["best"] == "warm"
    (mine / "3.txt").unlink()
    assert main(["select", "--catalog", out, "--data", str(mine), "--base", looks["base"]]) == 2
    assert "1 of 6 examples have no prompt" in capsys.readouterr().err


def test_options_of_the_modality_on_the_command_line(looks: dict[str, str], tmp_path: Path, capsys: Any) -> None:
    from xpert.cli.explain import modality_with

    assert modality_with(None, ["steps=3", "negative_prompt=rain"], looks["base"], grows=False) == DiffusionModality(
        steps=3, negative_prompt="rain"
    )
    told = ["explain", "--base", looks["base"], "--model", f"warm={looks['warm']}", "--summarizer", "fake-images:7"]
    for option, message in (
        ("stepps=3", "no option 'stepps'"),
        ("steps", "expected NAME=VALUE"),
        ("steps=0", "steps: expected"),
    ):
        assert main([*told, "--out", str(tmp_path / "catalog"), "--set", option]) == 2
        assert message in capsys.readouterr().err


@pytest.mark.parametrize("family", ["sd15", "sd21", "sdxl", "sd35"])
def test_pipelines_are_explained_and_selected(family: Any, tiny_pipelines: Any, tmp_path: Path) -> None:
    folders = {kind: str(folder) for kind, folder in tiny_pipelines(family).items()}
    prompts = [f"a place {i}" for i in range(6)]
    own = painter(folders["base"], 6, cache=tmp_path / "cache")
    catalog = own.explain({kind: folders[kind] for kind in ("adapter", "full")})
    made = catalog.provenance
    assert made.settings.keys() == {"steps", "guidance_scale", "height", "width", "negative_prompt"}
    assert (made.settings["steps"], made.settings["height"]) == (2, 32)
    assert [card.kind for card in catalog.models] == ["adapter", "pipeline"]
    again = own.explain({kind: folders[kind] for kind in ("adapter", "full")})
    np.testing.assert_array_equal(again.coordinates, catalog.coordinates)
    with DiffusionModality(**made.settings).open(folders["base"]) as prober:
        painted = prober.answer(folders["full"], prompts, made.generation)
        base = prober.answer(None, prompts, made.generation)
    assert base == [answer.response for answer in catalog.base_answers]
    for i, image in enumerate(painted):
        open_image(image).save(tmp_path / f"{i}.png")
    mine = xpert.load_examples([{"prompt": p, "image": str(tmp_path / f"{i}.png")} for i, p in enumerate(prompts)])
    selection = xpert.Selector(catalog, summarizer=FakeImageSummarizer()).select(mine, base)
    assert selection.best == "full"
    assert selection.ranking[0][1] == pytest.approx(0, abs=1e-4)


def test_recorded_and_generated_answers_give_one_catalog(tiny_pipelines: Any, tmp_path: Path) -> None:
    folders = tiny_pipelines()
    prompts = [f"a place {i}" for i in range(4)]
    modality = DiffusionModality(steps=2)
    live = painter(folders["base"], 4).explain({"one": str(folders["adapter"])})
    references = {}
    with modality.open(str(folders["base"])) as prober:
        for name, reference in (("base", None), ("one", str(folders["adapter"]))):
            answers = prober.answer(reference, prompts, live.provenance.generation)
            rows = [json.dumps({"prompt": p, "image": a}) + "\n" for p, a in zip(prompts, answers, strict=True)]
            (tmp_path / f"{name}.jsonl").write_text("".join(rows), encoding="utf-8")
            references[name] = f"answers:{tmp_path / name}.jsonl"
    recorded = explainer(references["base"], prompts=prompts).explain({"one": references["one"]})
    np.testing.assert_array_equal(recorded.coordinates, live.coordinates)
    assert recorded.base_answers == live.base_answers
    mixed = painter(folders["base"], 4).explain({"one": references["one"]})
    np.testing.assert_array_equal(mixed.coordinates, live.coordinates)


def test_a_catalog_of_pipelines_grows_by_its_own_settings(tiny_pipelines: Any, tmp_path: Path) -> None:
    folders = {kind: str(folder) for kind, folder in tiny_pipelines().items()}
    own = painter(folders["base"], 4)
    first = own.explain({"adapter": folders["adapter"]})
    opened = xpert.Catalog.from_pretrained(first.save_pretrained(tmp_path / "catalog"))
    assert opened.provenance == first.provenance
    more = xpert.Explainer.for_catalog(opened, summarizer=FakeImageSummarizer())
    grown = more.extend(opened, {"full": folders["full"]})
    whole = own.explain({"adapter": folders["adapter"], "full": folders["full"]})
    np.testing.assert_allclose(grown.coordinates, whole.coordinates, atol=1e-5)
    three = xpert.Explainer.for_catalog(opened, summarizer=FakeImageSummarizer(), modality=DiffusionModality(steps=3))
    with pytest.raises(SettingsError, match="steps: the catalog was made with 2, got 3"):
        three.extend(opened, {"full": folders["full"]})
