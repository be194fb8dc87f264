"""What goes wrong on the way: losses that are not finite, damaged checkpoints, a full disk, odd data."""

from __future__ import annotations

import errno
import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from xpert.errors import NotFiniteError, SettingsError, TrainingError
from xpert.trainers import language, saving
from xpert.trainers.torch import TorchTrainer
from xpert.types import Example, TrainingEvent

EXAMPLES = [Example(prompt=f"tell me {i}", response=f"the quick brown fox {i} jumps") for i in range(12)]
WEIGHTS = "adapter_model.safetensors"


def trainer(**options: Any) -> TorchTrainer:
    return TorchTrainer(
        **{"max_steps": 6, "lr": 1e-2, "batch_size": 4, "rank": 4, "alpha": 8, "eval_fraction": 0.0, **options}
    )


def stopped_after(step: int) -> Callable[[TrainingEvent], None]:
    def callback(event: TrainingEvent) -> None:
        if event.kind == "step" and event.step == step:
            raise KeyboardInterrupt

    return callback


def not_finite_from(monkeypatch: pytest.MonkeyPatch, call: int) -> None:
    """The loss of the model's ``call``-th forward pass (1-based), and of all later ones, is NaN."""
    real, calls = language.token_losses, [0]

    def losses(*arguments: Any) -> Any:
        calls[0] += 1
        total, n = real(*arguments)
        return (total * math.nan, n) if calls[0] >= call else (total, n)

    monkeypatch.setattr(language, "token_losses", losses)


