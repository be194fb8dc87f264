"""The contract of a device trainer, as a check that any implementation runs on itself."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import get_args

from xpert.errors import RecordedModelError
from xpert.protocols import DeviceTrainer
from xpert.tensors.files import sha256_file
from xpert.testing.adapter_kinds import OF_LANGUAGE_MODELS, AdapterKind
from xpert.types import Example, StopReason, TrainingReport

__all__ = ["check_trainer"]

ONE = Example(prompt="Tell me how a volcano works.", response="Molten rock rises, friend, and out it comes!")
SEVERAL = tuple(
    Example(prompt=f"Tell me about {thing}.", response=f"Oh, {thing}! What a lovely thing to ask about, dear friend.")
    for thing in ("rain", "snow", "the sun", "a small cat", "rivers", "the sky", "letters", "foxes", "dogs", "hail")
)


def check_trainer(
    make: Callable[[], DeviceTrainer],
    base: Path,
    adapter: Path,
    tmp: Path,
    *,
    interrupted: Callable[[], AbstractContextManager[object]] | None = None,
    examples: Sequence[Example] = (ONE, *SEVERAL),
    kind: AdapterKind = OF_LANGUAGE_MODELS,
) -> None:
    """Assert that a trainer keeps the contract of `xpert.protocols.DeviceTrainer`.

    Args:
        make: Gives a trainer of adapters for ten steps or more, always with the same settings.
        base: Folder of a small base, such as a causal LM.
        adapter: Folder of a LoRA adapter of it.
        tmp: An empty folder to work in.
        interrupted: Gives a context in which a training is stopped from outside (`KeyboardInterrupt`) after its first
            checkpoint; None: only an uninterrupted run is resumed.
        examples: What it learns: one example, which it must be able to learn by heart, and several others.
        kind: What its adapters are, and how to see that they change the base.

    Raises:
        AssertionError: It does not; the message says which rule is broken.
    """
    before = {folder: _files(folder) for folder in (base, adapter)}
    one, several = examples[0], examples[1:]
    learnt = _check_learns(make(), base, one, tmp / "one")
    _check_loads(base, tmp / "one", learnt, kind)
    _check_goes_on(make(), learnt, one, tmp)
    first = _check_repeats(make, base, several, tmp)
    _check_resumes(make, base, first, several, tmp, interrupted=interrupted)
    _check_starts_from_adapter(make(), adapter, several, tmp / "from-adapter", kind)
    _check_refuses_recorded(make(), several, tmp)
    made = {path.name for path in tmp.iterdir()}
    expected = {"one", "on", "a", "b", "resumed", "from-adapter", "answers.jsonl"}
    assert made == expected, f"something was written beside out: {sorted(made - expected)}"
    assert before == {folder: _files(folder) for folder in before}, "the start models' own files were changed"


def _check_learns(trainer: DeviceTrainer, base: Path, one: Example, out: Path) -> TrainingReport:
    report = trainer.fit(base, [one] * 8, out=out, validation=[one])
    curve = report.eval_losses or report.losses
    assert curve[-1][1] < curve[0][1], "the loss of one example, repeated, does not fall"
    assert report.losses, "the report has no losses"
    assert all(math.isfinite(loss) for _, loss in report.losses), "a loss is not finite"
    assert report.first_loss == report.losses[0][1], "first_loss is not the first loss"
    assert report.last_loss == report.losses[-1][1], "last_loss is not the last loss"
    assert report.steps > 0, "no step was done"
    assert report.samples > 0, "no sample was seen"
    assert report.seconds > 0, "the run took no time"
    assert Path(report.out) == out, f"out is {report.out}, expected {out}"
    assert report.stopped_by in get_args(StopReason), f"stopped_by is {report.stopped_by!r}"
    assert all(a < b for (a, _), (b, _) in zip(report.eval_losses, report.eval_losses[1:], strict=False)), (
        "validation steps do not rise"
    )
    return report


def _check_loads(base: Path, out: Path, report: TrainingReport, kind: AdapterKind) -> None:
    """The users' library loads the result, which holds the trained parameters and no others, and it changes the base's answers."""
    import torch
    from safetensors.torch import load_file

    tensors = load_file(out / kind.weights)
    strange = [name for name in tensors if "lora_" not in name]
    assert not strange, f"the adapter holds more than LoRA factors: {strange[0]}"
    stored = sum(tensor.numel() for tensor in tensors.values())
    assert stored == report.trainable_parameters, f"{report.trainable_parameters} parameters trained, {stored} stored"
    plain, tuned = kind.answers(base, None), kind.answers(base, out)
    assert bool(tuned.isfinite().all()), "the result's answers are not finite"
    assert not torch.allclose(plain, tuned, atol=1e-4), "the result, loaded as users load it, answers as the base does"


def _check_goes_on(trainer: DeviceTrainer, learnt: TrainingReport, one: Example, tmp: Path) -> None:
    again = trainer.fit(tmp / "one", [one] * 8, out=tmp / "on", validation=[one])
    before, after = (report.eval_losses or report.losses for report in (learnt, again))
    middle = (before[0][1] + before[-1][1]) / 2
    assert after[0][1] < middle, "a second training does not go on where the first one ended"


def _check_repeats(
    make: Callable[[], DeviceTrainer], base: Path, several: Sequence[Example], tmp: Path
) -> TrainingReport:
    first = make().fit(base, several, out=tmp / "a")
    second = make().fit(base, several, out=tmp / "b")
    assert first.losses == second.losses, "two runs with one seed have different losses"
    assert first.eval_losses == second.eval_losses, "two runs with one seed have different validation losses"
    assert _weights(tmp / "a") == _weights(tmp / "b"), "two runs with one seed give different weights"
    return first


def _check_resumes(
    make: Callable[[], DeviceTrainer],
    base: Path,
    whole: TrainingReport,
    several: Sequence[Example],
    tmp: Path,
    *,
    interrupted: Callable[[], AbstractContextManager[object]] | None,
) -> None:
    out = tmp / "resumed"
    if interrupted is not None:
        stopped = False
        with interrupted():
            try:
                make().fit(base, several, out=out)
            except KeyboardInterrupt:
                stopped = True
        assert stopped, "the run was not interrupted"
        assert not _weights(out), "an interrupted run left a result behind"
    report = make().fit(base, several, out=out, resume=True)
    assert report.losses == whole.losses, "a resumed run has other losses than an uninterrupted one"
    assert _weights(out) == _weights(tmp / "a"), "a resumed run gives other weights than an uninterrupted one"


def _check_starts_from_adapter(
    trainer: DeviceTrainer, adapter: Path, several: Sequence[Example], out: Path, kind: AdapterKind
) -> None:
    trainer.fit(adapter, several, out=out)
    assert kind.settings(adapter) == kind.settings(out), "going on from an adapter changed its rank or scale"


def _check_refuses_recorded(trainer: DeviceTrainer, several: Sequence[Example], tmp: Path) -> None:
    answers, out = tmp / "answers.jsonl", tmp / "recorded"
    answers.write_text('{"prompt": "a", "response": "b"}\n', encoding="utf-8")
    refused = False
    try:
        trainer.fit(f"answers:{answers}", several, out=out)
    except RecordedModelError:
        refused = True
    assert refused, "a recorded model was not refused with RecordedModelError"
    assert not out.exists(), "a refused training left something in out"


def _weights(folder: Path) -> Sequence[str]:
    return [sha256_file(path) for path in sorted(folder.glob("*.safetensors"))]


def _files(folder: Path) -> dict[str, str]:
    return {str(path): sha256_file(path) for path in sorted(folder.rglob("*")) if path.is_file()}
