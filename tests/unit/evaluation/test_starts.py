from __future__ import annotations

import json
from pathlib import Path

import pytest

from xpert.errors import DataError
from xpert.evaluation.starts import PATIENCE, SLACK, StartsReport, compare_starts
from xpert.trainers.torch import TorchTrainer
from xpert.types import Example

DATA = [Example(prompt=f"tell me {i}", response=f"the quick brown fox {i} jumps over the lazy dog") for i in range(24)]
TRAINER = TorchTrainer(max_steps=120, lr=1e-2, batch_size=4, eval_every=2)


@pytest.fixture(scope="module")
def compared(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> StartsReport:
    tmp = tmp_path_factory.mktemp("starts")
    TorchTrainer(max_steps=20, lr=1e-2, batch_size=4).fit(tiny_base, DATA[:8], out=tmp / "selected")
    return compare_starts(tiny_base, tmp / "selected", DATA[8:16], DATA[16:], out=tmp / "out", trainer=TRAINER)


def test_the_protocol_recounted_from_the_curves(compared: StartsReport) -> None:
    best = min(loss for _, loss in compared.curve_base)
    assert compared.target_loss == pytest.approx(best * SLACK)
    assert compared.steps_base == next(step for step, loss in compared.curve_base if loss <= compared.target_loss)
    assert compared.steps_selected == next(
        step for step, loss in compared.curve_selected if loss <= compared.target_loss
    )
    assert compared.curve_selected[-1][0] == compared.steps_selected
    steps = [step for step, _ in compared.curve_base]
    assert steps == list(range(0, compared.scratch_steps + 1, 2))
    if compared.scratch_stopped_by == "no_improvement":
        n, share = PATIENCE
        earlier = min(loss for _, loss in compared.curve_base[:-n])
        assert all(loss >= earlier * (1 - share) * (1 - share) for _, loss in compared.curve_base[-n:])
    assert compared.interval_share == pytest.approx(2 / compared.steps_base)


def test_a_start_that_knows_the_style_needs_fewer_steps(compared: StartsReport) -> None:
    assert compared.step_ratio is not None
    assert compared.step_ratio < 1
    assert compared.seconds_base > 0
    assert not compared.met_at_start
    assert json.loads(json.dumps(compared.to_dict()))["steps_base"] == compared.steps_base


def test_a_start_that_is_there_already_counts_one_interval(
    compared: StartsReport, tiny_base: Path, tmp_path: Path
) -> None:
    few = TorchTrainer(max_steps=4, lr=1e-2, batch_size=4, eval_every=2)
    report = compare_starts(tiny_base, compared.out_base, DATA[8:16], DATA[16:], out=tmp_path / "out", trainer=few)
    assert report.met_at_start
    assert report.steps_selected == 2
    assert report.curve_selected[0][1] <= report.target_loss
    assert len(report.curve_selected) == 1


def test_a_start_that_never_gets_there(tiny_base: Path, tiny_adapters: dict[str, Path], tmp_path: Path) -> None:
    few = TorchTrainer(max_steps=4, lr=1e-2, batch_size=4, eval_every=2)
    report = compare_starts(tiny_base, tiny_adapters["poet"], DATA[8:16], DATA[16:], out=tmp_path / "out", trainer=few)
    assert report.steps_selected is None
    assert report.step_ratio is None
    assert report.scratch_stopped_by == "max_steps"


def test_validation_is_needed(tiny_base: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no validation examples"):
        compare_starts(tiny_base, tiny_base, DATA, [], out=tmp_path)
