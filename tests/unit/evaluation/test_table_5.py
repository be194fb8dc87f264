"""Table 5 on the zoo: what is summed over users, which pools are shipped, and that the least data is what is found."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from xpert.errors import ReferenceNotFoundError
from xpert.evaluation.experiments.data_saved import smallest_part
from xpert.evaluation.presets import PRESETS
from xpert.evaluation.starts import StartsReport
from xpert.evaluation.suite import EXPERIMENTS, start_scores, starts
from xpert.evaluation.suite.context import Context
from xpert.references import describe, kind_of
from xpert.zoo import path, pool_names


def row(style: str, *, selected: str, steps: int | None, seconds: float, texts: int | None) -> dict[str, Any]:
    return {
        "style": style,
        "similarity": 90,
        "selected": selected,
        "steps_base": 60,
        "seconds_base": 30.0,
        "steps_selected": steps,
        "seconds_selected": seconds,
        "met_at_start": False,
        "texts": 40,
        "texts_selected": texts,
    }


ROWS = [
    row("a", selected="a", steps=15, seconds=6.0, texts=10),
    row("b", selected="a", steps=45, seconds=24.0, texts=30),
    row("c", selected="c", steps=None, seconds=90.0, texts=None),
]
CHOSEN = {"right": {"all axes": [True, True, False, True]}}


def test_users_who_never_got_there_are_told_and_not_averaged() -> None:
    found = starts._summary(ROWS, 90, CHOSEN)
    assert (found["trainees"], found["trainees_right"], found["got_there"]) == (3, 2, 2)
    assert (found["steps"], found["seconds"]) == (30.0, 15.0)
    assert found["steps_saved"]["mean"] == pytest.approx(0.5)
    assert found["seconds_saved"]["mean"] == pytest.approx(0.5)
    assert found["data_saved"]["mean"] == pytest.approx(0.5)
    assert found["right"]["all axes"]["mean"] == 0.75
    assert found["phone_j"] == pytest.approx(15 * 3.2)
    table = starts._cost(ROWS, [found])
    assert "| the base | - | 3 of 3 | 60 | 30.0 s |" in table
    assert "| selected, s = 90 | 2 of 3 | 2 of 3 | 30 | 15.0 s | 50% (25 to 75) |" in table
    none = starts._summary(ROWS[2:], 90, CHOSEN)
    assert "| selected, s = 90 | 1 of 1 | 0 of 1 | - | - |" in starts._cost(ROWS[2:], [none])
    assert "| c | 90 | c | 60 | - | - | - |" in starts._users(ROWS)


@pytest.mark.parametrize("least", range(1, 9))
def test_the_smallest_part_is_found(least: int) -> None:
    asked: list[int] = []
    assert smallest_part(lambda n: asked.append(n) or n >= least) == least
    assert len(asked) == len(set(asked)) <= 3


def test_pools_are_shipped_at_two_similarities() -> None:
    tiny = PRESETS["tiny"]
    for similarity in tiny.similarities:
        assert pool_names(similarity) == [f"{style}@{similarity}" for style in tiny.styles]
        assert kind_of(f"zoo:{tiny.styles[0]}@{similarity}") == "adapter"
    one, other = (describe(f"zoo:{tiny.styles[0]}@{similarity}").sha256 for similarity in tiny.similarities)
    assert len({one, other, describe(f"zoo:{tiny.styles[0]}").sha256}) == 3
    for name in ("expert-concise-friendly@40", "expert-concise-friendly@x", "nobody@90", "base@90"):
        with pytest.raises(ReferenceNotFoundError, match="unknown zoo model"):
            path(name)


def test_what_is_not_shipped_is_trained_into_the_work_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []
    monkeypatch.setattr(
        starts, "make_pool", lambda base, out, settings, styles: made.append((base, out, settings, styles))
    )
    styles = (PRESETS["tiny"].styles[0], "expert-concise-poetic")
    with Context(preset=replace(PRESETS["tiny"], styles=styles), seed=0, work=tmp_path) as context:
        models = starts.trained_pool(context, 90)
    assert models == {styles[0]: f"zoo:{styles[0]}@90", styles[1]: str(tmp_path / "pools" / "90" / styles[1])}
    ((base, out, settings, missing),) = made
    assert (base, out, settings.similarity, missing) == ("zoo:base", tmp_path / "pools" / "90", 0.9, [styles[1]])


def test_less_data_is_tried_from_the_selected_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[tuple[int, Any]] = []

    class Trainer:
        def fit(self, start: str, examples: Any, **how: Any) -> Any:
            tried.append((len(examples), start))
            return SimpleNamespace(eval_losses=((0, 4.0), (5, 2.0 if len(examples) >= 15 else 3.0)))

    monkeypatch.setattr(starts, "zoo_trainer", lambda _: None)
    monkeypatch.setattr(starts, "replace", lambda *_, **__: Trainer())
    report: Any = SimpleNamespace(steps_selected=5, scratch_steps=60, target_loss=2.5)
    assert isinstance(report, SimpleNamespace)
    assert not isinstance(report, StartsReport)
    with Context(preset=PRESETS["tiny"], seed=0, work=tmp_path) as context:
        trainee = starts.trainees(context)[0]
        needed = starts._texts_needed(context, trainee, 90, trainee.style, report)
        report.steps_selected = None
        assert starts._texts_needed(context, trainee, 90, trainee.style, report) is None
    assert needed == 15
    assert tried == [(n, f"zoo:{trainee.style}@90") for n in (20, 10, 15)]


def test_trainees_are_spread_over_the_styles_and_validate_on_other_questions(tmp_path: Path) -> None:
    with Context(preset=PRESETS["tiny"], seed=0, work=tmp_path) as context:
        found = starts.trainees(context)
    assert len({one.style for one in found}) == PRESETS["tiny"].trainees
    for one in found:
        assert (len(one.training), len(one.validation)) == (40, 20)
        assert not {e.prompt for e in one.training} & {e.prompt for e in one.validation}


def test_scores_are_compared_on_the_same_prompts() -> None:
    pytest.importorskip("sacrebleu", reason="needs the extra 'eval'")
    pytest.importorskip("rouge_score", reason="needs the extra 'eval'")
    wrote = [f"the moon shines over town number {i} tonight" for i in range(12)]
    users = [{"wrote": wrote, "scratch": ["something else altogether here"] * 12, "selected": wrote}]
    assert start_scores._scores(users, "selected").bleu.mean == pytest.approx(100)
    less = start_scores._less_scratch(users)
    assert less.rouge_1.low > 50
    assert "table-6" in EXPERIMENTS
