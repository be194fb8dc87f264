"""Table 5 of the preset ``paper`` on tiny models: the whole of it, and what of an earlier run is used again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from xpert.errors import SettingsError
from xpert.evaluation.presets import PRESETS, Preset, TrainedPools
from xpert.evaluation.results import Result
from xpert.evaluation.running import PAGE, run_experiments
from xpert.evaluation.setting import USUAL, Setting
from xpert.evaluation.suite import EXPERIMENTS, trained
from xpert.evaluation.suite.context import Context
from xpert.evaluation.suite.trained_pools import TrainedPool
from xpert.references import describe
from xpert.testing.fakes import FakeSummarizer
from xpert.testing.tiny import tiny_causal_lm

Run = Callable[..., Result]
SUMMARIZER = "fake:summarizer"


def _preset(bases: list[str]) -> Preset:
    pools = TrainedPools(
        bases=tuple(bases),
        summarizer=SUMMARIZER,
        data="hub",
        training=16,
        steps=12,
        batch_size=4,
        max_length=64,
        prompts=6,
        new_tokens=8,
        device="cpu",
    )
    return replace(PRESETS["paper"], pools=pools, similarities=(90,), users_a_style=1)


def _other(preset: Preset, **pools: Any) -> Preset:
    assert preset.pools is not None
    return replace(preset, pools=replace(preset.pools, **pools))


@pytest.fixture
def run(tmp_path: Path, answers_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs Table 5 for another result, with what earlier runs kept in ``work``."""
    pytest.importorskip("datasets", reason="needs the extra 'eval'")
    monkeypatch.setattr(Context, "loaded", lambda self, _: FakeSummarizer())

    def made(preset: Preset, data: str | None = None, summarizer: str = SUMMARIZER) -> Result:
        shutil.rmtree(tmp_path / "out", ignore_errors=True)
        setting = Setting(data=data or str(answers_folder), summarizer=summarizer)
        paths: dict[str, Any] = {"out": tmp_path / "out", "work": tmp_path / "work"}
        (result,) = run_experiments([EXPERIMENTS["table-5"]], preset, setting=setting, **paths)
        return result

    return made


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Pools of the cells that are not kept yet; nothing is trained."""
    pools: list[str] = []

    def selected(_: Context, pool: TrainedPool, *__: Any) -> dict[str, Any]:
        pools.append(pool.mark)
        return {"right": {"all": [True]}, "last_loss": 1.0}

    monkeypatch.setattr(trained, "_selected", selected)
    monkeypatch.setattr(trained, "AXES_TOLD", {"all": "all"})
    return pools


def test_the_preset_runs_through_on_three_tiny_architectures(run: Run, tmp_path: Path) -> None:
    bases = [
        str(tiny_causal_lm(tmp_path / f"{family}-base", architecture=family)) for family in ("llama", "qwen2", "smollm")
    ]
    result = run(_preset(bases))
    assert [cell["base"] for cell in result.rows["cells"]] == bases
    assert {row["base"] for row in result.rows["summaries"]} == {"llama-base", "qwen2-base", "smollm-base"}
    assert {row["right"]["n"] for row in result.rows["summaries"]} == {2}
    assert result.manifest["weights"] == {Path(base).name: describe(base).sha256[:12] for base in bases}
    adapters = sorted((tmp_path / "work" / "trained").rglob("adapter_config.json"))
    assert [file.parent.name for file in adapters] == ["formal", "friendly"] * 3
    for file in adapters:
        first, last = json.loads(file.parent.with_suffix(".json").read_text())
        assert last < first
    assert "llama-base" in (tmp_path / "out" / PAGE).read_text()


def test_another_summarizer_trains_nothing_and_the_base_answers_users_once(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    load = trained.load_modality
    monkeypatch.setattr(trained, "load_modality", lambda name: (asked.append(name), load(name))[1])
    preset = replace(_preset([str(tiny_causal_lm(tmp_path / "base"))]), similarities=(90, 50))
    result = run(preset)
    assert len(asked) == 1
    work = tmp_path / "work" / "trained"
    adapters = {file: file.stat().st_mtime_ns for file in work.rglob("adapter_config.json")}
    assert len(adapters) == 4
    other = run(preset, summarizer="fake:other")
    assert len(list((work / "cells").iterdir())) == 4
    assert other.rows["summaries"] == result.rows["summaries"]
    shutil.rmtree(work / "cells")
    assert run(preset).rows == result.rows
    assert len(asked) == 1
    assert {file: file.stat().st_mtime_ns for file in work.rglob("adapter_config.json")} == adapters


def test_other_texts_and_sizes_are_other_cells(run: Run, made: list[str], answers_folder: Path, tmp_path: Path) -> None:
    usual = _preset([str(tiny_causal_lm(tmp_path / "base"))])
    learned = {"training": 12, "batch_size": 8, "max_length": 32, "steps": 6}
    asked = {"prompts": 5, "new_tokens": 9}
    others = [_other(usual, **{name: value}) for name, value in (learned | asked).items()]
    presets = [usual, *others, replace(usual, styled_texts=3), replace(usual, similarities=(50,))]
    for preset in [*presets, *presets]:
        run(preset)
    assert len(made) == len(presets)
    assert len({json.dumps(EXPERIMENTS["table-5"].spec(preset)) for preset in presets}) == len(presets)
    assert len(set(made)) == 2 + len(
        learned
    )  # models learn nothing of the prompts, the answers' length, and the words' texts
    run(usual, summarizer="fake:other")
    assert made[len(presets) :] == made[:1]
    for file in answers_folder.glob("*.jsonl"):
        file.write_text(file.read_text().replace("is", "was"))
    run(usual)
    assert made[-1] not in made[:-1]


def test_users_alone_are_another_cell_of_the_same_models(
    run: Run, made: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = _preset([str(tiny_causal_lm(tmp_path / "base"))])
    run(usual)
    drawn = trained.drawn_answers

    def fewer(*arguments: Any, **options: Any) -> Any:
        draw = drawn(*arguments, **options)
        return replace(draw, users=draw.users[1:])

    monkeypatch.setattr(trained, "drawn_answers", fewer)
    run(usual)
    assert len(made) == 2
    assert made[0] == made[1]


def test_bases_of_one_name_are_told_apart(run: Run, made: list[str], tmp_path: Path) -> None:
    one, other = (str(tiny_causal_lm(tmp_path / place / "base", seed=seed)) for seed, place in enumerate("ab"))
    found = run(_preset([one, other]))
    assert len(set(made)) == 2
    assert [row["base"] for row in found.rows["summaries"]] == [one, other]
    shutil.rmtree(one)
    tiny_causal_lm(one, seed=5)
    run(_preset([one, other]))
    assert len(set(made)) == len(made) == 3


def test_data_sets_of_the_hub_are_read_once(run: Run, made: list[str], hub_reads: list[str], tmp_path: Path) -> None:
    usual = _preset([str(tiny_causal_lm(tmp_path / "base"))])
    found = run(usual, data="hub:alpaca,finance,lyrics,poetry")
    assert len(hub_reads) == 3
    assert found.spec["data"] == "hub:alpaca,finance,lyrics,poetry"
    assert found.stem == "table-5-on-hub-alpaca-finance-lyrics-poetry-by-fake-summarizer"
    hub_reads.clear()
    run(usual, data="hub:alpaca,finance,lyrics,poetry")
    shutil.rmtree(tmp_path / "work" / "trained")
    run(replace(usual, draws=2), data="hub:alpaca,finance,lyrics,poetry")
    assert not hub_reads
    assert len(made) == 3


def test_the_zoo_is_refused_before_any_work(run: Run, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="table-5 cannot run on zoo: the preset paper expects data hub, "):
        run(_preset(["nowhere"]), data=USUAL.data)
    assert not (tmp_path / "work").exists()
