from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from xpert.protocols import DeviceTrainer
from xpert.registry import TRAINERS
from xpert.testing import check_trainer
from xpert.trainers import loop
from xpert.trainers.torch import TorchTrainer
from xpert.types import Example


@contextmanager
def interrupted_at_step_eight() -> Iterator[None]:
    real = loop._step

    def stop(job, progress, chosen):
        if progress.step == 8:
            raise KeyboardInterrupt
        return real(job, progress, chosen)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "_step", stop)
        yield


def make() -> TorchTrainer:
    return TorchTrainer(max_steps=12, lr=1e-2, batch_size=4, rank=4, alpha=8, checkpoint_every=5, eval_every=4)


def test_torch_trainer_keeps_the_contract(tiny_base: Path, tiny_adapters: dict[str, Path], tmp_path: Path) -> None:
    assert TRAINERS.get("torch") is TorchTrainer
    assert isinstance(make(), TorchTrainer)
    trainer: DeviceTrainer = make()
    assert trainer.fit is not None
    check_trainer(make, tiny_base, tiny_adapters["tutor"], tmp_path, interrupted=interrupted_at_step_eight)


def test_the_check_finds_a_trainer_that_ignores_resume_and_seed(
    tiny_base: Path, tiny_adapters: dict[str, Path], tmp_path: Path
) -> None:
    seeds = iter(range(100))

    def careless() -> TorchTrainer:
        return TorchTrainer(max_steps=12, lr=1e-2, batch_size=4, rank=4, alpha=8, seed=next(seeds))

    with pytest.raises(AssertionError, match="two runs with one seed"):
        check_trainer(careless, tiny_base, tiny_adapters["tutor"], tmp_path)


def test_diffusion_trainer_keeps_the_contract(
    tiny_pipelines: Any, picture_examples: list[Example], tmp_path: Path
) -> None:
    pytest.importorskip("accelerate")
    from xpert.testing.adapter_kinds import OF_PIPELINES
    from xpert.trainers.diffusion.trainer import DiffusionTrainer

    folders = tiny_pipelines("sd15")
    adapter = tmp_path / "adapter"
    shutil.copytree(folders["adapter"], adapter)
    (adapter / "README.md").write_text(f"---\nbase_model: {folders['base']}\n---\n")
    (tmp_path / "work").mkdir()

    def make() -> DiffusionTrainer:
        settings = {"max_steps": 10, "lr": 1e-2, "batch_size": 2, "rank": 4, "alpha": 4, "center_crop": True}
        return DiffusionTrainer(**settings, checkpoint_every=5, eval_every=5, eval_levels=2)

    assert TRAINERS.get("diffusion") is DiffusionTrainer
    check_trainer(
        make,
        folders["base"],
        adapter,
        tmp_path / "work",
        interrupted=interrupted_at_step_eight,
        examples=picture_examples,
        kind=OF_PIPELINES,
    )


def test_onnx_trainer_keeps_the_contract(tiny_base: Path, tiny_adapters: dict[str, Path], tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime", reason="needs the extra 'onnx'")
    pytest.importorskip("onnx", reason="needs the extra 'onnx'")
    from xpert.trainers.onnx.trainer import OnnxTrainer

    def make() -> OnnxTrainer:
        return OnnxTrainer(max_steps=12, lr=1e-2, batch_size=4, checkpoint_every=5, eval_every=4)

    assert TRAINERS.get("onnx") is OnnxTrainer
    check_trainer(make, tiny_base, tiny_adapters["tutor"], tmp_path, interrupted=interrupted_at_step_eight)
