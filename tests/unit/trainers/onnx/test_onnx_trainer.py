from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from xpert.errors import (
    DataError,
    IncompatibleModelError,
    MissingDependencyError,
    NotFiniteError,
    SettingsError,
    TrainingError,
    WeightsError,
)
from xpert.trainers.choose import trainer_for
from xpert.trainers.onnx.session import TrainingSession
from xpert.trainers.onnx.trainer import OnnxTrainer
from xpert.types import Example, TrainingEvent

pytest.importorskip("onnxruntime", reason="needs the extra 'onnx'")

Examples = list[Example]
THINGS = (
    "rain",
    "snow",
    "the sun",
    "a small cat",
    "rivers",
    "the sky",
    "letters",
    "foxes",
    "dogs",
    "hail",
    "ice",
    "fog",
)


@pytest.fixture
def examples() -> list[Example]:
    """Twelve short ones of one style."""
    return [
        Example(
            prompt=f"Tell me about {thing}.",
            response=f"Oh, {thing}! What a lovely thing, dear friend. " + "So it is. " * i,
        )
        for i, thing in enumerate(THINGS)
    ]


def trainer(**options: Any) -> OnnxTrainer:
    return OnnxTrainer(**{"max_steps": 8, "lr": 1e-2, "batch_size": 4, "eval_every": 4, "threads": 1, **options})


def adapter(folder: Path) -> dict[str, np.ndarray]:
    return load_file(folder / "adapter_model.safetensors")


def assert_same(one: Path, other: Path) -> None:
    first, second = adapter(one), adapter(other)
    assert first.keys() == second.keys()
    for name in first:
        np.testing.assert_array_equal(first[name], second[name])


def test_artifacts_are_trained_by_it_without_being_asked(exported: Path, tiny_base: Path) -> None:
    assert trainer_for(exported) == "onnx"
    assert trainer_for(tiny_base) == "torch"
    assert not OnnxTrainer.accepts(tiny_base)


def test_batches_in_parts_learn_the_same(exported: Path, examples: Examples, tmp_path: Path) -> None:
    whole = trainer().fit(exported, examples, out=tmp_path / "whole")
    parts = trainer(micro_batch=1).fit(exported, examples, out=tmp_path / "parts")
    np.testing.assert_allclose([y for _, y in parts.losses], [y for _, y in whole.losses], atol=1e-5)
    np.testing.assert_allclose([y for _, y in parts.eval_losses], [y for _, y in whole.eval_losses], atol=1e-5)
    first, second = adapter(tmp_path / "whole"), adapter(tmp_path / "parts")
    assert max(float(np.abs(first[name] - second[name]).max()) for name in first) < 1e-4


def test_runs_agree_bit_for_bit_wherever_their_tensors_lie(exported: Path, examples: Examples, tmp_path: Path) -> None:
    """The runtime keeps its tensors in an order that depends on addresses: nothing may be added up in that order."""
    ballast: list[bytearray] = []
    for number in range(8):
        ballast.append(bytearray(1000 * number + number))
        trainer(inference_model=False).fit(exported, examples, out=tmp_path / f"{number}")
        assert_same(tmp_path / "0", tmp_path / f"{number}")


def test_self_contained_artifacts_learn_the_same(
    exported: Path, tiny_base: Path, examples: Examples, tmp_path: Path
) -> None:
    from xpert.trainers.export import OnnxExporter

    folder = OnnxExporter(rank=4, alpha=8, max_length=64, self_contained=True).export(tiny_base, tmp_path / "self")
    assert not (folder / "weights.data").exists()
    beside = trainer().fit(exported, examples, out=tmp_path / "a")
    within = trainer().fit(folder, examples, out=tmp_path / "b")
    np.testing.assert_allclose([y for _, y in within.losses], [y for _, y in beside.losses], atol=1e-5)
    for name in ("model.onnx", "weights.data"):
        assert (tmp_path / "a" / "onnx" / name).read_bytes() == (tmp_path / "b" / "onnx" / name).read_bytes()


