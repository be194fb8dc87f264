from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

diffusers = pytest.importorskip("diffusers")
pytest.importorskip("accelerate")

from xpert.errors import (  # noqa: E402
    DataError,
    IncompatibleModelError,
    RecordedModelError,
    SettingsError,
    TrainingError,
)
from xpert.images import read_image_uri  # noqa: E402
from xpert.testing.tiny_pipelines import FAMILIES, tiny_pipeline_adapter  # noqa: E402
from xpert.trainers import loop  # noqa: E402
from xpert.trainers.diffusion import learner  # noqa: E402
from xpert.trainers.diffusion.learner import ema_update  # noqa: E402
from xpert.trainers.diffusion.trainer import DiffusionTrainer  # noqa: E402
from xpert.types import Example  # noqa: E402

LORA = "pytorch_lora_weights.safetensors"


def trainer(**options: Any) -> DiffusionTrainer:
    small = {"max_steps": 4, "lr": 1e-2, "batch_size": 2, "eval_every": 2, "eval_levels": 2}
    if options.get("method") != "full":
        small |= {"rank": 4, "alpha": 2}
    return DiffusionTrainer(**{**small, **options})


def opened(folder: Path) -> Any:
    pipeline: Any = diffusers.DiffusionPipeline.from_pretrained(folder, local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def painted(pipeline: Any) -> Any:
    generator = torch.Generator().manual_seed(0)
    return np.asarray(pipeline("the sun 1", num_inference_steps=2, generator=generator).images[0], np.float32)


@contextmanager
def stopped_at(step: int) -> Iterator[None]:
    real = loop._step

    def stop(job: Any, progress: Any, chosen: Any) -> float:
        if progress.step == step:
            raise KeyboardInterrupt
        return real(job, progress, chosen)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "_step", stop)
        yield


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_learns_full_and_lora_and_diffusers_loads_it(
    family: Any, pipeline_of: Any, picture_examples: list[Example], tmp_path: Path
) -> None:
    base = pipeline_of(family)
    before = painted(opened(base))
    one = [picture_examples[0]] * 4
    lora = trainer(max_steps=6).fit(base, one, out=tmp_path / "lora", validation=one[:1])
    assert lora.eval_losses[-1][1] < lora.eval_losses[0][1]
    assert sum(t.numel() for t in load_file(tmp_path / "lora" / LORA).values()) == lora.trainable_parameters
    pipeline = opened(base)
    pipeline.load_lora_weights(tmp_path / "lora", weight_name=LORA)
    assert abs(painted(pipeline) - before).mean() > 0.5
    full = trainer(method="full", max_steps=6, lr=1e-3).fit(base, one, out=tmp_path / "full", validation=one[:1])
    assert full.eval_losses[0] == lora.eval_losses[0]  # comparable between starts and methods
    assert full.eval_losses[-1][1] < full.eval_losses[0][1]
    tuned = opened(tmp_path / "full")
    assert abs(painted(tuned) - before).mean() > 0.5
    denoiser = getattr(tuned, "unet", None) or tuned.transformer
    assert full.trainable_parameters == sum(p.numel() for p in denoiser.parameters())
    vae = "vae/diffusion_pytorch_model.safetensors"
    assert (tmp_path / "full" / vae).read_bytes() == (base / vae).read_bytes()


def test_the_result_is_what_was_trained_alpha_included(
    pipeline_of: Any, picture_examples: list[Example], tmp_path: Path
) -> None:
    """diffusers puts the adapter on with the scale that training had: its validation loss is the report's last."""
    base, held = pipeline_of("sd15"), picture_examples[:2]
    report = trainer(target_modules=["to_q", "conv1"]).fit(base, picture_examples, out=tmp_path / "o", validation=held)
    pipeline = opened(base)
    pipeline.load_lora_weights(tmp_path / "o", weight_name=LORA)
    pipeline.fuse_lora()
    pipeline.unload_lora_weights()
    pipeline.save_pretrained(tmp_path / "fused")
    again = trainer(max_steps=1).fit(tmp_path / "fused", picture_examples, out=tmp_path / "p", validation=held)
    assert again.eval_losses[0][1] == pytest.approx(report.eval_losses[-1][1], rel=1e-5)
    assert again.eval_losses[0][1] != pytest.approx(report.eval_losses[0][1], rel=1e-3)


