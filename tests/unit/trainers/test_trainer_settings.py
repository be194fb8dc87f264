from __future__ import annotations

from typing import Any

import pytest

from xpert.errors import SettingsError
from xpert.trainers.settings import learning_rate
from xpert.trainers.torch import TorchTrainer


def test_what_is_not_said_is_the_default() -> None:
    settings = TorchTrainer().settings
    assert (settings.method, settings.lr, settings.rank, settings.alpha, settings.batch_size) == (
        "lora",
        2e-4,
        16,
        32,
        8,
    )


def test_the_papers_server_recipe_and_what_overrides_it() -> None:
    settings = TorchTrainer(recipe="paper-server").settings
    assert (settings.method, settings.lr, settings.schedule) == ("full", 1e-4, "cosine")
    assert (settings.warmup, settings.weight_decay) == (10, 0.01)
    assert TorchTrainer(recipe="paper-server", lr=3e-5).settings.lr == 3e-5
    assert TorchTrainer(recipe="paper-server", warmup=0).settings.warmup == 0
    assert TorchTrainer(recipe="paper-device").settings.method == "lora"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"recipe": "paper"}, "recipe: expected one of paper-server, paper-device, got 'paper'"),
        ({"method": "half"}, "method: expected one of lora, full, got 'half'"),
        ({"max_steps": 0}, "max_steps: expected at least 1, got 0"),
        ({"lr": 0.0}, "lr: expected a number above 0"),
        ({"lr": float("nan")}, "lr: expected a number above 0"),
        ({"eval_fraction": 1.0}, "eval_fraction: expected a number of at least 0 and below 1"),
        ({"eval_every": 0}, "eval_every: expected at least 1"),
        ({"patience": (0, 0.1)}, "patience: expected"),
        ({"precision": "fp16"}, "precision: expected one of float32, bf16"),
        ({"schedule": "step"}, "schedule: expected one of constant, cosine, linear"),
        ({"checkpoint_every": 0}, "checkpoint_every: expected at least 1"),
        ({"method": "full", "rank": 4}, "rank, alpha and target_modules are for method='lora'"),
    ],
)
def test_settings_out_of_range(options: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        TorchTrainer(**options)


def test_schedules() -> None:
    def rates(**options: Any) -> list[float]:
        settings = TorchTrainer(max_steps=12, lr=1.0, **options).settings
        return [learning_rate(step, settings) for step in range(13)]

    assert rates() == [1.0] * 13
    warm = rates(warmup=2, schedule="linear")
    assert warm[:3] == [0.5, 1.0, 1.0]
    assert warm[-1] == 0.0
    assert warm[7] == pytest.approx(0.5)
    cosine = rates(warmup=2, schedule="cosine")
    assert cosine[7] == pytest.approx(0.5)
    assert cosine[3] > warm[3]
    assert cosine[-1] == pytest.approx(0.0)


def test_evaluations_every_twentieth_of_the_steps() -> None:
    assert TorchTrainer(max_steps=200).settings.interval == 10
    assert TorchTrainer(max_steps=5).settings.interval == 1
    assert TorchTrainer(max_steps=200, eval_every=7).settings.interval == 7