@pytest.mark.parametrize("killed_at", [1, 5, 7])
def test_killed_and_resumed_it_ends_where_it_would_have(
    exported: Path, examples: Examples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed_at: int
) -> None:
    options: dict[str, Any] = {"checkpoint_every": 2, "schedule": "cosine", "warmup": 2}
    whole = trainer(**options).fit(exported, examples, out=tmp_path / "whole")
    real, steps = TrainingSession.step, iter(range(100))

    def stop(self: TrainingSession, rate: float) -> None:
        if next(steps) == killed_at:
            raise KeyboardInterrupt
        real(self, rate)

    monkeypatch.setattr(TrainingSession, "step", stop)
    with pytest.raises(KeyboardInterrupt):
        trainer(**options).fit(exported, examples, out=tmp_path / "out")
    monkeypatch.setattr(TrainingSession, "step", real)
    report = trainer(**options).fit(exported, examples, out=tmp_path / "out", resume=True)
    assert report.losses == whole.losses
    assert report.eval_losses == whole.eval_losses
    assert_same(tmp_path / "whole", tmp_path / "out")
    assert not (tmp_path / "out" / ".checkpoint").exists()
    again = trainer(**options).fit(exported, examples, out=tmp_path / "out", resume=True)
    assert again == report, "a run that is done is not repeated"


