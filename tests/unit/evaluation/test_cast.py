"""Experiments on one's own models: the file that names them, its users, and that nothing of the zoo takes part."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from xpert.cli import main
from xpert.errors import DataError, SettingsError
from xpert.evaluation.cast import OwnCast, ZooCast
from xpert.evaluation.presets import PRESETS
from xpert.evaluation.running import run_experiments, spec_of
from xpert.evaluation.setting import Setting
from xpert.evaluation.suite import EXPERIMENTS, experiments_of
from xpert.evaluation.suite import context as context_module
from xpert.evaluation.suite.context import Context
from xpert.testing.fakes import fake_text
from xpert.types import Generation

SMALL = replace(
    PRESETS["tiny"],
    draws=1,
    users_a_style=1,
    recorded_prompts=50,
    similarities=(90,),
    pool_sizes=(2, 28),
    domain_prompts=(20, 20, 20),
    styled_texts=2,
    orders=2,
    trainees=2,
    training_steps=6,
)


@pytest.fixture
def file(tmp_path: Path, tiny_base: Path, tiny_adapters: dict[str, Path]) -> Path:
    folder = tmp_path / "mine"
    folder.mkdir()
    for name, style in zip(tiny_adapters, ("friendly", "formal", "poetic"), strict=True):
        rows = [{"prompt": f"tell me of {i}", "response": fake_text(f"tell me of {i}", style)} for i in range(60)]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "adapters").mkdir()
    for name, path in tiny_adapters.items():
        (folder / "adapters" / name).symlink_to(path)
    told = {
        "base": str(tiny_base),
        "models": {name: f"adapters/{name}" for name in tiny_adapters},
        "users": {name: f"{name}.jsonl" for name in tiny_adapters},
    }
    (folder / "pool.json").write_text(json.dumps(told))
    return folder / "pool.json"


def test_references_are_looked_for_beside_the_file(file: Path, tiny_base: Path) -> None:
    cast = OwnCast(file)
    assert (cast.name, cast.base) == ("mine", str(tiny_base))
    assert cast.models["poet"] == str(file.parent / "adapters" / "poet")
    assert OwnCast(file.rename(file.with_name("zoo-of-us.json"))).name == "zoo-of-us"


def test_users_are_mixed_with_what_the_base_says(file: Path) -> None:
    cast = OwnCast(file)

    def said(users: Any) -> dict[str, str]:
        return {str(one.prompt): "nothing in particular" for user in users for one in user.examples}

    whole, mixed = cast.users(0, 50, 1.0, said), cast.users(0, 20, 0.3, said)
    assert [user.style for user in whole] == list(cast.models)
    assert {len(user.examples) for user in mixed} == {20}
    assert [sum(one.response != "nothing in particular" for one in user.examples) for user in mixed] == [6, 6, 6]
    assert cast.users(0, 50, 1.0, said) == whole
    assert cast.users(1, 50, 1.0, said) != whole
    known = {one.response for one in cast.texts["poet"]}
    assert all(one.response in known for one in whole[1].examples)


def test_a_preset_is_fitted_to_the_pool(file: Path) -> None:
    setting = Setting(data=f"pool:{file}")
    fitted = setting.fitted(SMALL)
    assert fitted.styles == ("tutor", "poet", "clerk")
    assert fitted.pool_sizes == (2, 3)
    spec = spec_of(EXPERIMENTS["table-1"], SMALL, setting)
    assert (spec["models"], spec["data"], spec["summarizer"]) == (3, "mine", "zoo:summarizer")
    before = spec["texts"]
    users = file.with_name("poet.jsonl")
    users.write_text(users.read_text().replace("tell me of 7", "tell us of 7"))
    assert spec_of(EXPERIMENTS["table-1"], SMALL, setting)["texts"] != before
    assert Setting().fitted(SMALL) is SMALL
    assert set(ZooCast(SMALL.styles).models) == set(SMALL.styles)


def test_all_means_what_runs_on_ones_own_models(file: Path) -> None:
    names = {one.name for one in experiments_of("all", SMALL, Setting(data=f"pool:{file}"))}
    assert {
        "table-1",
        "table-2",
        "table-7",
        "table-8",
        "table-9",
        "figure-7",
        "accuracy",
        "table-5",
        "table-6",
    } == names


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"base": 3}, "expected 'base' as a JSON string"),
        ({"models": {}}, "expected two models or more and users of the same names"),
        ({"users": {"tutor": "tutor.jsonl"}}, "users of the same names, got models tutor, poet, clerk and users tutor"),
        (
            {"modles": {}},
            "expected only base, models, users, prompts, generation, training, got 'modles' .*did you mean 'models'",
        ),
        ({"generation": {"seed": 3}}, "expected 'generation' as an object of max_new_tokens, temperature, top_p, got"),
        ({"generation": {"temperature": "hot"}}, "expected 'temperature' as a number from 0, got 'hot'"),
        ({"generation": {"temperature": float("nan")}}, "expected 'temperature' as a number from 0, got nan"),
        ({"generation": {"max_new_tokens": 1.5}}, "expected 'max_new_tokens' as a whole number from 1, got 1.5"),
        ({"generation": {"max_new_tokens": 0}}, "expected 'max_new_tokens' as a whole number from 1, got 0"),
        ({"generation": {"top_p": 0}}, "expected 'top_p' as a number above 0 and at most 1, got 0"),
        ({"training": {"epochs": 3}}, "expected 'training' as an object of recipe, method, lr, .* got"),
        ({"training": {"lr": -1}}, "training: lr: expected"),
        ({"training": {"rank": "high"}}, "pool.json: training: "),
        ({"base": "answers:base.jsonl"}, "all recorded .* or none, got base 'answers:base.jsonl', recorded none"),
        ({"models": {"tutor": 1, "poet": "b", "clerk": "c"}}, "models: expected a string for 'tutor', got int"),
    ],
)
def test_a_file_that_is_not_right_is_told(file: Path, change: dict[str, Any], told: str) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(DataError, match=told):
        OwnCast(file)


@pytest.mark.parametrize("name", ["", " ", ".", "..", "a/b", "a\\b", "a\nb"])
def test_a_name_that_no_file_can_have_is_told_at_once(name: str, file: Path) -> None:
    told = json.loads(file.read_text())
    for key in ("models", "users"):
        told[key][name] = told[key].pop("poet")
    file.write_text(json.dumps(told))
    with pytest.raises(DataError, match=r"pool.json: models: expected names that a file can have, got .* rename it"):
        OwnCast(file)


def test_how_models_answer_is_part_of_the_run(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    greedy, how = OwnCast(file), Generation(temperature=1.0, max_new_tokens=8)
    file.write_text(
        json.dumps(json.loads(file.read_text()) | {"generation": {"temperature": 1.0, "max_new_tokens": 8}})
    )
    sampled = OwnCast(file)
    assert (sampled.generation, greedy.generation, ZooCast(SMALL.styles).generation) == (
        how,
        Generation(),
        Generation(),
    )
    assert greedy.fingerprint != sampled.fingerprint
    asked: list[Generation] = []
    monkeypatch.setattr(context_module, "probed_pool", lambda *_, **options: asked.append(options["generation"]))
    monkeypatch.setattr(context_module, "with_words", lambda *_, **__: None)
    said: list[dict[str, str]] = []
    for seed in (0, 1):
        with Context(preset=SMALL, seed=seed, work=tmp_path, setting=Setting(data=f"pool:{file}")) as context:
            assert (context.pool, len(context.domains)) == (None, 3)
            said.append(context.said_by_base(context.cast.users(0, 2, 1.0, context.said_by_base)))
    assert asked == [how] * 8
    assert said[0].keys() == said[1].keys()
    assert said[0] != said[1]  # sampled by each run's seed


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    folder = tmp_path / "said"
    folder.mkdir()
    prompts = [f"tell me of {i}" for i in range(120)]
    for style in ("default", "friendly", "formal", "poetic"):
        rows = [{"prompt": prompt, "response": fake_text(prompt, style)} for prompt in prompts]
        (folder / f"{style}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        if style != "default":
            (folder / f"{style}-user.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows[60:]))
    styles = ("friendly", "formal", "poetic")
    told = {
        "base": "answers:default.jsonl",
        "models": {style: f"answers:{style}.jsonl" for style in styles},
        "users": {style: f"{style}-user.jsonl" for style in styles},
    }
    (folder / "pool.json").write_text(json.dumps(told))
    return folder / "pool.json"


def test_recorded_models_are_asked_what_no_user_wrote_about(recorded: Path) -> None:
    cast = OwnCast(recorded)
    assert cast.is_recorded
    assert cast.base == f"answers:{recorded.parent / 'default.jsonl'}"
    assert sorted(cast.prompts(100, 0)) == sorted(f"tell me of {i}" for i in range(60))
    assert len(cast.prompts(50, 0)) == 50
    before = cast.fingerprint
    answers = recorded.with_name("poetic.jsonl")
    answers.write_text(answers.read_text().replace("tell me of 7", "tell me of 700"))
    assert OwnCast(recorded).fingerprint != before


def test_fifty_texts_are_one_user_and_one_draw(recorded: Path, tmp_path: Path) -> None:
    few = recorded.with_name("formal-user.jsonl")
    few.write_text("".join(few.read_text().splitlines(keepends=True)[:50]))
    setting = Setting(data=f"pool:{recorded}")
    more = replace(SMALL, draws=3, users_a_style=2)
    fitted = setting.fitted(more)
    assert (fitted.draws, fitted.users_a_style) == (1, 1)
    assert spec_of(EXPERIMENTS["accuracy"], more, setting)["draws"] == 1
    source = OwnCast(recorded).source(tmp_path, 100)
    first, second = source.draw(0, 1).users, source.draw(1, 1).users
    assert len(first) == 3
    assert [set(a.examples) == set(b.examples) for a, b in zip(first, second, strict=True)] == [False, True, False]
    few.write_text(recorded.with_name("friendly-user.jsonl").read_text())
    fitted = setting.fitted(more)
    assert (fitted.draws, fitted.users_a_style) == (3, 2)


def test_recorded_answers_that_are_not_there_are_told_with_the_folder(recorded: Path) -> None:
    recorded.with_name("formal.jsonl").unlink()
    with pytest.raises(
        DataError, match=r"recorded answers at 'answers:formal.jsonl', found no /.*/said/formal.jsonl and no /"
    ):
        OwnCast(recorded)


def test_recorded_models_whose_prompts_are_all_users_prompts_are_told(recorded: Path) -> None:
    for user in recorded.parent.glob("*-user.jsonl"):
        user.write_text((recorded.parent / user.name.replace("-user", "")).read_text())
    with pytest.raises(DataError, match=r"expected 50 prompts or more that base and models answered .*, got 0"):
        OwnCast(recorded).prompts(50, 0)


def test_only_what_needs_no_weights_runs_on_recorded_models(recorded: Path, tmp_path: Path) -> None:
    setting = Setting(data=f"pool:{recorded}")
    assert setting.kind == "recorded"
    names = {one.name for one in experiments_of("all", SMALL, setting)}
    assert names == {"accuracy", "table-2", "table-8", "table-9"}
    with pytest.raises(SettingsError, match="table-7 runs on no such data"):
        experiments_of("table-7", SMALL, setting)
    (found,) = run_experiments(
        experiments_of("table-9", SMALL, setting), SMALL, out=tmp_path / "out", work=tmp_path / "work", setting=setting
    )
    assert all(row["accuracy"]["all"] == 1 for row in next(iter(found.rows.values())))


def test_too_few_texts_and_texts_without_prompts_are_told(file: Path) -> None:
    users = file.with_name("poet.jsonl")
    lines = users.read_text().splitlines()
    users.write_text("\n".join(lines[:30]))
    with pytest.raises(DataError, match=r"poet.jsonl: expected 50 texts or more, each with its prompt, got 30"):
        _ = OwnCast(file).texts
    users.write_text("\n".join([*lines, '{"text": "no prompt"}']))
    with pytest.raises(DataError, match="1 of 61 without a prompt"):
        _ = OwnCast(file).texts


def test_the_command_tells_a_wrong_file_before_any_work(tmp_path: Path, capsys: Any) -> None:
    run = ["evaluate", "table-7", "--dry-run", "--out", str(tmp_path / "out"), "--data"]
    assert main([*run, f"pool:{tmp_path / 'none.json'}"]) == 2
    assert "none.json: expected JSON with base, models, users" in capsys.readouterr().err
    (tmp_path / "bad.json").write_text("{")
    assert main([*run, f"pool:{tmp_path / 'bad.json'}"]) == 2
    assert "expected JSON with" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "name",
    [
        "figure-7",
        *(
            pytest.param(one, marks=pytest.mark.slow)
            for one in ("table-1", "table-2", "table-7", "table-8", "accuracy", "table-6")
        ),
    ],
)
def test_an_experiment_on_ones_own_models(name: str, file: Path, tmp_path: Path) -> None:
    for package, extra in EXPERIMENTS[name].needs.items():
        pytest.importorskip(package, reason=f"needs the extra '{extra}'")
    setting = Setting(data=f"pool:{file}")
    (result,) = run_experiments(
        [EXPERIMENTS[name]], SMALL, out=tmp_path / "out", work=tmp_path / "work", setting=setting
    )
    assert result.on == "mine, zoo:summarizer"
    assert result.tables
    assert EXPERIMENTS[name].elsewhere in (tmp_path / "out" / "results.md").read_text()
    assert not (tmp_path / "work" / "zoo-answers").exists()


def test_users_who_wrote_about_what_the_models_are_asked_are_refused(file: Path, tmp_path: Path) -> None:
    file.with_name("prompts.txt").write_text("".join(f"say something of {i}\n" for i in range(60)) + "tell me of 7\n")
    file.write_text(json.dumps(json.loads(file.read_text()) | {"prompts": "prompts.txt"}))
    with pytest.raises(
        DataError, match=r"pool.json: expected users' texts on other prompts .* got 'tell me of 7' in both"
    ):
        OwnCast(file).source(tmp_path, 61)


def test_a_file_of_prompts_that_is_not_there_is_told(file: Path, tmp_path: Path, capsys: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | {"prompts": "nowhere.txt"}))
    assert main(["evaluate", "table-7", "--dry-run", "--out", str(tmp_path / "out"), "--data", f"pool:{file}"]) == 2
    assert "nowhere.txt: no such file" in capsys.readouterr().err


def test_other_weights_under_the_same_name_are_another_pool(file: Path, tiny_base: Path, tmp_path: Path) -> None:
    from xpert.testing.tiny import tiny_adapter

    before = OwnCast(file).fingerprint
    (file.parent / "adapters" / "poet").unlink()
    tiny_adapter(tiny_base, file.parent / "adapters" / "poet", seed=77)
    assert OwnCast(file).fingerprint != before


def test_a_user_who_is_fine_tuned_validates_on_other_texts(file: Path) -> None:
    cast = OwnCast(file)
    one = cast.trainee("poet", 0)
    assert (one.style, len(one.training), len(one.validation)) == ("poet", 40, 20)
    assert not {e.prompt for e in one.training} & {e.prompt for e in one.validation}
    assert cast.trainee("poet", 0) == one != cast.trainee("poet", 1)
    users = file.with_name("poet.jsonl")
    users.write_text("\n".join(users.read_text().splitlines()[:50]))
    few = OwnCast(file).trainee("poet", 0)
    assert (len(few.training), len(few.validation)) == (30, 20)


def test_how_users_are_fine_tuned_is_told_and_is_part_of_what_was_run(file: Path) -> None:
    before, setting = OwnCast(file).fingerprint, Setting(data=f"pool:{file}")
    file.write_text(json.dumps(json.loads(file.read_text()) | {"training": {"lr": 1e-3, "max_steps": 9}}))
    assert OwnCast(file).fingerprint == before  # nothing else depends on it
    spec = spec_of(EXPERIMENTS["table-6"], SMALL, setting)
    assert (spec["lr"], spec["steps_at_most"], spec["fine_tuned"], spec["data"]) == (1e-3, 9, 2, "mine")
    assert "lr" not in spec_of(EXPERIMENTS["table-7"], SMALL, setting)
