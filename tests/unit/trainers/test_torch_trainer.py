from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from xpert.errors import (
    DataError,
    IncompatibleModelError,
    RecordedModelError,
    ReferenceNotFoundError,
    SettingsError,
    TrainingError,
    WeightsError,
)
from xpert.testing.tiny import tiny_adapter, tiny_causal_lm
from xpert.trainers import language, loop
from xpert.trainers.data import encode
from xpert.trainers.torch import TorchTrainer
from xpert.types import Example

EXAMPLES = [Example(prompt=f"tell me {i}", response=f"the quick brown fox {i} jumps") for i in range(12)]


def trainer(**options: Any) -> TorchTrainer:
    return TorchTrainer(**{"max_steps": 6, "lr": 1e-2, "batch_size": 4, "rank": 4, "alpha": 8, **options})


def response_loss(model: Any, folder: Path, examples: list[Example]) -> float:
    """Mean loss a response token, one example after another, by Transformers' own loss."""
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    total, count = 0.0, 0
    for row in encode(tokenizer, examples, 512, end_id=tokenizer.eos_token_id):
        ids = torch.tensor([row.ids])
        labels = ids.clone()
        labels[:, : row.skip] = -100
        n = len(row.ids) - max(row.skip, 1)
        with torch.no_grad():
            total += float(model(input_ids=ids, labels=labels).loss) * n
        count += n
    return total / count


def test_losses_are_those_that_transformers_and_peft_compute(tiny_base: Path, tmp_path: Path) -> None:
    report = trainer(eval_every=3).fit(tiny_base, EXAMPLES[:8], out=tmp_path / "o", validation=EXAMPLES[8:])
    assert [step for step, _ in report.eval_losses] == [0, 3, 6]
    base = AutoModelForCausalLM.from_pretrained(tiny_base).eval()
    assert report.eval_losses[0][1] == pytest.approx(response_loss(base, tiny_base, EXAMPLES[8:]), rel=1e-4)
    tuned = PeftModel.from_pretrained(base, str(tmp_path / "o")).eval()
    assert report.eval_losses[-1][1] == pytest.approx(response_loss(tuned, tiny_base, EXAMPLES[8:]), rel=1e-4)
    assert report.eval_losses[-1][1] < report.eval_losses[0][1]
    assert (report.steps, report.samples, report.stopped_by) == (6, 24, "max_steps")


def test_full_fine_tuning_gives_a_model(tiny_base: Path, tmp_path: Path) -> None:
    report = trainer(method="full", rank=None, alpha=None, lr=1e-3, eval_fraction=0.25).fit(
        str(tiny_base), EXAMPLES, out=tmp_path / "o"
    )
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "o")
    assert report.trainable_parameters == sum(p.numel() for p in model.parameters())
    assert report.last_loss < report.first_loss
    assert AutoTokenizer.from_pretrained(tmp_path / "o").eos_token == "<|end|>"


@pytest.mark.parametrize("architecture", ["qwen2", "gpt2"])
def test_other_architectures_and_all_linear(architecture: Any, tmp_path: Path) -> None:
    base = tiny_causal_lm(tmp_path / "base", architecture=architecture)
    out = tmp_path / "o"
    report = trainer(target_modules="all-linear", eval_fraction=0.0).fit(base, EXAMPLES, out=out)
    assert report.last_loss < report.first_loss
    assert report.eval_losses == ()
    names = load_file(out / "adapter_model.safetensors")
    assert any("c_fc" in name or "down_proj" in name for name in names)
    assert not any("lm_head" in name for name in names)
    config = json.loads((out / "adapter_config.json").read_text())
    assert config["target_modules"] == sorted(config["target_modules"])
    assert config["fan_in_fan_out"] == (architecture == "gpt2")


def test_target_modules_that_are_not_there(tiny_base: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="target_modules"):
        trainer(target_modules=["nope"]).fit(tiny_base, EXAMPLES, out=tmp_path / "o")
    assert not (tmp_path / "o").exists()


def test_an_adapter_goes_on_where_it_was(tiny_base: Path, tiny_adapters: dict[str, Path], tmp_path: Path) -> None:
    start = tiny_adapters["poet"]
    report = trainer(max_steps=1).fit(start, EXAMPLES, out=tmp_path / "o", validation=EXAMPLES)
    base = AutoModelForCausalLM.from_pretrained(tiny_base)
    before = PeftModel.from_pretrained(base, str(start)).eval()
    assert report.eval_losses[0][1] == pytest.approx(response_loss(before, tiny_base, EXAMPLES), rel=1e-4)
    old, new = (load_file(folder / "adapter_model.safetensors") for folder in (start, tmp_path / "o"))
    assert old.keys() == new.keys()
    assert any(not torch.equal(old[name], new[name]) for name in old)


