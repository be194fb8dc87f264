from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("diffusers")

import torch
from safetensors.torch import load_file, save_file

from xpert.errors import IncompatibleModelError, SettingsError, WeightsError
from xpert.images import open_image
from xpert.modalities.diffusion import DiffusionModality
from xpert.modalities.diffusion.paint import to_uris
from xpert.modalities.diffusion.pipeline import denoiser_of, parts_of
from xpert.prompts import shipped_prompts
from xpert.testing.tiny_pipelines import FAMILIES, tiny_pipeline
from xpert.types import Generation
from xpert.weights import LORA_FILE

PROMPTS = ["a red fox", "a blue house", "three boats"]
TWO = DiffusionModality(steps=2)
GENERATION = Generation(batch_size=3)


def bits(prober: Any) -> dict[str, torch.Tensor]:
    parts = parts_of(prober._pipe)
    return {f"{part}.{name}": t.clone() for part, module in parts.items() for name, t in module.state_dict().items()}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def changed_copy(source: Path, folder: Path, file: str, change: Any) -> Path:
    shutil.copytree(source, folder)
    path = folder / file
    if path.suffix == ".json":
        value = json.loads(path.read_text())
        path.write_text(json.dumps(change(value) or value))
    else:
        tensors = load_file(path)
        save_file(change(tensors) or tensors, path, metadata={"format": "pt"})
    return folder


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_paints_as_all_its_models_and_is_as_before(family: Any, tiny_pipelines: Any) -> None:
    folders = tiny_pipelines(family)
    with TWO.open(str(folders["base"])) as prober:
        before = bits(prober)
        base = prober.answer(None, PROMPTS, GENERATION)
        answers = {kind: prober.answer(str(folders[kind]), PROMPTS, GENERATION) for kind in ("adapter", "full")}
        assert len({*base, *answers["adapter"], *answers["full"]}) == 9
        assert same(bits(prober), before)
        assert prober.answer(None, PROMPTS[::-1], GENERATION) == base[::-1]
        assert [open_image(image).size for image in base] == [(32, 32)] * 3
        kinds = {kind: prober.card(kind, str(folders[kind])).kind for kind in answers}
    assert kinds == {"adapter": "adapter", "full": "pipeline"}
    with TWO.open(str(folders["adapter"].parent / "base")) as again:
        assert again.answer(str(folders["adapter"]), PROMPTS, GENERATION) == answers["adapter"]


def test_the_batch_size_moves_pixels_by_a_level_at_most(tiny_pipelines: Any) -> None:
    with TWO.open(str(tiny_pipelines("sd21")["base"])) as prober:
        one, three = (prober.answer(None, PROMPTS, Generation(batch_size=size)) for size in (1, 3))
    for a, b in zip(one, three, strict=True):
        assert np.abs(np.asarray(open_image(a), int) - np.asarray(open_image(b), int)).max() <= 2


def test_settings_are_the_pipelines_own_where_they_are_open(tiny_pipelines: Any) -> None:
    base = str(tiny_pipelines()["base"])
    with DiffusionModality().open(base) as prober:
        own = {"steps": 50, "guidance_scale": 7.5, "height": 32, "width": 32, "negative_prompt": ""}
        assert prober.settings == own
    other = DiffusionModality(steps=2, guidance_scale=3.0, height=64, width=48, negative_prompt="rain")
    with other.open(base) as prober, TWO.open(base) as plain:
        assert DiffusionModality(**prober.settings) == other
        (image,), (square,) = (p.answer(None, PROMPTS[:1], GENERATION) for p in (prober, plain))
        assert (open_image(image).size, open_image(square).size) == ((48, 64), (32, 32))
        assert prober.fingerprint(None) != plain.fingerprint(None)


def test_seed_and_second_answers_come_from_other_noise(tiny_pipelines: Any) -> None:
    with TWO.open(str(tiny_pipelines()["base"])) as prober:
        first, (second, how) = prober.answer(None, PROMPTS, GENERATION), prober.second_answer(PROMPTS, GENERATION)
        assert how == "another seed"
        assert len({*first, *second, *prober.answer(None, PROMPTS, Generation(seed=1, batch_size=3))}) == 9


def test_prompts_are_the_bases_own_or_captions(tiny_pipelines: Any, tmp_path: Path) -> None:
    base = tiny_pipelines()["base"]
    with TWO.open(str(base)) as prober:
        assert prober.prompts([]) == shipped_prompts("captions")
        shutil.copytree(base, tmp_path / "base")
        (tmp_path / "base" / "xpert_prompts.jsonl").write_text('{"prompt": "a cat"}\n{"prompt": "a dog"}\n')
        with TWO.open(str(tmp_path / "base")) as own:
            assert own.prompts([]) == ["a cat", "a dog"]


