"""Training from ONNX artifacts is training with torch: losses, adapters, logits, architecture by architecture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from xpert.testing.tiny import Architecture, tiny_adapter, tiny_causal_lm
from xpert.trainers.onnx.trainer import OnnxTrainer
from xpert.trainers.torch import TorchTrainer
from xpert.types import Example, TrainingReport

pytest.importorskip("onnxruntime", reason="needs the extra 'onnx'")
pytest.importorskip("onnx", reason="needs the extra 'onnx'")

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
EXAMPLES = [
    Example(
        prompt=f"Tell me about {thing}.", response=f"Oh, {thing}! A lovely thing to ask, dear friend. " + "Indeed! " * i
    )
    for i, thing in enumerate(THINGS)
]
SETTINGS: dict[str, Any] = {
    "max_steps": 50,
    "lr": 3e-3,
    "batch_size": 4,
    "max_length": 96,
    "schedule": "cosine",
    "warmup": 5,
    "weight_decay": 0.01,
    "eval_every": 10,
}


def both(start: Path, folder: Path, **options: Any) -> tuple[TrainingReport, TrainingReport]:
    torch = TorchTrainer(**SETTINGS, **options).fit(start, EXAMPLES, out=folder / "torch")
    return torch, OnnxTrainer(**SETTINGS, **options, threads=1).fit(start, EXAMPLES, out=folder / "onnx")


def assert_equal(torch: TrainingReport, onnx: TrainingReport) -> None:
    assert torch.losses[0][1] - torch.losses[-1][1] > 0.3, "it must have learnt something"
    for name in ("losses", "eval_losses"):
        expected, found = getattr(torch, name), getattr(onnx, name)
        assert [step for step, _ in expected] == [step for step, _ in found]
        np.testing.assert_allclose([loss for _, loss in found], [loss for _, loss in expected], atol=1e-5, rtol=0)
    assert torch.trainable_parameters == onnx.trainable_parameters
    expected, found = (load_file(Path(one.out) / "adapter_model.safetensors") for one in (torch, onnx))
    assert expected.keys() == found.keys()
    assert max(float(np.abs(expected[name] - found[name]).max()) for name in expected) < 1e-4


def logits(base: Path, result: Path) -> tuple[np.ndarray, np.ndarray]:
    """Of a result in PEFT, and of its inference model in ONNX Runtime: on padded rows, where there is no padding."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    from xpert.artifacts.runtime import runtime

    ids = torch.arange(60).reshape(2, 30)
    mask = torch.ones_like(ids)
    mask[1, 20:] = 0
    model: Any = AutoModelForCausalLM.from_pretrained(base)
    model = PeftModel.from_pretrained(model, str(result)).eval()
    with torch.no_grad():
        expected = model(input_ids=ids, attention_mask=mask).logits.numpy()
    session = runtime().InferenceSession(str(result / "onnx" / "model.onnx"))
    (found,) = session.run(None, {"input_ids": ids.numpy(), "attention_mask": mask.numpy()})
    return expected[mask.numpy() > 0], found[mask.numpy() > 0]


@pytest.mark.parametrize("architecture", ["llama", "smollm", "qwen2", "qwen3", "gemma", "gemma3"])
def test_every_architecture(architecture: Architecture, tmp_path: Path) -> None:
    base = tiny_causal_lm(tmp_path / "base", architecture=architecture, tied=architecture != "llama")
    assert_equal(*both(base, tmp_path, rank=4, alpha=8))
    expected, found = logits(base, tmp_path / "onnx")
    np.testing.assert_allclose(found, expected, atol=1e-5, rtol=1e-5)  # of numbers up to 7


@pytest.mark.parametrize("architecture", ["llama", "smollm", "qwen2", "qwen3", "gemma"])
def test_the_route_by_optimum(architecture: Architecture, tmp_path: Path) -> None:
    pytest.importorskip("optimum.exporters.onnx", reason="needs optimum-onnx, which holds Transformers at 4.57")
    from xpert.trainers.export import OnnxExporter

    base = tiny_causal_lm(tmp_path / "base", architecture=architecture, tied=architecture != "llama")
    adapter: dict[str, Any] = {"rank": 4, "alpha": 8}
    exporter = OnnxExporter(**adapter, max_length=96, weight_decay=SETTINGS["weight_decay"], route="optimum")
    torch = TorchTrainer(**SETTINGS, **adapter).fit(base, EXAMPLES, out=tmp_path / "torch")
    artifacts = exporter.export(base, tmp_path / "artifacts")
    assert_equal(torch, OnnxTrainer(**SETTINGS, threads=1).fit(artifacts, EXAMPLES, out=tmp_path / "onnx"))
    expected, found = logits(base, tmp_path / "onnx")
    np.testing.assert_allclose(found, expected, atol=1e-5, rtol=1e-5)


def test_an_adapter_with_all_linear_modules_goes_on(tiny_base: Path, tmp_path: Path) -> None:
    targets = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
    start = tiny_adapter(tiny_base, tmp_path / "start", target_modules=targets)
    assert_equal(*both(start, tmp_path))


def test_a_tokenizer_without_a_template_and_text_without_a_prompt(tmp_path: Path) -> None:
    base = tiny_causal_lm(tmp_path / "base", chat_template=False)
    mixed = [*EXAMPLES, Example(response="The water is heated by the sun, rises as vapour, and falls again as rain.")]
    settings = {**SETTINGS, "max_steps": 10, "rank": 4, "eval_fraction": 0}
    torch = TorchTrainer(**settings).fit(base, mixed, out=tmp_path / "torch")
    onnx = OnnxTrainer(**settings, threads=1).fit(base, mixed, out=tmp_path / "onnx")
    np.testing.assert_allclose([y for _, y in onnx.losses], [y for _, y in torch.losses], atol=1e-5, rtol=0)