def test_the_base_of_an_adapter_may_be_elsewhere(tiny_base: Path, tmp_path: Path) -> None:
    adapter = tiny_adapter(tiny_base, tmp_path / "a")
    config = json.loads((adapter / "adapter_config.json").read_text())
    (adapter / "adapter_config.json").write_text(json.dumps({**config, "base_model_name_or_path": "/not/here"}))
    with pytest.raises(ReferenceNotFoundError):
        trainer().fit(adapter, EXAMPLES, out=tmp_path / "o")
    trainer(base=str(tiny_base)).fit(adapter, EXAMPLES, out=tmp_path / "o")
    assert json.loads((tmp_path / "o/adapter_config.json").read_text())["base_model_name_or_path"] == str(tiny_base)


def test_starts_that_do_not_fit(tiny_base: Path, tiny_summarizer: Path, tmp_path: Path) -> None:
    foreign = tiny_adapter(tiny_summarizer, tmp_path / "foreign")
    with pytest.raises(IncompatibleModelError, match="has shape"):
        trainer(base=tiny_base).fit(foreign, EXAMPLES, out=tmp_path / "o")
    lacking = tiny_adapter(tiny_base, tmp_path / "lacking")
    tensors = load_file(lacking / "adapter_model.safetensors")
    gone = sorted(tensors)[0]
    save_file({n: t for n, t in tensors.items() if n != gone}, lacking / "adapter_model.safetensors")
    with pytest.raises(IncompatibleModelError, match=r"lacks 1 tensor\(s\), first .*lora_A"):
        trainer().fit(lacking, EXAMPLES, out=tmp_path / "o")
    save_file(
        {**tensors, "base_model.model.extra.lora_A.weight": torch.ones(4, 4)}, lacking / "adapter_model.safetensors"
    )
    with pytest.raises(IncompatibleModelError, match="no place for 1 tensor"):
        trainer().fit(lacking, EXAMPLES, out=tmp_path / "o")
    save_file({**tensors, gone: tensors[gone] * math.nan}, lacking / "adapter_model.safetensors")
    with pytest.raises(WeightsError, match="NaN"):
        trainer().fit(lacking, EXAMPLES, out=tmp_path / "o")
    with pytest.raises(SettingsError, match="is an adapter"):
        trainer(method="full", rank=None, alpha=None).fit(lacking, EXAMPLES, out=tmp_path / "o")
    with pytest.raises(SettingsError, match="is for a start that is an adapter"):
        trainer(base="zoo:base").fit(tiny_base, EXAMPLES, out=tmp_path / "o")
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"peft_type": "IA3"}, "expected a LoRA adapter, it is of type IA3"),
        ({"init_lora_weights": "pissa"}, "changes the base's own weights"),
        ({"use_future": True}, "this PEFT does not know use_future"),
    ],
)
def test_adapters_of_other_kinds(tiny_base: Path, tmp_path: Path, change: dict[str, Any], message: str) -> None:
    adapter = tiny_adapter(tiny_base, tmp_path / "a")
    config = json.loads((adapter / "adapter_config.json").read_text())
    (adapter / "adapter_config.json").write_text(json.dumps({**config, **change}))
    with pytest.raises(IncompatibleModelError, match=message):
        trainer().fit(adapter, EXAMPLES, out=tmp_path / "o")


def test_a_recorded_model_cannot_be_trained(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"prompt": "a", "response": "b"}\n')
    with pytest.raises(RecordedModelError, match="answers only"):
        trainer().fit(f"answers:{tmp_path / 'a.jsonl'}", EXAMPLES, out=tmp_path / "o")
    assert not (tmp_path / "o").exists()