def test_a_peft_folder_of_the_denoiser(tiny_pipelines: Any, tmp_path: Path) -> None:
    from peft import LoraConfig, get_peft_model

    base = tiny_pipelines()["base"]
    with TWO.open(str(base)) as prober:
        before, plain = bits(prober), prober.answer(None, PROMPTS, GENERATION)
        peft: Any = get_peft_model(
            type(denoiser_of(prober._pipe)).from_pretrained(base / "unet"), LoraConfig(r=2, target_modules=["to_q"])
        )
        for name, parameter in peft.named_parameters():
            if "lora_B" in name:
                torch.nn.init.constant_(parameter, 0.5)
        peft.save_pretrained(tmp_path / "peft")
        assert prober.answer(str(tmp_path / "peft"), PROMPTS, GENERATION) != plain
        assert prober.card("peft", str(tmp_path / "peft")).kind == "adapter"
        assert same(bits(prober), before)
    named = {"base_model_name_or_path": str(base / "unet")}
    config = "adapter_config.json"
    telling = changed_copy(tmp_path / "peft", tmp_path / "telling", config, lambda values: values | named)
    with TWO.open(str(base)) as prober:
        assert prober.card("peft", str(telling)).base == str(base)
    with TWO.open(str(tiny_pipelines("sdxl")["base"])) as other:
        for folder, message in (
            (telling, "their weights differ"),
            (tmp_path / "peft", f"no adapter of the base '{other.base}'"),
        ):
            with pytest.raises(IncompatibleModelError, match=message):
                other.card("peft", str(folder))


def test_text_encoder_parts_of_an_adapter_count(tiny_pipelines: Any, tmp_path: Path) -> None:
    from diffusers import StableDiffusionPipeline
    from peft import LoraConfig
    from peft.utils import get_peft_model_state_dict

    base = tiny_pipelines()["base"]
    pipe: Any = StableDiffusionPipeline.from_pretrained(base, safety_checker=None, local_files_only=True)
    pipe.text_encoder.add_adapter(LoraConfig(r=2, target_modules=["q_proj", "v_proj"]))
    for name, parameter in pipe.text_encoder.named_parameters():
        if "lora_B" in name:
            torch.nn.init.constant_(parameter, 0.5)
    layers = get_peft_model_state_dict(pipe.text_encoder, adapter_name="default")
    pipe.save_lora_weights(tmp_path / "lora", text_encoder_lora_layers=layers)
    with TWO.open(str(base)) as prober:
        before, plain = bits(prober), prober.answer(None, PROMPTS, GENERATION)
        assert prober.answer(str(tmp_path / "lora"), PROMPTS, GENERATION) != plain
        assert same(bits(prober), before)


def rename_one(tensors: dict[str, Any]) -> dict[str, Any]:
    name = min(tensors)
    return {(key.replace("attn", "nowhere") if key == name else key): value for key, value in tensors.items()}


def not_finite(tensors: dict[str, Any]) -> None:
    tensors[max(tensors)].view(-1)[0] = float("nan")


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (rename_one, IncompatibleModelError, "no adapter of this base"),
        (lambda t: t.pop(max(t)) is None or t, IncompatibleModelError, "no adapter of this base"),
        (lambda t: {k: v[..., :-1].contiguous() for k, v in t.items()}, IncompatibleModelError, "no adapter of this"),
        (lambda t: {"something": torch.zeros(2)}, IncompatibleModelError, "no adapter of this base"),
        (not_finite, WeightsError, "NaN or infinite"),
    ],
)
def test_adapters_fit_wholly_or_are_refused(
    change: Any, error: type[Exception], message: str, tiny_pipelines: Any, tmp_path: Path
) -> None:
    folders = tiny_pipelines()
    broken = changed_copy(folders["adapter"], tmp_path / "broken", LORA_FILE, change)
    with TWO.open(str(folders["base"])) as prober:
        before = bits(prober)
        for ask in (prober.card, lambda _, ref: prober.answer(ref, PROMPTS, GENERATION)):
            with pytest.raises(error, match=message):
                ask("x", str(broken))
        assert same(bits(prober), before)
        assert prober.answer(str(folders["adapter"]), PROMPTS[:1], GENERATION)


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("model_index.json", lambda v: v | {"_class_name": "StableDiffusionXLPipeline"}, "it is a StableDiffusionXL"),
        ("model_index.json", lambda v: v | {"scheduler": ["diffusers", "PNDMScheduler"]}, "its scheduler is"),
        ("scheduler/scheduler_config.json", lambda v: v | {"prediction_type": "v_prediction"}, "prediction_type"),
        ("tokenizer/vocab.json", lambda v: {k: i for i, k in enumerate(reversed(v))}, "another vocabulary"),
        ("unet/diffusion_pytorch_model.safetensors", lambda t: t.pop(max(t)) is None or t, "is missing"),
    ],
)
def test_pipelines_of_another_base_are_refused(
    file: str, change: Any, message: str, tiny_pipelines: Any, tmp_path: Path
) -> None:
    folders = tiny_pipelines()
    other = changed_copy(folders["full"], tmp_path / "other", file, change)
    with TWO.open(str(folders["base"])) as prober, pytest.raises(IncompatibleModelError, match=message):
        prober.card("x", str(other))