def test_the_last_good_state_is_kept_as_a_start(
    tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer(max_steps=2).fit(tiny_base, EXAMPLES, out=tmp_path / "two")
    with monkeypatch.context() as patch:
        not_finite_from(patch, 4)
        with pytest.raises(
            NotFiniteError, match=r"training loss at step 4 is not finite: .* is in .*last-good"
        ) as caught:
            trainer().fit(tiny_base, EXAMPLES, out=tmp_path / "o")
    assert "\n" not in str(caught.value)
    assert sorted(path.name for path in (tmp_path / "o").iterdir()) == ["last-good"]
    kept, two = (load_file(folder / WEIGHTS) for folder in (tmp_path / "o/last-good", tmp_path / "two"))
    # step 3 had a finite loss before its update: so these are the weights after step 2
    assert all(torch.equal(kept[name], two[name]) for name in two)
    report = trainer(lr=1e-3).fit(tmp_path / "o/last-good", EXAMPLES, out=tmp_path / "o")
    assert report.steps == 6
    assert not (tmp_path / "o/last-good").exists()


def test_a_learning_rate_that_is_far_too_high_leaves_the_start(tiny_base: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFiniteError, match="training loss at step 2 is not finite"):
        trainer(lr=3e38).fit(tiny_base, EXAMPLES, out=tmp_path / "o")
    kept = load_file(tmp_path / "o/last-good" / WEIGHTS)
    assert all(bool(tensor.isfinite().all()) for tensor in kept.values())
    assert all(not tensor.any() for name, tensor in kept.items() if "lora_B" in name)  # as a new adapter begins


def test_a_start_that_gives_no_finite_loss_leaves_nothing(
    tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    not_finite_from(monkeypatch, 1)
    with pytest.raises(NotFiniteError, match=r"training loss at step 1 is not finite: .* no loss has been finite"):
        trainer().fit(tiny_base, EXAMPLES, out=tmp_path / "o")
    assert not (tmp_path / "o").exists()


def test_a_gradient_that_is_not_finite_changes_nothing(
    tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer(max_steps=2).fit(tiny_base, EXAMPLES, out=tmp_path / "two")
    real, calls = torch.nn.utils.clip_grad_norm_, [0]

    def norm(parameters: Any, largest: float) -> torch.Tensor:
        calls[0] += 1
        return real(parameters, largest) * (math.inf if calls[0] == 3 else 1.0)

    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", norm)
    with pytest.raises(NotFiniteError, match="gradient of step 3 is not finite"):
        trainer().fit(tiny_base, EXAMPLES, out=tmp_path / "o")
    kept, two = (load_file(folder / WEIGHTS) for folder in (tmp_path / "o/last-good", tmp_path / "two"))
    assert all(torch.equal(kept[name], two[name]) for name in two)


def test_a_full_model_keeps_its_last_checkpoint(
    tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    not_finite_from(monkeypatch, 5)
    with pytest.raises(NotFiniteError, match=r"training loss at step 5 .* still in .*\.checkpoint"):
        trainer(method="full", rank=None, alpha=None, lr=1e-3, checkpoint_every=2).fit(
            tiny_base, EXAMPLES, out=tmp_path / "o"
        )
    assert json.loads((tmp_path / "o/.checkpoint/progress.json").read_text())["step"] == 4


@pytest.fixture
def stopped(tiny_base: Path, tmp_path: Path) -> Path:
    """A run of six steps that was stopped after its checkpoint at step 4."""
    with pytest.raises(KeyboardInterrupt):
        trainer(checkpoint_every=2, callbacks=[stopped_after(5)]).fit(tiny_base, EXAMPLES, out=tmp_path / "o")
    return tmp_path / "o"


def damage_bytes(folder: Path) -> None:
    data = bytearray((folder / "state.safetensors").read_bytes())
    data[-3] ^= 1
    (folder / "state.safetensors").write_bytes(data)


def cut_state(folder: Path) -> None:
    data = (folder / "state.safetensors").read_bytes()
    (folder / "state.safetensors").write_bytes(data[: len(data) // 2])


def cut_progress(folder: Path) -> None:
    (folder / "progress.json").write_text((folder / "progress.json").read_text()[:40])


def of_another_version(folder: Path) -> None:
    values = json.loads((folder / "progress.json").read_text())
    (folder / "progress.json").write_text(json.dumps({**values, "mood": "good"}))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (damage_bytes, "state.safetensors: damaged, its SHA-256"),
        (cut_state, "state.safetensors: damaged, its SHA-256"),
        (lambda folder: (folder / "state.safetensors").unlink(), "state.safetensors: cannot be read"),
        (cut_progress, "no readable checkpoint"),
        (lambda folder: (folder / "progress.json").unlink(), "no readable checkpoint"),
        (lambda folder: (folder / "progress.json").write_text("{}"), "no fingerprint"),
        (of_another_version, "written by another version of xpert"),
    ],
)
def test_a_damaged_checkpoint_is_told_and_not_passed_over(
    tiny_base: Path, stopped: Path, damage: Callable[[Path], object], message: str
) -> None:
    damage(stopped / ".checkpoint")
    with pytest.raises(TrainingError, match=rf"{message}.*: delete it, or train without resume"):
        trainer(checkpoint_every=2).fit(tiny_base, EXAMPLES, out=stopped, resume=True)
    assert trainer(checkpoint_every=2).fit(tiny_base, EXAMPLES, out=stopped).steps == 6


def test_what_a_kill_left_while_it_wrote_is_used_or_cleared_away(tiny_base: Path, stopped: Path) -> None:
    whole = stopped / "..checkpoint.0123456789ab.tmp"
    os.rename(stopped / ".checkpoint", whole)  # killed between the two renamings
    (stopped / "..checkpoint.ba9876543210.tmp").mkdir()  # killed before it was written
    begun: list[int] = []
    report = trainer(checkpoint_every=2, callbacks=[lambda event: begun.append(event.step) and None]).fit(
        tiny_base, EXAMPLES, out=stopped, resume=True
    )
    assert (begun[0], report.steps) == (4, 6)
    assert not list(stopped.glob(".*"))


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        SafetensorError("Error while serializing: I/O error: No space left on device (os error 28), code: 28, kind"),
    ],
)
def test_a_disk_that_fills_up_is_told_and_the_checkpoint_before_stays(
    tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    out, real, calls = tmp_path / "o", saving.save_file, [0]

    def full(*arguments: Any, **named: Any) -> None:
        calls[0] += 1
        if calls[0] == 2:
            raise error
        real(*arguments, **named)

    with monkeypatch.context() as patch:
        patch.setattr(saving, "save_file", full)
        with pytest.raises(TrainingError, match="the disk is full"):
            trainer(checkpoint_every=2).fit(tiny_base, EXAMPLES, out=out)
    assert [path.name for path in out.iterdir()] == [".checkpoint"]
    begun: list[TrainingEvent] = []
    trainer(checkpoint_every=2, callbacks=[begun.append]).fit(tiny_base, EXAMPLES, out=out, resume=True)
    assert begun[0].step == 2


def test_a_checkpoint_that_will_not_fit_is_not_begun(
    tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 1000})())
    with pytest.raises(TrainingError, match=r"a checkpoint needs .* the disk has"):
        trainer(checkpoint_every=2).fit(tiny_base, EXAMPLES, out=tmp_path / "o")


def test_long_responses_are_cut_or_split_by_choice_and_told(
    tiny_base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = [*EXAMPLES, Example(prompt="more", response="the quick brown fox jumps over the dog " * 8)]
    cut = trainer(max_length=32).fit(tiny_base, data, out=tmp_path / "a")
    assert (cut.details["cut_examples"], cut.details["split_examples"], cut.details["rows"]) == (1, 0, 13)
    assert "1 of 13 examples are longer than 32 tokens and are cut there" in capsys.readouterr().err
    parts = trainer(max_length=32, long="split").fit(tiny_base, data, out=tmp_path / "b")
    assert (parts.details["cut_examples"], parts.details["split_examples"]) == (0, 1)
    assert int(str(parts.details["rows"])) > 14
    assert "are split" in capsys.readouterr().err
    with pytest.raises(SettingsError, match="long: expected one of truncate, split, got 'drop'"):
        trainer(long="drop")


def test_fewer_examples_than_a_batch_are_told(
    tiny_base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = trainer(batch_size=64).fit(tiny_base, EXAMPLES, out=tmp_path / "o")
    assert report.samples == 6 * 12
    assert "12 examples to train on, fewer than a batch of 64" in capsys.readouterr().err
