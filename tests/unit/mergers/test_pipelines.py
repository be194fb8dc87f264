"""Merged pipelines against what diffusers and PEFT compute from the parts."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

diffusers = pytest.importorskip("diffusers")

from xpert.errors import IncompatibleModelError, WeightsError  # noqa: E402
from xpert.mergers.base import Member  # noqa: E402
from xpert.mergers.linear import LinearMerger  # noqa: E402
from xpert.tensors.lora_pipeline import read_pipeline_lora  # noqa: E402
from xpert.testing.tiny_pipelines import FAMILIES, denoiser_folder, tiny_pipeline_adapter, tiny_pipeline_full  # noqa: E402

LORA = "pytorch_lora_weights.safetensors"


def member(folder: Path, weight: float, name: str = "m") -> Member:
    return Member(name=name, reference=str(folder), weight=weight)


def state(base: Path, adapter: Path | None = None) -> dict[str, torch.Tensor]:
    """The denoiser's weights, with an adapter's own update added by diffusers."""
    pipeline: Any = diffusers.DiffusionPipeline.from_pretrained(base, local_files_only=True)
    if adapter is not None:
        pipeline.load_lora_weights(adapter, weight_name=LORA)
        pipeline.fuse_lora()
        pipeline.unload_lora_weights()
    return {name: t.clone() for name, t in getattr(pipeline, denoiser_folder(base).name).state_dict().items()}


def distance(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> float:
    assert a.keys() == b.keys()
    return max(float((a[name] - b[name]).abs().max()) for name in a)


@pytest.mark.parametrize("family", FAMILIES)
def test_full_models_and_adapters_are_summed_exactly(family: Any, pipeline_of: Any, tmp_path: Path) -> None:
    base = pipeline_of(family)
    one = tiny_pipeline_adapter(base, tmp_path / "one", rank=4, alpha=8, seed=1)
    two = tiny_pipeline_adapter(
        base, tmp_path / "two", rank=3, alpha=2, seed=2, target_modules=["to_q", "proj_in", "conv1", "ff.net.2"]
    )
    full = tiny_pipeline_full(base, tmp_path / "full", seed=3)
    origin = state(base)
    deltas = [{n: t - origin[n] for n, t in state(*parts).items()} for parts in ((base, one), (base, two), (full,))]
    assert all(distance(delta, {n: torch.zeros_like(t) for n, t in origin.items()}) > 1e-2 for delta in deltas)
    adapters = LinearMerger().merge(base, [member(one, 0.7, "a"), member(two, 0.45, "b")], tmp_path / "merged-lora")
    wanted = {n: origin[n] + 0.7 * deltas[0][n] + 0.45 * deltas[1][n] for n in origin}
    assert sorted(p.name for p in adapters.iterdir()) == ["README.md", LORA, "xpert_merge.json"]
    assert distance(state(base, adapters), wanted) < 1e-5
    mixed = LinearMerger().merge(base, [member(full, 0.5, "f"), member(two, 0.25, "b")], tmp_path / "mixed")
    wanted = {n: origin[n] + 0.5 * deltas[2][n] + 0.25 * deltas[1][n] for n in origin}
    assert distance(state(mixed), wanted) < 1e-5
    for part in ("vae", "text_encoder"):
        files = sorted(file.name for file in (base / part).iterdir())
        assert files == sorted(file.name for file in (mixed / part).iterdir())
        assert all((base / part / file).read_bytes() == (mixed / part / file).read_bytes() for file in files)


def test_the_deltas_of_lora_files_are_exact_and_a_weight_of_one_gives_a_model_back(
    pipeline_of: Any, tmp_path: Path
) -> None:
    base = pipeline_of("sd15")
    one, two = (tiny_pipeline_adapter(base, tmp_path / str(i), rank=i, alpha=3, seed=i) for i in (2, 4))
    merged = LinearMerger().merge(base, [member(one, 0.6, "a"), member(two, -0.3, "b")], tmp_path / "o")
    got, a, b = (read_pipeline_lora(folder, "unet")["unet"] for folder in (merged, one, two))
    assert got.modules.keys() == a.modules.keys()
    for name in a.modules:
        assert torch.allclose(got.delta(name), 0.6 * a.delta(name) - 0.3 * b.delta(name), atol=1e-6)
    alone = read_pipeline_lora(LinearMerger().merge(base, [member(two, 1.0)], tmp_path / "p"), "unet")["unet"]
    assert all(torch.allclose(alone.delta(name), b.delta(name), atol=1e-7) for name in b.modules)
    full = tiny_pipeline_full(base, tmp_path / "full")
    again = LinearMerger(max_shard_bytes=200_000).merge(base, [member(full, 1.0)], tmp_path / "q")
    assert len(list((again / "unet").glob("*-of-*.safetensors"))) > 1  # diffusers reads shards too
    assert distance(state(again), state(full)) < 1e-6


def test_text_encoders_are_merged_and_copied(pipeline_of: Any, tmp_path: Path) -> None:
    base = pipeline_of("sdxl")
    full = tmp_path / "full"
    shutil.copytree(base, full)
    file = full / "text_encoder" / "model.safetensors"
    save_file({n: t * 1.5 for n, t in load_file(file).items()}, file, metadata={"format": "pt"})
    out = LinearMerger().merge(base, [member(full, 0.5)], tmp_path / "o")
    origin, got = (load_file(f / "text_encoder" / "model.safetensors") for f in (base, out))
    assert all(torch.allclose(got[n], 1.25 * origin[n], atol=1e-6) for n in origin)
    unet = "unet/diffusion_pytorch_model.safetensors"
    assert (out / unet).read_bytes() == (base / unet).read_bytes()
    record = json.loads((out / "xpert_merge.json").read_text())
    assert record["kind"] == "pipeline"
    assert diffusers.DiffusionPipeline.from_pretrained(out, local_files_only=True) is not None


def test_an_adapters_text_encoder_part_is_merged_too(pipeline_of: Any, tmp_path: Path) -> None:
    base = pipeline_of("sd15")
    module, tensors = "text_model.encoder.layers.0.self_attn.q_proj", {}
    generator = torch.Generator().manual_seed(0)
    for name, component in (("unet", "unet.mid_block.attentions.0.proj_in"), ("text", f"text_encoder.{module}")):
        shape = load_file(denoiser_folder(base) / "diffusion_pytorch_model.safetensors")
        width = shape["mid_block.attentions.0.proj_in.weight"].shape[0] if name == "unet" else 32
        a, b = torch.randn(2, width, generator=generator), torch.randn(width, 2, generator=generator)
        conv = name == "unet"
        tensors[f"{component}.lora_A.weight"] = a[:, :, None, None] if conv else a
        tensors[f"{component}.lora_B.weight"] = b[:, :, None, None] if conv else b
    (tmp_path / "a").mkdir()
    save_file(tensors, tmp_path / "a" / LORA)
    out = LinearMerger().merge(base, [member(tmp_path / "a", 0.5)], tmp_path / "o")
    assert read_pipeline_lora(out, "unet").keys() == {"unet", "text_encoder"}
    full = tiny_pipeline_full(base, tmp_path / "full")
    mixed = LinearMerger().merge(base, [member(tmp_path / "a", 0.5, "a"), member(full, 1.0, "f")], tmp_path / "p")
    origin, got = (load_file(f / "text_encoder" / "model.safetensors") for f in (base, mixed))
    delta = tensors[f"text_encoder.{module}.lora_B.weight"] @ tensors[f"text_encoder.{module}.lora_A.weight"]
    name = f"{module}.weight"
    assert torch.allclose(got[name], origin[name] + 0.5 * delta, atol=1e-5)


def test_pipelines_that_do_not_belong_together(pipeline_of: Any, tiny_base: Path, tmp_path: Path) -> None:
    base, other, out = pipeline_of("sd15"), pipeline_of("sdxl"), tmp_path / "o"
    adapter = tiny_pipeline_adapter(other, tmp_path / "a")
    kohya, dora = tmp_path / "kohya", tmp_path / "dora"
    for folder, name in ((kohya, "lora_unet_mid.lora_down.weight"), (dora, "unet.mid.to_q.lora_magnitude_vector")):
        folder.mkdir()
        save_file({name: torch.ones(2)}, folder / LORA)
    for start, message in (
        (other, "it is a StableDiffusionXLPipeline, the base a StableDiffusionPipeline"),
        (adapter, "no adapter of base"),
        (tiny_base, "is of kind full, the base .* of kind pipeline"),
        (kohya, "not named as diffusers names LoRA tensors"),
        (dora, "no factor of plain LoRA"),
    ):
        with pytest.raises(IncompatibleModelError, match=message) as caught:
            LinearMerger().merge(base, [member(start, 1.0)], out)
        assert "\n" not in str(caught.value)
    broken = tmp_path / "broken"
    shutil.copytree(base, broken)
    file = broken / "unet" / "diffusion_pytorch_model.safetensors"
    file.rename(file.with_name("diffusion_pytorch_model.fp16.safetensors"))
    with pytest.raises(WeightsError, match="save the pipeline with save_pretrained, without a variant"):
        LinearMerger().merge(base, [member(broken, 1.0)], out)
    assert not out.exists()