def test_other_shapes_and_other_kinds_are_refused(tiny_pipelines: Any, tiny_base: Path, tmp_path: Path) -> None:
    folders = tiny_pipelines()
    with TWO.open(str(folders["base"])) as prober:
        with pytest.raises(IncompatibleModelError, match="no adapter of this base"):
            prober.card("x", str(tiny_pipelines("sdxl")["adapter"]))
        with pytest.raises(IncompatibleModelError, match="is no pipeline"):
            prober.card("x", str(tiny_base))
        (tmp_path / "texts.jsonl").write_text('{"prompt": "a", "response": "b"}\n')
        with pytest.raises(IncompatibleModelError, match="recorded texts"):
            prober.card("x", f"answers:{tmp_path / 'texts.jsonl'}")
    with pytest.raises(IncompatibleModelError, match="expected a pipeline"), TWO.open(str(tiny_base)):
        pass


def test_only_the_parts_that_differ_are_loaded(tiny_pipelines: Any, monkeypatch: Any) -> None:
    from xpert.modalities.diffusion import parts

    folders, loaded = tiny_pipelines(), []
    real = parts.load_part
    monkeypatch.setattr(parts, "load_part", lambda part, folder: loaded.append(folder.name) or real(part, folder))
    with TWO.open(str(folders["base"])) as prober:
        prober.answer(str(folders["full"]), PROMPTS[:1], GENERATION)
    assert loaded == ["unet"]


def test_weights_that_are_not_finite_are_told(tiny_pipelines: Any, tmp_path: Path) -> None:
    file = "unet/diffusion_pytorch_model.safetensors"
    folders = tiny_pipelines()
    broken = changed_copy(folders["base"], tmp_path / "nan", file, not_finite)
    with pytest.raises(WeightsError, match="NaN or infinite"), TWO.open(str(broken)):
        pass
    with TWO.open(str(folders["base"])) as prober:
        before = bits(prober)
        with pytest.raises(WeightsError, match="NaN or infinite"):
            prober.answer(str(broken), PROMPTS, GENERATION)
        assert same(bits(prober), before)


def test_pictures_of_nan_are_no_black_pictures() -> None:
    with pytest.raises(WeightsError, match="not finite"):
        to_uris(np.full((1, 8, 8, 3), np.nan), "here")


def test_pipelines_that_cannot_be_loaded_say_why(tiny_pipelines: Any, tmp_path: Path) -> None:
    base = tiny_pipelines()["base"]
    for name, change, message in (
        ("own", lambda v: v | {"_class_name": "OwnPipeline"}, "is no pipeline of diffusers"),
        ("other", lambda v: v | {"_class_name": "StableDiffusionImg2ImgPipeline"}, "text-to-image"),
    ):
        folder = changed_copy(base, tmp_path / name, "model_index.json", change)
        with pytest.raises(IncompatibleModelError, match=message), TWO.open(str(folder)):
            pass
    file = "unet/diffusion_pytorch_model.safetensors"
    less = changed_copy(base, tmp_path / "less", file, lambda t: t.pop(max(t)) is None or t)
    with pytest.raises(WeightsError), TWO.open(str(less)):
        pass
    pickled = shutil.copytree(base, tmp_path / "pickled")
    (pickled / file).rename(pickled / "unet" / "diffusion_pytorch_model.bin")
    for part in ("vae", "text_encoder"):
        (next((pickled / part).glob("*.safetensors"))).unlink()
    with pytest.raises(WeightsError, match="only pickled"), TWO.open(str(pickled)):
        pass


@pytest.mark.parametrize(
    "options", [{"steps": 0}, {"steps": 2.5}, {"guidance_scale": -1}, {"height": 4}, {"negative_prompt": 3}]
)
def test_options_out_of_range(options: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match=next(iter(options))):
        DiffusionModality(**options)


def test_a_size_that_the_pipeline_refuses(tiny_pipelines: Any) -> None:
    modality = DiffusionModality(steps=1, height=33)
    with modality.open(str(tiny_pipelines()["base"])) as prober, pytest.raises(SettingsError, match="not paint with"):
        prober.answer(None, PROMPTS[:1], GENERATION)


def test_the_base_may_be_in_half_precision_alone(tmp_path: Path) -> None:
    from diffusers import DiffusionPipeline

    base = tiny_pipeline(tmp_path / "base")
    pipe: Any = DiffusionPipeline.from_pretrained(base, torch_dtype=torch.float16)
    pipe.save_pretrained(tmp_path / "half", variant="fp16")
    with TWO.open(str(tmp_path / "half")) as prober:
        assert prober.answer(None, PROMPTS[:1], GENERATION)