@pytest.mark.parametrize("options", [{}, {"method": "full", "lr": 1e-3, "ema_decay": 0.9}], ids=["lora", "full-ema"])
def test_runs_repeat_and_resume_bit_for_bit(
    options: dict[str, Any], pipeline_of: Any, picture_examples: list[Example], tmp_path: Path
) -> None:
    make = trainer(checkpoint_every=2, random_flip=True, noise_offset=0.1, max_steps=5, **options)
    base = pipeline_of("sd15")
    whole = make.fit(base, picture_examples, out=tmp_path / "a")
    with stopped_at(3), pytest.raises(KeyboardInterrupt):
        make.fit(base, picture_examples, out=tmp_path / "b")
    assert [path.name for path in (tmp_path / "b").iterdir()] == [".checkpoint"]
    with pytest.raises(TrainingError, match="of another run"):
        trainer(checkpoint_every=2).fit(base, picture_examples, out=tmp_path / "b", resume=True)
    again = make.fit(base, picture_examples, out=tmp_path / "b", resume=True)
    assert again.losses == whole.losses
    assert again.eval_losses == whole.eval_losses
    assert again.trainable_parameters == whole.trainable_parameters
    files = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*.safetensors"))
    assert all((tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes() for file in files)
    with stopped_at(0):  # a run that is done does no step
        assert make.fit(base, picture_examples, out=tmp_path / "b", resume=True).losses == whole.losses


def test_an_adapter_goes_on_where_it_was(pipeline_of: Any, picture_examples: list[Example], tmp_path: Path) -> None:
    base, held = pipeline_of("sdxl"), picture_examples[:2]
    first = trainer().fit(base, picture_examples, out=tmp_path / "a", validation=held)
    on = trainer(rank=None, alpha=None).fit(tmp_path / "a", picture_examples, out=tmp_path / "b", validation=held)
    assert on.eval_losses[0][1] == pytest.approx(first.eval_losses[-1][1], rel=1e-6)  # its card names the base
    assert {t.shape for t in load_file(tmp_path / "a" / LORA).values()} == {
        t.shape for t in load_file(tmp_path / "b" / LORA).values()
    }
    other = tiny_pipeline_adapter(base, tmp_path / "c", rank=3, alpha=6)
    with pytest.raises(IncompatibleModelError, match="names no base pipeline"):
        trainer().fit(other, picture_examples, out=tmp_path / "o")
    report = trainer(base=base, max_steps=1).fit(other, picture_examples, out=tmp_path / "o")
    assert report.trainable_parameters == sum(t.numel() for t in load_file(other / LORA).values())
    with pytest.raises(IncompatibleModelError, match=r"its update of .* has shape"):
        trainer(base=pipeline_of("sd15")).fit(other, picture_examples, out=tmp_path / "p")


def test_accumulating_gradients_is_a_larger_batch(
    pipeline_of: Any, picture_examples: list[Example], tmp_path: Path
) -> None:
    base = pipeline_of("sd21")
    one = trainer(batch_size=4, max_steps=3).fit(base, picture_examples, out=tmp_path / "a")
    two = trainer(batch_size=2, accumulation=2, max_steps=3).fit(base, picture_examples, out=tmp_path / "b")
    assert [loss for _, loss in two.losses] == pytest.approx([loss for _, loss in one.losses], rel=1e-4)
    assert one.samples == two.samples == 12
    again = trainer(batch_size=4, max_steps=3, gradient_checkpointing=True)
    same = again.fit(base, picture_examples, out=tmp_path / "c")
    assert [loss for _, loss in same.losses] == pytest.approx([loss for _, loss in one.losses], rel=1e-4)


def test_options_that_change_what_is_learnt(pipeline_of: Any, picture_examples: list[Example], tmp_path: Path) -> None:
    base = pipeline_of("sd15")
    runs: list[dict[str, Any]] = [
        {},
        {"center_crop": True, "random_flip": True},
        {"noise_offset": 0.5, "resolution": 16},
        {"snr_gamma": 1.0, "precision": "bf16"},
        {"schedule": "cosine", "warmup": 2, "ema_decay": 0.5},
    ]
    held = picture_examples[:1]
    reports = [
        trainer(max_steps=2, batch_size=1, **options).fit(
            base, picture_examples, out=tmp_path / str(i), validation=held
        )
        for i, options in enumerate(runs)
    ]
    assert len({str(report.losses) for report in reports}) == len(runs)
    assert [report.details["resolution"] for report in reports] == [32, 32, 16, 32, 32]
    first = [report.eval_losses[0][1] for report in reports]
    assert first[0] == first[1] == first[4]  # what starts are compared by does not hang on how they are trained
    assert first[3] == pytest.approx(first[0], rel=0.02)


def test_images_come_as_paths_or_uris_and_captions_from_a_template(
    pipeline_of: Any, picture_examples: list[Example], tmp_path: Path
) -> None:
    base, make = pipeline_of("sd15"), trainer(max_steps=1, caption_template="a photo")
    paths = [Example(response=example.response) for example in picture_examples]
    uris = [Example(response=read_image_uri(example.response)) for example in picture_examples]
    said = [Example(prompt="a photo", response=example.response) for example in picture_examples]
    losses = [make.fit(base, data, out=tmp_path / str(i)).losses for i, data in enumerate((paths, uris, said))]
    assert losses[0] == losses[1] == losses[2]
    files = [file for file in tmp_path.rglob("*") if file.is_file() and file.suffix in (".json", ".md")]
    assert not any(b"sun" in file.read_bytes() or b"data:image" in file.read_bytes() for file in files)


def test_bad_input_is_one_clear_line(
    pipeline_of: Any, picture_examples: list[Example], tmp_path: Path, tiny_base: Path
) -> None:
    base, out = pipeline_of("sd15"), tmp_path / "o"
    bare = [picture_examples[0], Example(response=picture_examples[1].response)]
    (tmp_path / "a.jsonl").write_text('{"prompt": "a", "response": "b"}\n')
    for options, start, data, error, message in (
        ({}, base, bare, DataError, "image . of 2 .* has no caption: write captions, or set caption_template"),
        ({}, base, [Example(prompt="a", response="b")] * 3, DataError, "expected an image .* its response is a text"),
        ({}, base, [], DataError, "cannot be split|no training"),
        ({"resolution": 30}, base, picture_examples, SettingsError, "resolution: expected a multiple of 4"),
        ({"snr_gamma": 5.0}, pipeline_of("sd35"), picture_examples, SettingsError, "snr_gamma"),
        ({"target_modules": ["nope"]}, base, picture_examples, SettingsError, "target_modules"),
        ({"base": base}, base, picture_examples, SettingsError, "base=.* is for a start that is an adapter"),
        ({}, tiny_base, picture_examples, IncompatibleModelError, "expected a pipeline of diffusers"),
        ({}, f"answers:{tmp_path / 'a.jsonl'}", picture_examples, RecordedModelError, "answers only"),
    ):
        with pytest.raises(error, match=message) as caught:
            trainer(**options).fit(start, data, out=out)
        assert "\n" not in str(caught.value)
    assert not out.exists()


def test_a_loss_that_is_not_finite(
    pipeline_of: Any, picture_examples: list[Example], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = learner.noisy_and_target
    monkeypatch.setattr(learner, "noisy_and_target", lambda *a: (real(*a)[0], real(*a)[1] * math.nan))
    with pytest.raises(TrainingError, match="training loss at step 1 is not finite"):
        trainer(eval_fraction=0.0).fit(pipeline_of("sd15"), picture_examples, out=tmp_path / "o")
    assert not (tmp_path / "o").exists()


def test_the_callers_random_state_and_the_start_are_left_alone(
    pipeline_of: Any, picture_examples: list[Example], tmp_path: Path
) -> None:
    base = pipeline_of("sd15")
    before = {path: path.read_bytes() for path in base.rglob("*") if path.is_file()}
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    trainer(max_steps=1).fit(base, picture_examples, out=tmp_path / "o")
    assert torch.equal(torch.rand(3), expected)
    assert before == {path: path.read_bytes() for path in base.rglob("*") if path.is_file()}


def test_the_moving_average_is_that_of_diffusers() -> None:
    from diffusers.training_utils import EMAModel

    parameter = torch.nn.Parameter(torch.zeros(3))
    theirs, mine = EMAModel([parameter], decay=0.3), {"p": torch.zeros(3)}
    for step in range(1, 9):
        with torch.no_grad():
            parameter += torch.arange(3.0) + step
        theirs.step([parameter])
        ema_update(mine, {"p": parameter}, step, 0.3)
        assert torch.allclose(mine["p"], theirs.shadow_params[0], rtol=1e-5)
