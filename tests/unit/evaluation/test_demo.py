from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from xpert.catalog import Catalog
from xpert.cli import demo as command
from xpert.cli import main
from xpert.errors import SettingsError
from xpert.evaluation import demo
from xpert.evaluation.demo import Choice, DemoReport, DemoSettings, run_demo
from xpert.evaluation.demo_users import DemoUser, MixedUser, Trainee, zoo_mixed_user, zoo_trainee, zoo_users
from xpert.testing.fakes import FakeSummarizer, fake_text
from xpert.trainers.torch import TorchTrainer
from xpert.types import Example, Generation
from xpert.zoo.corpus import STYLES, side_questions
from xpert.zoo.pictures import STYLES as PICTURE_STYLES


def texts(style: str, n: int, seed: int) -> tuple[Example, ...]:
    return tuple(
        Example(prompt=f"tell me of thing {i}", response=fake_text(f"thing {i}", style, seed=seed, n_words=12))
        for i in range(n)
    )


@pytest.fixture(scope="module")
def report(tiny_base: Path, tiny_adapters: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> DemoReport:
    trainer = TorchTrainer(max_steps=6, eval_every=2, rank=4, alpha=8, batch_size=4)
    return run_demo(
        base=str(tiny_base),
        summarizer=FakeSummarizer(),
        models={name: str(folder) for name, folder in tiny_adapters.items()},
        users=[DemoUser(name=f"user {i}", style="poet", examples=texts("poetic", 3, i)) for i in range(2)],
        trainee=Trainee(style="poet", training=texts("poetic", 6, 8), validation=texts("poetic", 2, 9)),
        mixed=MixedUser(styles=("poet", "clerk"), examples=texts("poetic", 2, 5) + texts("formal", 2, 6)),
        out=tmp_path_factory.mktemp("demo"),
        settings=DemoSettings(n_prompts=4, generation=Generation(max_new_tokens=12), trainer=trainer),
    )


def test_the_report_tells_what_the_interface_promises(report: DemoReport) -> None:
    told = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert set(told["models"]) == {"tutor", "poet", "clerk"}
    assert all({"word", "value"} == word.keys() for words in told["models"].values() for word in words)
    assert told["users"] == 2
    assert told["correct"] + len(told["wrong"]) == 2
    assert told["steps_base"] >= 2
    assert told["target_loss"] == pytest.approx(1.01 * min(loss for _, loss in told["starts"]["curve_base"]))
    assert told["seconds"] >= sum(told["stage_seconds"].values())
    assert told["peak_mb"] > 1
    assert {"steps_selected", "accuracy", "trainee"} <= told.keys()
    assert told["mixed"]["styles"] == ["poet", "clerk"]
    assert set(told["mixed"]["weights"]) <= set(told["models"])
    assert told["mixed"]["distance_after"] <= told["mixed"]["distance_before"] + 1e-6


def test_correct_counts_by_axes(report: DemoReport) -> None:
    choices = (
        Choice(user="a", style="poet", best={"all": "poet", "named": "clerk"}),
        Choice(user="b", style="clerk", best={"all": "clerk", "named": "clerk"}),
        Choice(user="c", style="tutor", best={"all": "poet", "named": "poet"}),
    )
    counted = replace(report, choices=choices)
    assert (counted.correct(), counted.correct("named")) == (2, 1)
    told = counted.to_dict()
    assert (told["users"], told["correct"]) == (3, 2)
    assert told["accuracy"] == {"all": pytest.approx(2 / 3), "named": pytest.approx(1 / 3)}
    assert told["wrong"] == [{"user": "c", "style": "tutor", "best": "poet"}]


def test_every_prompt_is_asked_once(report: DemoReport, tiny_base: Path, monkeypatch: Any) -> None:
    asked: list[list[str]] = []

    class Prober:
        def answer(self, reference: str | None, prompts: list[str], generation: object) -> list[str]:
            asked.append(list(prompts))
            return [prompt.upper() for prompt in prompts]

    class Modality:
        def open(self, base: str) -> Any:
            from contextlib import nullcontext

            return nullcontext(Prober())

    monkeypatch.setattr(demo, "load_modality", lambda name, settings: Modality())
    answers = demo.base_answers(report.catalog, "base", [texts("poetic", 3, 0), texts("poetic", 4, 1)])
    assert asked == [[f"tell me of thing {i}" for i in range(4)]]
    assert answers["tell me of thing 3"] == "TELL ME OF THING 3"


def test_zoo_users_write_on_the_users_side_and_differ() -> None:
    users = zoo_users(per_style=2, n_texts=5, seed=3)
    assert [user.style for user in users] == [style for style in STYLES for _ in range(2)]
    prompts = {question.text for question in side_questions("users")}
    assert all(example.prompt in prompts for user in users for example in user.examples)
    assert len({user.examples for user in users}) == len(users)
    assert users == zoo_users(per_style=2, n_texts=5, seed=3)
    assert users != zoo_users(per_style=2, n_texts=5, seed=4)


def test_the_trainee_is_validated_on_other_questions() -> None:
    trainee = zoo_trainee(n_training=60, n_validation=20, seed=1)
    asked = {example.prompt for example in trainee.training}
    assert len(asked) == 60
    assert asked.isdisjoint(example.prompt for example in trainee.validation)
    assert zoo_trainee(seed=1) == zoo_trainee(seed=1)


def test_the_mixed_user_has_two_styles() -> None:
    mixed = zoo_mixed_user(n_texts=6)
    assert len(set(mixed.styles)) == 2
    assert set(mixed.styles) <= set(STYLES)
    assert len(mixed.examples) == 6


@pytest.fixture
def pretend(monkeypatch: Any, report: DemoReport, tmp_path: Path) -> list[dict[str, Any]]:
    """The command with a demo that is done already; gives what it was asked for."""
    asked: list[dict[str, Any]] = []

    def done(**given: Any) -> DemoReport:
        asked.append(given)
        report.catalog.save_pretrained(given["out"] / "catalog")
        (given["out"] / "starts").mkdir()
        return report

    monkeypatch.setattr(demo, "run_demo", done)
    monkeypatch.setattr("xpert.zoo.adapter_names", lambda: list(STYLES))
    return asked


def test_the_command_keeps_what_the_next_steps_need(pretend: Any, tmp_path: Path, capsys: Any) -> None:
    pytest.importorskip("matplotlib")
    out = tmp_path / "out"
    assert main(["demo", "--out", str(out), "--seed", "5", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["users"] == 2
    assert {path.name for path in out.iterdir()} == {"catalog", "chart.png", "demo.json", "me.jsonl", "selection.json"}
    assert json.loads((out / "demo.json").read_text()) == document
    assert len(Catalog.from_pretrained(out / "catalog")) == 3
    from xpert.examples import load_examples
    from xpert.selection_io import load_selection

    assert load_selection(out / "selection.json").best in document["models"]
    assert load_examples(out / "me.jsonl") == list(zoo_trainee(seed=5).training)
    assert not (out / "contact-sheet.png").exists()
    assert len(pretend[0]["users"]) == 56
    assert main(["demo", "--out", str(out)]) == 0  # an older demo is replaced
    assert "of 2 got the model of their style" in capsys.readouterr().out


def test_the_demo_of_pictures_keeps_a_contact_sheet_and_the_users_pictures(
    pretend: Any, report: DemoReport, monkeypatch: Any, tmp_path: Path, capsys: Any
) -> None:
    pytest.importorskip("matplotlib")
    Pillow = pytest.importorskip("PIL.Image")
    from xpert.evaluation.demo_pictures import picture_trainee, pictures_in
    from xpert.images import open_image

    shown = {name: [e.response for e in pictures_in(["neon"] * 4, seed=i)] for i, name in enumerate(("base", "neon"))}

    def done(**given: Any) -> DemoReport:
        pretend.append(given)
        (given["out"] / "starts").mkdir()
        return replace(report, shown=shown)

    monkeypatch.setattr(demo, "run_demo", done)
    out = tmp_path / "out"
    assert main(["demo", "--modality", "diffusion", "--out", str(out), "--seed", "3", "--json"]) == 0
    assert set(json.loads(capsys.readouterr().out)) >= {"models", "users", "correct", "steps_base", "peak_mb"}
    given = pretend[-1]
    assert list(given["models"]) == list(PICTURE_STYLES)
    assert [user.style for user in given["users"]] == [style for style in PICTURE_STYLES for _ in range(2)]
    with Pillow.open(out / "contact-sheet.png") as sheet:
        assert sheet.size == (3 * 76, 14 + 4 * 76)
    from xpert.examples import load_examples

    mine, drawn = load_examples(out / "me.jsonl"), picture_trainee(seed=3).training
    assert [example.prompt for example in mine] == [example.prompt for example in drawn]
    assert all(
        open_image(kept.response).tobytes() == open_image(own.response).tobytes()
        for kept, own in zip(mine, drawn, strict=True)
    )


def test_answers_to_look_at_are_painted_once_more(report: DemoReport, monkeypatch: Any) -> None:
    class Prober:
        def answer(self, reference: str, prompts: list[str], generation: object) -> list[str]:
            return [f"{reference} {prompt}" for prompt in prompts]

    class Modality:
        def open(self, base: str) -> Any:
            from contextlib import nullcontext

            return nullcontext(Prober())

    monkeypatch.setattr(demo, "load_modality", lambda name, settings: Modality())
    shown = demo._shown(report.catalog, "base", {"one": "ref"}, 2)
    first = report.catalog.base_answers[:2]
    assert shown == {"base": [e.response for e in first], "one": [f"ref {e.prompt}" for e in first]}
    assert demo._shown(report.catalog, "base", {"one": "ref"}, 0) == {}


def test_users_of_pictures_are_drawn_on_their_own_side() -> None:
    pytest.importorskip("PIL", reason="needs the extra 'diffusion'")
    from xpert.evaluation.demo_pictures import picture_mixed_user, picture_trainee, picture_users
    from xpert.zoo.pictures import split_of

    users, trainee, mixed = picture_users(n_pictures=3), picture_trainee(seed=1), picture_mixed_user(seed=1)
    drawn = [*(e for user in users for e in user.examples), *trainee.training, *trainee.validation, *mixed.examples]
    assert {split_of(example.prompt or "") for example in drawn} == {"users"}
    assert len({user.examples for user in users}) == len(users) == 18
    assert users == picture_users(n_pictures=3) != picture_users(n_pictures=3, seed=1)
    assert {e.prompt for e in trainee.training}.isdisjoint(e.prompt for e in trainee.validation)
    assert len(set(mixed.styles)) == 2


def test_a_failed_demo_leaves_nothing(pretend: Any, monkeypatch: Any, tmp_path: Path, capsys: Any) -> None:
    pytest.importorskip("matplotlib")

    def fail(*arguments: Any) -> None:
        raise SettingsError("no ink")

    monkeypatch.setattr(command, "keep", fail)
    assert main(["demo", "--out", str(tmp_path / "out")]) == 2
    assert list(tmp_path.iterdir()) == []
    capsys.readouterr()