def test_stop_rules(tiny_base: Path, tmp_path: Path) -> None:
    reached = trainer(max_steps=100, target_loss=5.0, eval_every=2).fit(
        tiny_base, EXAMPLES, out=tmp_path / "a", validation=EXAMPLES
    )
    assert reached.stopped_by == "target_loss"
    assert reached.eval_losses[-1][1] <= 5.0 < reached.eval_losses[-2][1]
    assert reached.steps == reached.eval_losses[-1][0] < 100
    at_once = trainer(target_loss=100.0).fit(tiny_base, EXAMPLES, out=tmp_path / "b", validation=EXAMPLES)
    assert (at_once.steps, at_once.samples, at_once.stopped_by) == (0, 0, "target_loss")
    tired = trainer(max_steps=100, lr=1e-12, eval_every=1, patience=(3, 0.005)).fit(
        tiny_base, EXAMPLES, out=tmp_path / "c", validation=EXAMPLES
    )
    assert (tired.steps, tired.stopped_by) == (3, "no_improvement")
    with pytest.raises(SettingsError, match="need validation"):
        trainer(target_loss=1.0, eval_fraction=0.0).fit(tiny_base, EXAMPLES, out=tmp_path / "d")


def test_a_loss_that_is_not_finite(tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = language.token_losses
    monkeypatch.setattr(language, "token_losses", lambda *a: (real(*a)[0] * math.nan, real(*a)[1]))
    with pytest.raises(TrainingError, match="training loss at step 1 is not finite"):
        trainer(eval_fraction=0.0).fit(tiny_base, EXAMPLES, out=tmp_path / "o")
    assert not (tmp_path / "o").exists()


def test_checkpoints_of_other_runs_and_runs_that_are_done(
    tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, settings = tmp_path / "o", {"checkpoint_every": 2, "eval_every": 3}
    real = loop._step

    def stop(job: Any, progress: Any, chosen: Any) -> float:
        if progress.step == 3:
            raise KeyboardInterrupt
        return real(job, progress, chosen)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "_step", stop)
        with pytest.raises(KeyboardInterrupt):
            trainer(**settings).fit(tiny_base, EXAMPLES, out=out)
    assert [path.name for path in out.iterdir()] == [".checkpoint"]
    for other, data in ((trainer(**settings, seed=1), EXAMPLES), (trainer(**settings), EXAMPLES[:-1])):
        with pytest.raises(TrainingError, match="of another run"):
            other.fit(tiny_base, data, out=out, resume=True)
    report = trainer(**settings).fit(tiny_base, EXAMPLES, out=out, resume=True)
    assert not (out / ".checkpoint").exists()
    monkeypatch.setattr(loop, "_step", stop)  # a run that is done does no step
    assert trainer(**settings).fit(tiny_base, EXAMPLES, out=out, resume=True) == report


def test_an_earlier_result_is_replaced_only_at_the_end(
    tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "o"
    first = trainer().fit(tiny_base, EXAMPLES, out=out)
    before = (out / "report.json").read_bytes()
    with pytest.raises(DataError):
        trainer().fit(tiny_base, [], out=out)
    with monkeypatch.context() as patch:
        patch.setattr(loop, "_step", lambda *a: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            trainer(seed=1).fit(tiny_base, EXAMPLES, out=out)
    assert (out / "report.json").read_bytes() == before
    assert trainer(seed=1).fit(tiny_base, EXAMPLES, out=out).losses != first.losses
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").write_text("years of work")
    with pytest.raises(SettingsError, match=r"holds something else \(thesis.txt\)"):
        trainer().fit(tiny_base, EXAMPLES, out=tmp_path / "mine")
    with pytest.raises(SettingsError, match="is a file"):
        trainer().fit(tiny_base, EXAMPLES, out=tmp_path / "mine/thesis.txt")


def test_bf16_trains_nearly_as_float32_does(tiny_base: Path, tmp_path: Path) -> None:
    exact = trainer().fit(tiny_base, EXAMPLES, out=tmp_path / "a")
    rough = trainer(precision="bf16").fit(tiny_base, EXAMPLES, out=tmp_path / "b")
    assert rough.losses != exact.losses
    assert rough.last_loss == pytest.approx(exact.last_loss, rel=0.05)
    assert {t.dtype for t in load_file(tmp_path / "b/adapter_model.safetensors").values()} == {torch.float32}


def test_personal_text_is_not_written(tiny_base: Path, tmp_path: Path) -> None:
    data = [*EXAMPLES, Example(prompt="who am i", response="marker-7391 is my secret")]
    trainer(checkpoint_every=1).fit(tiny_base, data, out=tmp_path / "o")
    assert not any(b"marker-7391" in file.read_bytes() for file in (tmp_path / "o").rglob("*") if file.is_file())


def test_the_callers_random_state_is_left_alone(tiny_base: Path, tmp_path: Path) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    trainer().fit(tiny_base, EXAMPLES, out=tmp_path / "o")
    assert torch.equal(torch.rand(3), expected)
