"""The experiments' own sums on planted rows; and all of them, at a size of minutes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from xpert.evaluation.methods import XpertMethod, device_bytes
from xpert.evaluation.presets import PRESETS, RandomShape
from xpert.evaluation.results import read_result
from xpert.evaluation.running import result_file, run_experiments
from xpert.evaluation.suite import EXPERIMENTS, cost_tables, costs, graded
from xpert.evaluation.suite import accuracy as accuracy_module
from xpert.evaluation.suite.context import Context
from xpert.evaluation.suite.weights import weights_of
from xpert.explainer import Explainer
from xpert.references import describe, resolve
from xpert.testing.checks_selection import check_costed_method
from xpert.testing.fakes import FakeSummarizer
from xpert.types import Example


def cost(seconds: float, inferences: int = 0, joules: float | None = None) -> dict[str, Any]:
    energy = [] if joules is None else [{"joules": joules, "kind": "estimated", "source": "a phone"}]
    counted = {"downloaded_bytes": 2_000_000, "models": 1, "inferences": inferences, "readings": 5}
    return {**counted, "seconds": seconds, "energy": energy}


def row(method: str, user: str, best: str, seconds: float, inferences: int = 0) -> dict[str, Any]:
    told = {"method": method, "models": 4, "user": user, "style": "poetic", "best": best, "why": []}
    told |= {"best_style": best.partition(" x ")[0], "processor_s": 2 * seconds}
    return {**told, "cost": cost(seconds, inferences, 3.2 * seconds)}


ROWS = [
    row(cost_tables.XPERT, "a", "poetic", 0.1),
    row(cost_tables.XPERT, "b", "poetic x 0.8", 0.3),
    row(cost_tables.EXHAUSTIVE, "a", "poetic", 1.0, 200),
    row(cost_tables.EXHAUSTIVE, "b", "formal", 3.0, 200),
]


def test_costs_are_summed_over_users_and_laid_beside_exhaustive_search() -> None:
    ours = cost_tables._summary(ROWS, cost_tables.XPERT, 4)
    theirs = cost_tables._summary(ROWS, cost_tables.EXHAUSTIVE, 4)
    assert (ours["right"]["mean"], theirs["right"]["mean"]) == (1.0, 0.5)
    assert ours["against_exhaustive"]["mean"] == 0.5
    assert (ours["seconds"], ours["of_exhaustive"]) == pytest.approx((0.2, 0.1))
    assert ours["seconds_range"] == [0.1, 0.3]
    assert theirs["mean_inferences"] == 200
    assert ours["measured_j"] is None
    assert ours["phone_j"] == pytest.approx(0.64)
    table = cost_tables.costs_table([ours, theirs], 4)
    assert (
        "| xpert | 100.0% (100.0% to 100.0%) | 50.0 (0.0 to 100.0) | 2.00 MB | 1.0 | 0 | 5 | 0.200 s | 0.400 s | 10.0% | 0.64 J |"
        in table
    )
    assert "energy, measured" not in table
    measured = cost_tables.costs_table([{**ours, "measured_j": 1.25}, theirs], 4)
    assert "| energy, measured |" in measured.splitlines()[0]
    assert measured.splitlines()[2].endswith("| 0.64 J | 1.25 J |")
    assert measured.splitlines()[3].endswith(" J | - |")
    other_size = {**ours, "models": 8, "processor_s": 0.6}
    assert "| xpert | 0.400 | 0.600 | 1.50 |" in cost_tables.growth_table([ours, other_size])


def test_what_methods_say_of_the_first_users_choice_in_the_largest_pool_is_told() -> None:
    told = [
        {**ROWS[0], "why": ["poetic is nearest.", "It rhymes."]},
        {**ROWS[2], "why": []},
        {**ROWS[3], "why": ["not this user's"]},
        {**ROWS[0], "models": 2, "why": ["not this pool's"]},
    ]
    assert cost_tables.why_table(told).splitlines()[2:] == [
        "| xpert | poetic | poetic is nearest. It rhymes. |",
        "| exhaustive search | poetic | nothing |",
    ]


def test_processor_seconds_that_hold_the_servers_work_are_not_told() -> None:
    encoder = [costs._timed({**one, "method": cost_tables.ENCODER}) for one in ROWS[:2]]
    assert [one["processor_s"] for one in encoder] == [None, None]
    assert costs._timed(ROWS[0]) == ROWS[0]
    told = cost_tables._summary([*encoder, *ROWS[2:]], cost_tables.ENCODER, 4)
    assert (told["processor_s"], told["of_exhaustive"]) == (None, None)
    assert "| 0.200 s | - | - |" in cost_tables.costs_table([told], 4)


def test_accuracy_rows_are_paired_by_user() -> None:
    ours, other = "xpert, all axes", "encoder similarity (MiniLM)"
    cells = [
        {"seed": seed, "similarity": 50, "right": {ours: [True, True], other: [seed == 0, False]}} for seed in (0, 1)
    ]
    found = {one["method"]: one for one in accuracy_module._rows(cells, 50)}
    assert (found[ours]["right"]["mean"], found[ours]["right"]["n"]) == (1.0, 4)
    assert found[other]["right"]["mean"] == 0.25
    assert found[other]["all_axes_less_this"]["mean"] == 0.75
    assert found[ours]["all_axes_less_this"]["high"] == 0.0


def test_xpert_with_its_cost_keeps_the_contract(tiny_base: Path, tiny_adapters: dict[str, Path]) -> None:
    models = {name: str(path) for name, path in tiny_adapters.items()}
    catalog = Explainer(str(tiny_base), FakeSummarizer(), n_prompts=8, cache=None).explain(models)
    mine = [Example(prompt=f"tell me of {i}", response=f"well, it is {i}") for i in range(5)]
    found = check_costed_method(lambda: XpertMethod(catalog, FakeSummarizer(), models), mine, list(models))
    assert found.cost.inferences == 0
    assert found.cost.downloaded_bytes == device_bytes(catalog) + describe(models[found.selection.best]).bytes
    assert device_bytes(catalog) > 1000


def test_distances_of_graded_styles_are_kept_by_half_and_summarizer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, int]] = []

    def distances(context: Context, half: str, number: int) -> dict[str, list[dict[str, Any]]]:
        asked.append((half, number))
        far = 1.0 + number + (half == "users")

        def rows(bend: float) -> list[dict[str, Any]]:
            return [
                {
                    "scale": scale,
                    "level": level,
                    "distances": [far * abs(level - other) ** bend for other in range(1, 5)],
                }
                for scale in graded._scales()
                for level in range(1, 5)
            ]

        return {"projection": rows(1.0), "least-squares": rows(0.0)}

    monkeypatch.setattr(graded, "_distances", distances)
    monkeypatch.setattr(graded, "_asked", lambda *_: None)
    with Context(preset=MINI, seed=0, work=tmp_path) as context:
        first, again = graded.figure_15(context), graded.figure_15(context)
    assert sorted(asked) == [("models", 0), ("models", 1), ("users", 0), ("users", 1)]
    assert again.rows == first.rows
    unseen = {row["coefficients"]: row["rows"] for row in first.rows[-2:]}
    assert (first.rows[-1]["phrases"], first.rows[-1]["summarizer"]) == (graded.PHRASES["users"], "encoder:minilm")
    assert unseen["projection"][0]["distances"] == (0.0, 3.0, 6.0, 9.0)
    assert unseen["least-squares"][0]["distances"] == (3.0, 3.0, 3.0, 3.0)
    assert "| phrases that they never saw | encoder:minilm | 8 of 8 | 0 of 8 |" in first.tables[0].markdown
    assert "grow with the gap in 8 of 8 rows" in first.tables[1].title
    assert len(first.tables) == 5


def test_weights_are_those_of_base_models_and_summarizer(tmp_path: Path) -> None:
    with Context(preset=MINI, seed=0, work=tmp_path) as context:
        told, fewer = context.weights(), context.weights(list(context.models.values())[:3])
    assert list(told) == ["base", "4 models", "zoo:summarizer"]
    assert list(fewer) == ["base", "3 models", "zoo:summarizer"]
    assert told["4 models"] != fewer["3 models"]
    for name, reference in (("base", "zoo:base"), ("zoo:summarizer", "zoo:summarizer")):
        assert describe(reference).sha256.startswith(told[name])
    assert weights_of(summarizers=["encoder:minilm", f"hf:{resolve('zoo:summarizer')}"]) == {
        "summarizer": told["zoo:summarizer"]
    }


def test_distances_are_kept_by_who_computed_them(tmp_path: Path) -> None:
    with Context(preset=MINI, seed=3, work=tmp_path) as context:
        file = graded._file(context, "users", 1)
    assert file.name.startswith("users-1-50-3-")
    assert describe("zoo:summarizer").sha256[:12] in file.name


MINI = replace(
    PRESETS["tiny"],
    styles=PRESETS["tiny"].styles[:4],
    draws=1,
    users_a_style=1,
    recorded_prompts=50,
    similarities=(90,),
    pool_sizes=(2, 5),
    cost_users=2,
    streamed_shape=RandomShape(
        name="mini",
        vocab_size=4096,
        hidden_size=64,
        intermediate_size=128,
        layers=3,
        heads=4,
        key_value_heads=2,
    ),
    streamed_questions=(1, 3),
    domain_prompts=(24, 20, 20),
    styled_texts=2,
    orders=2,
    samples=(20,),
    tuned_words=3,
    tuning_steps=4,
    trainees=1,
    known_phrases=(100, 0),
    searching_users=1,
    training_steps=3,
)


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("work")


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, one in EXPERIMENTS.items() if one.function])
def test_every_experiment_runs(name: str, work: Path, tmp_path: Path) -> None:
    for package, extra in EXPERIMENTS[name].needs.items():
        pytest.importorskip(package, reason=f"needs the extra '{extra}'")
    (result,) = run_experiments([EXPERIMENTS[name]], MINI, out=tmp_path, work=work)
    assert read_result(result_file(tmp_path, name)).tables == result.tables
    assert result.tables
    assert result.rows
    if name == "table-7":
        users = result.rows["users"]
        assert {row["cost"]["inferences"] for row in users if row["method"] == cost_tables.EXHAUSTIVE} == {100, 250}
        assert {row["cost"]["inferences"] for row in users if row["method"] == cost_tables.XPERT} == {0}
        assert all(row["best"] == row["style"] for row in users if row["method"] == "oracle")
        assert len({row["user"] for row in users}) == 2
        assert {one["models"] for one in result.rows["catalogs"].values()} == {2, 5}
