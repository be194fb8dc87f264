"""Table 5 on the zoo: what is summed over users, which pools are shipped, and that the least data is what is found."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from xpert.errors import ReferenceNotFoundError, SettingsError
from xpert.evaluation.demo_users import phrased
from xpert.evaluation.experiments.data_saved import smallest_part
from xpert.evaluation.presets import PRESETS
from xpert.evaluation.starts import StartsReport
from xpert.evaluation.suite import bases, chosen, start_scores, start_tables, starts
from xpert.evaluation.suite.chosen import EXHAUSTIVE
from xpert.evaluation.suite.context import Context
from xpert.references import describe, kind_of
from xpert.trainers.torch import TorchTrainer
from xpert.zoo import path, pool_names
from xpert.zoo.corpus import STYLES, Side, examples, side_questions, write


def row(
    style: str,
    *,
    start: str,
    steps: int | None,
    seconds: float,
    texts: int | None,
    known_phrases: int = 100,
    kind: str = starts.SELECTED,
) -> dict[str, Any]:
    return {
        "style": style,
        "known_phrases": known_phrases,
        "similarity": 90,
        "kind": kind,
        "start": start,
        "steps_base": 60,
        "seconds_base": 30.0,
        "steps_selected": steps,
        "seconds_selected": seconds,
        "met_at_start": steps == 1,
        "scratch_steps": 66,
        "texts": 40,
        "texts_selected": texts,
    }


SIDES: tuple[Side, ...] = ("models", "users")
ROWS = [
    row("a", start="a", steps=15, seconds=6.0, texts=10),
    row("b", start="a", steps=45, seconds=24.0, texts=30),
    row("c", start="c", steps=None, seconds=90.0, texts=None),
]
OTHERS = [
    row("a", start="a", steps=1, seconds=0.5, texts=0, known_phrases=0),
    row("a", start="b", steps=30, seconds=15.0, texts=None, kind="another style's"),
]


def test_users_who_never_got_there_are_told_and_not_averaged() -> None:
    found = starts._summary([*ROWS, *OTHERS], 100, 90, starts.SELECTED)
    assert (found["trainees"], found["trainees_right"], found["got_there"], found["met_at_start"]) == (3, 2, 2, 0)
    assert (found["steps"], found["seconds"]) == (30.0, 15.0)
    assert found["steps_saved"]["mean"] == pytest.approx(0.5)
    assert found["seconds_saved"]["mean"] == pytest.approx(0.5)
    assert found["data_saved"]["mean"] == pytest.approx(0.5)
    assert found["phone_j"] == pytest.approx(15 * 3.2)
    table = start_tables.cost_table(ROWS, [found])
    assert "| 100% | the base | - | 3 of 3 | - | 60 | 30.0 s |" in table
    assert "| 100% | selected, s = 90 | 2 of 3 | 2 of 3 | 0 of 3 | 30 | 15.0 s | 50% (25 to 75) |" in table
    none = starts._summary(ROWS[2:], 100, 90, starts.SELECTED)
    assert "| 100% | selected, s = 90 | 1 of 1 | 0 of 1 | 0 of 1 | - | - |" in start_tables.cost_table(ROWS[2:], [none])
    assert "| c | 100% | 90 | c | 60 | - | - | - |" in start_tables.users_table(ROWS)


def test_users_of_other_phrases_and_other_starts_are_told_apart() -> None:
    rows = [*ROWS, *OTHERS]
    unknown = starts._summary(rows, 0, 90, starts.SELECTED)
    assert (unknown["steps"], unknown["met_at_start"], unknown["data_saved"]["mean"]) == (1.0, 1, 1.0)
    other = starts._summary(rows, 100, 90, "another style's")
    assert (other["trainees"], other["trainees_right"], other["steps"], other["data_saved"]) == (1, 0, 30.0, None)
    table = start_tables.cost_table(rows, [unknown, other]).splitlines()
    assert len(table) == 2 + 4
    assert sum(line.startswith("| 0% | the base | - | 1 of 1 |") for line in table) == 1
    assert any(line.startswith("| 100% | another style's, s = 90 | 0 of 1 | 1 of 1 |") for line in table)
    assert "| a | 0% | 90 | a | 60 | 1 (at its start) |" in start_tables.users_table(rows)


def test_the_control_is_compared_on_the_same_users_and_with_the_same_bound() -> None:
    rows = [
        row("a", start="a", steps=90, seconds=9.0, texts=40),
        row("a", start="b", steps=30, seconds=3.0, texts=None, kind="another style's"),
        row("b", start="b", steps=6, seconds=1.0, texts=10),
        row("b", start="a", steps=None, seconds=6.6, texts=None, kind="another style's"),
    ]
    found = starts._against_another(rows, 100, 90)
    assert found["saved"][starts.SELECTED]["mean"] == pytest.approx((-0.1 + 0.9) / 2)
    assert found["saved"]["another style's"]["mean"] == pytest.approx((0.5 - 0.1) / 2)
    assert (found["difference"]["low"], found["difference"]["high"]) == (pytest.approx(-0.6), pytest.approx(1.0))
    assert (
        "| 100% | s = 90 | 40% (-10 to 90) | 20% (-10 to 50) | 20.0 (-60.0 to 100.0) |"
        in start_tables.differences_table([found])
    )


def test_the_control_trains_no_longer_than_scratch_did(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[Any, ...]] = []

    def fit(self: TorchTrainer, start: str, examples: Any, **how: Any) -> Any:
        asked.append((self.max_steps, self.eval_every, self.target_loss, start, len(examples), how["out"].name))
        losses = ((0, 4.0), (1, 3.0), (2, 2.4))
        return SimpleNamespace(eval_losses=losses, seconds=9.0, details={"eval_seconds": [0.0, 1.0, 2.0]})

    monkeypatch.setattr(TorchTrainer, "fit", fit)
    with Context(preset=PRESETS["tiny"], seed=0, work=tmp_path) as context:
        trainee = chosen.trainees(context, 100)[0]
        found = starts._from_another(context, trainee, 90, report_of(tmp_path))
        other, mark = chosen.other_style(context, trainee), chosen.pool_mark(context, 90)
    assert asked == [(60, 1, 2.5, f"zoo:{other}@90", 40, f"other-90-{mark}")]
    assert (found["start"], found["steps_selected"], found["seconds_selected"]) == (other, 2, 2.0)
    assert (found["kind"], found["met_at_start"], found["texts_selected"]) == ("another style's", False, None)


def report_of(folder: Path) -> StartsReport:
    return StartsReport(
        steps_base=50,
        steps_selected=5,
        seconds_base=1.0,
        seconds_selected=0.1,
        target_loss=2.5,
        met_at_start=False,
        eval_every=1,
        interval_share=0.02,
        scratch_steps=60,
        scratch_stopped_by="no_improvement",
        curve_base=(),
        curve_selected=(),
        out_base=folder,
        out_selected=folder,
    )


def test_the_right_model_stands_beside_exhaustive_searchs_on_the_same_users() -> None:
    right = {"all axes": [True, True, False, True], EXHAUSTIVE: [False, True]}
    found = chosen.summarized(100, 90, right)
    assert found["right"]["all axes"]["mean"] == 0.75
    assert (found["less_exhaustive"]["mean"], found["less_exhaustive"]["n"]) == (0.5, 2)
    assert (
        "| 100% | s = 90 | 75% (25 to 100) | 50% (0 to 100) | 4 | 50.0 (0.0 to 100.0) | 2 |"
        in start_tables.accuracy_table([found])
    )


def test_other_bases_stand_beside_the_zoos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "zoo" / "base-qwen2"
    shutil.copytree(path("base"), folder)
    made: list[Any] = []

    def make(base: str, out: Path, _settings: Any, styles: list[str]) -> None:
        made.append((base, out.name, *styles))
        shutil.copytree(path(styles[0]), out / styles[0])

    monkeypatch.setattr(chosen, "make_pool", make)
    asked: list[tuple[str, float]] = []
    monkeypatch.setattr(Context, "said_by_base", lambda _self, _users, base, how: asked.append((base, how.temperature)))
    monkeypatch.setattr(chosen, "_selectors", lambda _context, base, models: (base, models))
    selected = {"right": {"all axes": [True, False], EXHAUSTIVE: [True]}, "trainees": {}}
    monkeypatch.setattr(chosen, "_selected_from", lambda *_: selected)

    def right(_context: Context, base: str, models: Any, selectors: Any, **place: int) -> dict[str, list[bool]]:
        assert selectors == (base, models)
        return {"all axes": [True, place["known_phrases"] == 100], EXHAUSTIVE: [True]}

    monkeypatch.setattr(chosen, "_right", right)
    assert chosen.other_bases(tmp_path) == ({"qwen2": str(folder)}, ["smollm"])
    with Context(preset=PRESETS["tiny"], seed=0, work=tmp_path) as context:
        rows = chosen.rights_by_base(context)
        assert chosen.rights_by_base(context) == rows
        qwen2 = [(str(folder), 1.0)] * 2
        assert asked == qwen2
        (table,) = bases.table_5_bases(context).tables
    mark = describe(str(folder)).sha256[:8]  # adapters of a base that is made anew are not taken
    pools = [f"qwen2-{mark}-50", f"qwen2-{mark}-90"]
    assert made == [(str(folder), pool, style) for pool in pools for style in PRESETS["tiny"].styles]
    assert [(row["known_phrases"], row["similarity"]) for row in rows] == [(100, 50), (100, 90), (0, 50), (0, 90)]
    assert table.title.endswith("; left out, as not made: smollm")
    told = table.markdown.splitlines()
    assert told[0].startswith(
        "| known phrases | pool | llama | llama, exhaustive search | llama, difference in points | qwen2 |"
    )
    llama = " 50% (0 to 100) | 100% (100 to 100) | 0.0 (0.0 to 0.0) |"
    assert told[2] == "| 100% | s = 50 |" + llama + " 100% (100 to 100) | 100% (100 to 100) | 0.0 (0.0 to 0.0) |"
    assert told[5] == "| 0% | s = 90 |" + 2 * llama
    for preset in PRESETS.values():
        assert set(preset.by_base) <= set(preset.similarities)


def test_table_6_asks_scratch_once_a_user_and_each_selected_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("sacrebleu", reason="needs the extra 'eval'")
    pytest.importorskip("rouge_score", reason="needs the extra 'eval'")
    asked: list[str] = []

    class Prober:
        def __enter__(self) -> Prober:
            return self

        def __exit__(self, *_: object) -> None: ...

        def answer(self, model: str, prompts: list[str], how: Any) -> list[str]:
            asked.append(Path(model).name)
            return [f"{Path(model).name} says of {prompt}" for prompt in prompts]

    monkeypatch.setattr(start_scores, "load_modality", lambda _name: SimpleNamespace(open=lambda _base: Prober()))
    monkeypatch.setattr(start_scores, "selections", lambda _context: {})
    monkeypatch.setattr(
        start_scores, "selected_from", lambda context, *_: {"trainees": {s: s for s in context.preset.styles}}
    )
    monkeypatch.setattr(
        start_scores,
        "compared",
        lambda _context, trainee, s, name: replace(
            report_of(tmp_path), out_base=tmp_path / "scratch", out_selected=tmp_path / f"from-{s}-{name}"
        ),
    )
    preset = replace(PRESETS["tiny"], trainees=2, known_phrases=(100,))
    with Context(preset=preset, seed=0, work=tmp_path) as context:
        found = start_scores.table_6(context)
        users = [one.style for one in chosen.trainees(context, 100)]
        assert start_scores.table_6(context).rows == found.rows  # what was answered is kept
    assert asked == [name for user in users for name in ("scratch", f"from-90-{user}", f"from-50-{user}")]
    assert [row["start"] for row in found.rows["rows"]] == ["scratch", "selected, s = 50", "selected, s = 90"]
    assert [row["style"] for row in found.rows["answers"]] == users
    for row in found.rows["answers"]:
        assert row["scratch"] == [f"scratch says of {prompt}" for prompt in row["prompts"]]
        for similarity, said in row["selected"].items():
            assert said == [f"from-{similarity}-{row['style']} says of {prompt}" for prompt in row["prompts"]]


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
        chosen, "make_pool", lambda base, out, settings, styles: made.append((base, out, settings, styles))
    )
    styles = (PRESETS["tiny"].styles[0], "expert-concise-poetic")
    with Context(preset=replace(PRESETS["tiny"], styles=styles), seed=0, work=tmp_path) as context:
        models = chosen.trained_pool(context, 90)
    assert models == {styles[0]: f"zoo:{styles[0]}@90", styles[1]: str(tmp_path / "pools" / "90" / styles[1])}
    ((base, out, settings, missing),) = made
    assert (base, out, settings.similarity, missing) == ("zoo:base", tmp_path / "pools" / "90", 0.9, [styles[1]])


@pytest.mark.slow
def test_models_of_a_pool_are_trained_in_several_workers_and_once(tmp_path: Path) -> None:
    styles = ("expert-concise-poetic", "elementary-concise-poetic")  # of which none is shipped at 90
    with Context(preset=replace(PRESETS["tiny"], styles=styles), seed=0, work=tmp_path, workers=2) as context:
        models = chosen.trained_pool(context, 90)
        assert context.processes == 2
        assert [kind_of(model) for model in models.values()] == ["adapter", "adapter"]
        assert len({describe(model).sha256 for model in models.values()}) == 2
        before = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("adapter_model.safetensors")}
        assert len(before) == 2
        assert chosen.trained_pool(context, 90) == models
    assert {file: file.stat().st_mtime_ns for file in before} == before


def test_less_data_is_tried_from_the_selected_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[tuple[Any, ...]] = []

    def fit(self: TorchTrainer, start: str, examples: Any, **how: Any) -> Any:
        tried.append((len(examples), start, self.max_steps, self.target_loss, self.eval_every))
        return SimpleNamespace(eval_losses=((0, 4.0), (5, 2.0 if len(examples) >= 15 else 3.0)))

    monkeypatch.setattr(TorchTrainer, "fit", fit)
    report = report_of(tmp_path)
    with Context(preset=PRESETS["tiny"], seed=0, work=tmp_path) as context:
        trainee = chosen.trainees(context, 0)[0]
        needed = starts._texts_needed(context, trainee, 90, trainee.style, report)
        never, at_once = replace(report, steps_selected=None), replace(report, met_at_start=True)
        assert starts._texts_needed(context, trainee, 90, trainee.style, never) is None
        assert starts._texts_needed(context, trainee, 90, trainee.style, at_once) == 0
    assert needed == 15
    assert tried == [(n, f"zoo:{trainee.style}@90", 60, 2.5, 4) for n in (20, 10, 15)]  # and not every step


def test_trainees_are_spread_over_the_styles_and_validate_on_other_questions(tmp_path: Path) -> None:
    with Context(preset=PRESETS["tiny"], seed=0, work=tmp_path) as context:
        found = chosen.trainees(context, 0)
        assert len({one.style for one in found}) == PRESETS["tiny"].trainees
        for one in found:
            assert (len(one.training), len(one.validation)) == (40, 20)
            assert not {e.prompt for e in one.training} & {e.prompt for e in one.validation}
            assert chosen.other_style(context, one) in set(context.preset.styles) - {one.style}
        assert len({e.prompt for one in found for e in one.validation}) > 20
        known = chosen.trainees(context, 100)
        assert [e.prompt for one in known for e in one.training] == [e.prompt for one in found for e in one.training]
        folders = {chosen.trainee_folder(context, one) for one in [*found, *known]}
        assert len(folders) == 2 * len(found)


def test_so_many_texts_are_in_phrases_that_models_know() -> None:
    style = "expert-concise-friendly"
    unknown, half, known = (phrased(style, 40, 7, known_phrases=percent) for percent in (0, 50, 100))
    assert unknown == examples(STYLES[style], side="users", n=40, seed=7)
    assert [e.prompt for e in unknown] == [e.prompt for e in half] == [e.prompt for e in known]
    assert sum(a == b for a, b in zip(half, unknown, strict=True)) == 20
    assert sum(a == b for a, b in zip(half, known, strict=True)) == 20
    assert not any(a == b for a, b in zip(known, unknown, strict=True))
    with pytest.raises(SettingsError, match="known_phrases: expected 0 to 100 percent, got 250"):
        phrased(style, 4, 7, known_phrases=250)


def test_the_same_question_is_answered_in_the_other_halfs_phrases() -> None:
    style, questions = STYLES["expert-concise-friendly"], {one.text: one for one in side_questions("users")}
    for half in SIDES:
        found = examples(style, side="users", n=40, seed=7, phrases=half)
        seeds = [7 * 1_000_003 + i for i in range(40)]
        assert [e.response for e in found] == [
            write(questions[str(e.prompt)], style, side=half, seed=seed) for e, seed in zip(found, seeds, strict=True)
        ]


def test_who_tells_the_fact_is_counted_by_the_questions_key_words() -> None:
    first, second = side_questions("users")[:2]
    users = [
        {"prompts": [first.text, second.text], "selected": [" ".join(first.keywords).upper(), "who knows"]},
        {"prompts": [first.text], "selected": [first.keywords[0]]},
    ]
    assert start_scores._facts(users, "selected") == pytest.approx(1 / 3)


def test_scores_are_compared_on_the_same_prompts() -> None:
    pytest.importorskip("sacrebleu", reason="needs the extra 'eval'")
    pytest.importorskip("rouge_score", reason="needs the extra 'eval'")
    wrote = [f"the moon shines over town number {i} tonight" for i in range(12)]
    users = [{"wrote": wrote, "scratch": ["something else altogether here"] * 12, "selected": wrote}]
    assert start_scores._scores(users, "selected").bleu.mean == pytest.approx(100)
    less = start_scores._less_scratch(users)
    assert less.rouge_1.low > 50


def test_scores_are_drawn_against_the_similarity() -> None:
    def less(points: float) -> dict[str, Any]:
        return {
            name: {"mean": points, "low": points - 1, "high": points + 1} for name in ("bleu", "rouge_1", "rouge_l")
        }

    rows = [
        {"known_phrases": 100, "less_scratch": None},
        {"known_phrases": 100, "similarity": 50, "less_scratch": less(-2.0)},
        {"known_phrases": 100, "similarity": 90, "less_scratch": less(1.0)},
        {"known_phrases": 0, "similarity": 90, "less_scratch": less(-5.0)},
    ]
    bleu, *rouge = start_scores._chart(rows, 100).series
    assert (bleu.name, bleu.x, bleu.y, bleu.low, bleu.high) == ("BLEU", [50, 90], [-2, 1], [-3, 0], [-1, 2])
    assert [line.name for line in rouge] == ["ROUGE-1", "ROUGE-L"]