def interrupted(exported: Path, examples: Examples, out: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    real, steps = TrainingSession.step, iter(range(100))

    def stop(self: TrainingSession, rate: float) -> None:
        if next(steps) == 5:
            raise KeyboardInterrupt
        real(self, rate)

    with monkeypatch.context() as patch:
        patch.setattr(TrainingSession, "step", stop)
        with pytest.raises(KeyboardInterrupt):
            trainer(checkpoint_every=2).fit(exported, examples, out=out)
    return out / ".checkpoint" / "run"


def test_a_damaged_checkpoint_is_told(
    exported: Path, examples: Examples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = interrupted(exported, examples, tmp_path / "out", monkeypatch)
    data = bytearray((kept / "state").read_bytes())
    data[len(data) // 2] ^= 0xFF
    (kept / "state").write_bytes(data)
    with pytest.raises(TrainingError, match=r"the checkpoint is damaged.*train without resume"):
        trainer(checkpoint_every=2).fit(exported, examples, out=tmp_path / "out", resume=True)


def test_a_checkpoint_of_another_run_is_told(
    exported: Path, examples: Examples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted(exported, examples, tmp_path / "out", monkeypatch)
    with pytest.raises(TrainingError, match="checkpoint is of another run"):
        trainer(checkpoint_every=2, lr=1e-3).fit(exported, examples, out=tmp_path / "out", resume=True)


def test_a_gradient_that_is_not_finite_stops_it_and_changes_nothing(
    exported: Path, examples: Examples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TrainingSession, "has_finite_gradients", lambda _: False)
    with pytest.raises(NotFiniteError, match=r"gradient of step 1 is not finite.*the last finite loss is in"):
        trainer().fit(exported, examples, out=tmp_path / "out")
    kept = adapter(tmp_path / "out" / "last-good")
    assert all(not value.any() for name, value in kept.items() if "lora_B" in name), "B of a new adapter is zero"


def test_options_of_the_torch_trainer_hold(exported: Path, examples: Examples, tmp_path: Path) -> None:
    seen: list[int] = []
    long = Example(prompt="Tell me.", response="and so on " * 60)

    def told(event: TrainingEvent) -> None:
        seen.append(event.step)

    options: dict[str, Any] = {"accumulation": 2, "batch_size": 2, "bucketing": True, "long": "split"}
    report = trainer(max_steps=4, **options, callbacks=[told]).fit(exported, [*examples, long], out=tmp_path / "out")
    assert report.samples == 16
    assert report.details["split_examples"] > 0 == report.details["cut_examples"]
    assert seen[-1] == 4


def test_a_loss_that_is_not_finite_stops_it_and_the_last_checkpoint_stays(
    exported: Path, examples: Examples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, seen = TrainingSession.learn, iter(range(100))

    def learn(self: TrainingSession, batch: Any, n_tokens: int) -> float:
        value = real(self, batch, n_tokens)
        return float("nan") if next(seen) == 5 else value

    with monkeypatch.context() as patch:
        patch.setattr(TrainingSession, "learn", learn)
        with pytest.raises(NotFiniteError, match="training loss at step 6 is not finite"):
            trainer(checkpoint_every=2).fit(exported, examples, out=tmp_path / "out")
    five = trainer(max_steps=5).fit(exported, examples, out=tmp_path / "five")
    good = trainer(max_steps=4).fit(exported, examples, out=tmp_path / "four")
    assert five.losses[:4] == good.losses
    assert_same(tmp_path / "four", tmp_path / "out" / "last-good")
    kept = json.loads((tmp_path / "out" / ".checkpoint" / "run" / "progress.json").read_text())
    assert kept["step"] >= 4
    whole = trainer(checkpoint_every=2).fit(exported, examples, out=tmp_path / "whole")
    resumed = trainer(checkpoint_every=2).fit(exported, examples, out=tmp_path / "out", resume=True)
    assert resumed.losses == whole.losses


def test_damaged_artifacts_are_told(artifacts: Path, examples: Examples, tmp_path: Path) -> None:
    (artifacts / "checkpoint").write_bytes((artifacts / "checkpoint").read_bytes()[:-8])
    with pytest.raises(WeightsError, match="checkpoint: expected"):
        trainer().fit(artifacts, examples, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_artifacts_with_another_tokenizer_are_told(artifacts: Path, examples: Examples, tmp_path: Path) -> None:
    values = json.loads((artifacts / "tokenizer.json").read_text())
    (artifacts / "tokenizer.json").write_text(json.dumps({**values, "version": "1.0", "x": 1}))
    with pytest.raises(IncompatibleModelError, match="not the tokenizer that"):
        trainer().fit(artifacts, examples, out=tmp_path / "out")


@pytest.mark.parametrize(
    ("option", "value", "told"),
    [
        ("rank", 8, "rank=8: .* was exported with 4"),
        ("clip", 0.5, r"clip=0\.5: .* was exported with 1\.0"),
        ("weight_decay", 0.1, r"weight_decay=0\.1: .* was exported with 0\.0"),
        ("max_length", 128, "was exported for rows of 64 tokens"),
        ("base", "zoo:base", "is for a start that is an adapter"),
    ],
)
def test_what_the_artifacts_have_otherwise_is_an_error(
    exported: Path, examples: Examples, tmp_path: Path, option: str, value: Any, told: str
) -> None:
    with pytest.raises(SettingsError, match=told):
        trainer(**{option: value}).fit(exported, examples, out=tmp_path / "out")


@pytest.mark.parametrize(
    "options", [{"method": "full"}, {"recipe": "paper-server"}, {"recipe": "no"}, {"micro_batch": 0}, {"threads": 0}]
)
def test_settings_out_of_range_are_errors(options: dict[str, Any]) -> None:
    with pytest.raises(SettingsError):
        OnnxTrainer(**options)


def test_long_responses_are_cut_and_counted(exported: Path, examples: Examples, tmp_path: Path) -> None:
    long = Example(prompt="Tell me.", response="and so on " * 100)
    short = [Example(prompt="Tell me.", response=f"So it is {number}.") for number in range(5)]
    report = trainer(max_steps=2).fit(exported, [*short, long], out=tmp_path / "out")
    assert report.details["cut_examples"] == 1
    with pytest.raises(DataError, match="raise max_length or shorten the prompt"):
        trainer().fit(exported, [Example(prompt="long " * 100, response="a"), *examples], out=tmp_path / "no")


def test_fewer_examples_than_a_batch_train(exported: Path, tmp_path: Path) -> None:
    one = [Example(prompt="Tell me.", response="So it is.")]
    report = trainer(eval_fraction=0, max_steps=2).fit(exported, one, out=tmp_path / "out")
    assert report.samples == 2


def test_a_full_disk_is_told_and_the_run_goes_on_later(
    exported: Path, examples: Examples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = trainer(checkpoint_every=2).fit(exported, examples, out=tmp_path / "whole")
    kept = iter([10**9])
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=next(kept, 1000)))
        with pytest.raises(TrainingError, match="a checkpoint needs 1 MB, the disk has 0 MB left"):
            trainer(checkpoint_every=2).fit(exported, examples, out=tmp_path / "out")
    report = trainer(checkpoint_every=2).fit(exported, examples, out=tmp_path / "out", resume=True)
    assert report.losses == whole.losses


def test_a_disk_that_fills_up_while_writing_is_told(
    exported: Path, examples: Examples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("xpert.trainers.onnx.trainer.write_adapter", full)
    with pytest.raises(TrainingError, match="the disk is full: free some"):
        trainer(max_steps=2).fit(exported, examples, out=tmp_path / "out")
    assert not (tmp_path / "out" / "report.json").exists()


def test_the_weights_are_copied_where_they_cannot_be_linked(
    exported: Path, examples: Examples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    trainer(max_steps=2).fit(exported, examples, out=tmp_path / "out")
    assert (tmp_path / "out" / "onnx" / "weights.data").stat().st_nlink == 1


def test_a_model_without_torch_names_the_export(
    tiny_base: Path, examples: Examples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    for name in [name for name in sys.modules if name.startswith("xpert.trainers.export")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingDependencyError, match="xpert export --start"):
        trainer().fit(tiny_base, examples, out=tmp_path / "out")
