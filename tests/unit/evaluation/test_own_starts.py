"""Tables 5 and 6 on one's own models: adapters and full models, what is kept, and what is told."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from xpert.errors import SettingsError
from xpert.evaluation.presets import PRESETS
from xpert.evaluation.setting import Setting
from xpert.evaluation.suite.context import Context
from xpert.evaluation.suite.own_starts import own_table_5, own_table_6
from xpert.evaluation.suite.start_tables import OTHER, SELECTED
from xpert.testing.fakes import fake_text
from xpert.trainers.torch import TorchTrainer
from xpert.types import TrainingReport

PRESET = replace(PRESETS["tiny"], styled_texts=2, trainees=2, training_steps=6)


@pytest.fixture
def setting(tmp_path: Path, tiny_base: Path, tiny_adapters: dict[str, Path]) -> Setting:
    """Two adapters and a full model of one base."""
    folder = tmp_path / "mine"
    folder.mkdir()
    models = {name: str(path) for name, path in list(tiny_adapters.items())[:2]}
    full = TorchTrainer(max_steps=2, method="full", eval_fraction=0)
    styles = dict(zip((*models, "whole"), ("friendly", "formal", "poetic"), strict=True))
    for name, style in styles.items():
        rows = [{"prompt": f"tell me of {i}", "response": fake_text(f"tell me of {i}", style)} for i in range(50)]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    from xpert.examples import load_examples

    full.fit(str(tiny_base), load_examples(folder / "whole.jsonl"), out=folder / "full")
    told = {
        "base": str(tiny_base),
        "models": {"whole": "full", **models},
        "users": {name: f"{name}.jsonl" for name in styles},
        "training": {"lr": 5e-3, "max_length": 64, "eval_every": 1},
        "generation": {"max_new_tokens": 8},
    }
    (folder / "pool.json").write_text(json.dumps(told))
    return Setting(data=f"pool:{folder / 'pool.json'}")


def test_both_starts_of_every_user_and_nothing_twice(
    setting: Setting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("sacrebleu", reason="needs the extra 'eval'")
    pytest.importorskip("rouge_score", reason="needs the extra 'eval'")
    trained: list[tuple[Any, ...]] = []
    fit = TorchTrainer.fit

    def noted(self: TorchTrainer, start: Any, examples: Any, **how: Any) -> TrainingReport:
        trained.append((Path(start).name, len(examples), len(how["validation"]), self.lr, self.max_steps))
        return fit(self, start, examples, **how)

    monkeypatch.setattr(TorchTrainer, "fit", noted)
    with Context(preset=setting.fitted(PRESET), seed=0, work=tmp_path / "work", setting=setting) as context:
        found = own_table_5(context)
        own, times = found.rows, len(trained)
        scores = own_table_6(context)
        assert own_table_5(context).rows == own
    assert {(texts, held, lr) for _, texts, held, lr, _ in trained if texts == 30} == {(30, 20, 5e-3)}
    assert len(trained) == times + 4  # both starts of two users are asked for again, which are done
    assert [(row["style"], row["kind"]) for row in own["users"]] == [
        (style, kind)
        for style in ("whole", list(json.loads(_file(setting).read_text())["models"])[1])
        for kind in (SELECTED, OTHER)
    ]
    for row in own["users"]:
        assert row["start"] in context.models
        assert row["kind"] == SELECTED or row["start"] != row["style"]
        assert row["texts"] == 30
        if row["kind"] == SELECTED and row["steps_selected"] is not None:
            assert 0 <= row["texts_selected"] <= 30
    assert "evaluated every step (" in found.tables[0].title
    by_user = found.tables[-1].markdown
    assert by_user.count("(at its start)") == sum(row["met_at_start"] for row in own["users"])
    assert [one["trainees"] for one in own["summaries"]] == [2, 2]
    assert found.charts[0].names == [row["style"] for row in own["users"] if row["kind"] == SELECTED]
    assert set(found.weights) == {"base", "3 models", "zoo:summarizer"}
    for user in scores.rows["answers"]:
        assert len(user["prompts"]) == len(user["wrote"]) == len(user["scratch"]) == len(user["selected"]) == 20
    assert "| selected |" in scores.tables[0].markdown


def test_a_full_model_is_a_start_whose_adapter_answers_over_it(setting: Setting, tmp_path: Path) -> None:
    from xpert.evaluation.suite import own_starts

    with Context(preset=setting.fitted(PRESET), seed=0, work=tmp_path / "work", setting=setting) as context:
        (context.work / "x").mkdir(parents=True)
        user = own_starts._users(context)[0]
        assert user.style == "whole"
        report = own_starts._compared(context, user, "whole")
        told = json.loads((report.out_selected / "adapter_config.json").read_text())
        assert Path(told["base_model_name_or_path"]).name == "full"
        said = own_starts._answers(context, 0, "whole")
    assert len(said["selected"]) == 20


def test_other_data_have_no_such_users(tmp_path: Path) -> None:
    with (
        Context(preset=PRESET, seed=0, work=tmp_path) as context,
        pytest.raises(SettingsError, match="own models: expected --data pool:FILE"),
    ):
        own_table_5(context)


def _file(setting: Setting) -> Path:
    return Path(setting.data.partition(":")[2])
