from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from xpert.catalog import Catalog
from xpert.cli import main
from xpert.cli.explain import (
    FAINT,
    _told_of_faint,
    aspect,
    drawn_prompts,
    faint_models,
    named_models,
    proposed_words,
)
from xpert.errors import DataError, ReferenceNotFoundError, SettingsError, SummarizerError, XpertError
from xpert.provenance import Fit
from xpert.summarizers.image_encoder import ImageEncoderSummarizer
from xpert.testing.planted_catalog import planted_catalog
from xpert.types import Generation


def test_named_models_joins_options_and_folder(tmp_path: Path) -> None:
    (tmp_path / "poet.jsonl").write_text('{"prompt": "a", "response": "b"}\n')
    models = named_models(["tutor=org/x=y"], tmp_path)
    assert models == {"tutor": "org/x=y", "poet": f"answers:{tmp_path / 'poet.jsonl'}"}


@pytest.mark.parametrize(
    ("pairs", "said"),
    [(["tutor"], "NAME=REF"), (["=x"], "NAME=REF"), (["a=x", "a=y"], "'a' occurs twice"), ([], "no models")],
)
def test_named_models_refuses(pairs: list[str], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        named_models(pairs, None)


def test_a_name_of_an_option_and_of_the_folder_is_a_duplicate(tmp_path: Path) -> None:
    (tmp_path / "poet.jsonl").write_text('{"prompt": "a", "response": "b"}\n')
    with pytest.raises(SettingsError, match="'poet' occurs twice"):
        named_models(["poet=org/x"], tmp_path)


def test_prompts_are_drawn_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "prompts.txt"
    file.write_text("".join(f"prompt {i}\n" for i in range(20)))
    every = drawn_prompts(file, None, 0)
    assert len(every) == 20
    some = drawn_prompts(file, 6, 1)
    assert some == sorted(set(some), key=every.index)
    assert len(some) == 6
    assert some == drawn_prompts(file, 6, 1) != drawn_prompts(file, 6, 2)
    with pytest.raises(DataError, match=r"prompts\.txt: expected at least 21 prompts, it has 20"):
        drawn_prompts(file, 21, 0)


def test_base_and_base_answers_exclude_each_other(tmp_path: Path, capsys: Any) -> None:
    given = ["select", "--catalog", "c", "--data", "d", "--base", "b", "--base-answers", str(tmp_path / "a.jsonl")]
    assert main(given) == 2
    assert "not both" in capsys.readouterr().err


def test_demo_of_an_unknown_modality_is_refused_before_any_work(tmp_path: Path, capsys: Any) -> None:
    assert main(["demo", "--modality", "speech", "--out", str(tmp_path / "out")]) == 2
    assert "no such demo: expected one of text, diffusion" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_demo_does_not_write_into_a_folder_of_something_else(tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "holiday.txt").write_text("sun")
    assert main(["demo", "--out", str(tmp_path)]) == 2
    assert "something else" in capsys.readouterr().err


def test_zoo_lists_what_is_there(capsys: Any, monkeypatch: Any, tmp_path: Path, tiny_base: Path) -> None:
    import xpert.zoo

    style = "expert-concise-poetic"
    (tmp_path / "base").symlink_to(tiny_base)
    (tmp_path / style).mkdir()
    for file in _adapter(tiny_base, tmp_path / "made").iterdir():
        file.rename(tmp_path / style / file.name)
    monkeypatch.setattr(xpert.zoo, "WEIGHTS", tmp_path)
    assert main(["zoo", "--json"]) == 0
    models = json.loads(capsys.readouterr().out)["models"]
    assert [(model["name"], model["kind"], model.get("style")) for model in models] == [
        ("base", "full", None),
        (style, "adapter", style),
    ]
    assert all(model["bytes"] > 1000 for model in models)
    assert main(["zoo"]) == 0
    assert f"zoo:{style}" in capsys.readouterr().out


def test_zoo_tells_the_style_of_pictures(capsys: Any) -> None:
    from xpert.zoo import picture_adapter_names

    assert main(["zoo", "--json"]) == 0
    styles = {model["name"]: model.get("style") for model in json.loads(capsys.readouterr().out)["models"]}
    for name in picture_adapter_names():
        assert f"pictures-{styles[name]}" == name


def _adapter(base: Path, folder: Path) -> Path:
    from xpert.testing.tiny import tiny_adapter

    return tiny_adapter(base, folder)


def test_train_passes_what_is_given_and_nothing_else(monkeypatch: Any, tmp_path: Path, capsys: Any) -> None:
    from xpert.registry import TRAINERS

    seen: dict[str, Any] = {}

    class Refuses(XpertError):
        pass

    def trainer(**given: Any) -> Any:
        seen.update(given)
        raise Refuses("enough")

    monkeypatch.setattr(type(TRAINERS), "get", lambda self, name: trainer)
    data = tmp_path / "me.jsonl"
    data.write_text('{"text": "hello"}\n')
    options = ["--max-steps", "3", "--target-modules", "q_proj, v_proj", "--lr", "0.001", "--recipe", "paper-device"]
    assert main(["train", "--start", "s", "--data", str(data), "--out", str(tmp_path / "o"), *options]) == 2
    assert seen == {
        "max_steps": 3,
        "target_modules": ["q_proj", "v_proj"],
        "lr": 0.001,
        "recipe": "paper-device",
        "seed": 0,
    }
    assert "enough" in capsys.readouterr().err


def test_unknown_backend_lists_the_known(tmp_path: Path, capsys: Any) -> None:
    assert main(["train", "--start", "s", "--data", "d", "--out", str(tmp_path / "o"), "--backend", "abacus"]) == 2
    err = capsys.readouterr().err
    assert "'abacus'" in err
    assert "torch" in err


def test_an_aspect_by_name_and_by_a_list_of_words(tmp_path: Path) -> None:
    from xpert.summarizers.instructions import LANGUAGE_STYLE

    wines = tmp_path / "wines.txt"
    wines.write_text("rouge\nblanc\n\nrosé\n", encoding="utf-8")
    assert aspect(None, None, "zoo:summarizer") is None
    asked = aspect("tone", wines, "encoder:minilm")
    assert asked is not None
    assert (asked.name, asked.words) == ("tone", ("rouge", "blanc", "rosé"))
    by_default = aspect(None, wines, "encoder:minilm")
    assert by_default is not None
    assert by_default.carriers == LANGUAGE_STYLE.carriers
    with pytest.raises(SettingsError, match=r"--words .*zoo:summarizer finds its words itself"):
        aspect(None, wines, "zoo:summarizer")
    with pytest.raises(ReferenceNotFoundError, match="'domian': expected language-style, domain"):
        aspect("domian", None, "zoo:summarizer")


def test_words_that_a_vision_language_model_proposes(tmp_path: Path) -> None:
    pytest.importorskip("PIL")
    from xpert.testing.tiny_clip import tiny_clip
    from xpert.testing.tiny_vlm import tiny_vlm

    clip, vlm = tiny_clip(tmp_path / "clip"), tiny_vlm(tmp_path / "vlm")
    given = {"summarizer": f"encoder:{clip}", "base": "b"}
    with proposed_words(given, None, None) as same:
        assert same == given
    with proposed_words(given, f"vlm:{vlm}", None) as with_proposer:
        opened = with_proposer["summarizer"]
        assert isinstance(opened, ImageEncoderSummarizer)
        assert with_proposer["instruction"] is None
        assert opened.wording.name == "image-style"
    with pytest.raises(SummarizerError, match="closed"):
        opened.encode(["a"])
    with (
        pytest.raises(SettingsError, match="proposer"),
        proposed_words({"summarizer": "zoo:summarizer"}, "vlm:x", None),
    ):
        pass


def test_models_that_hardly_differ_in_greedy_answers_are_told() -> None:
    fit = Fit(residual=0.1, named_share=0.9, measured_share=0.3, unnamed_share=0.2, converged=True)
    fits = {name: replace(fit, reliability={"all": value}) for name, value in (("plain", 0.99), ("half", FAINT - 0.01))}

    def catalog(**header: Any) -> Catalog:
        places = [[1.0, 0.1, 0.0, 0.0], [0.1, 0.1, 0.0, 0.0]]
        return planted_catalog(places, names=list(fits), **{"fits": fits, "n_prompts": 50, **header})

    assert faint_models(catalog()) == ["half"]
    assert faint_models(catalog(n_prompts=10)) == []  # fewer prompts have more noise
    assert faint_models(catalog(n_prompts=5000)) == ["plain", "half"]
    assert faint_models(catalog(fits=dict.fromkeys(fits, fit))) == []  # of before reliabilities were stored
    assert faint_models(catalog(generation=Generation(temperature=1.0))) == []
    assert faint_models(catalog(base="answers:base.jsonl")) == []
    assert faint_models(catalog(modality="diffusion")) == []
    assert _told_of_faint([], grows=False) == []
    (said,) = _told_of_faint(["half"], grows=False)
    assert said.startswith("half: its greedy answers are almost the base's")
    assert said.endswith("Run the same command again with --temperature 1.")
    (said,) = _told_of_faint(["half", "third"], grows=True)
    assert said.startswith("half, third: their greedy answers")
    assert "without --catalog" in said
