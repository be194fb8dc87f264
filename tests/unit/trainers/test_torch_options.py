"""Options that change how a step is computed, and not what is learnt; who is told of it; and that only the adapter changes."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from xpert.errors import SettingsError
from xpert.testing.tiny import tiny_causal_lm
from xpert.trainers import hardware, loading
from xpert.trainers import torch as torch_trainer
from xpert.trainers.torch import TorchTrainer
from xpert.types import Example, TrainingEvent

EXAMPLES = [Example(prompt=f"tell me {i}", response=f"the quick brown fox {i} jumps" * (1 + i % 3)) for i in range(12)]
WEIGHTS = "adapter_model.safetensors"


def trainer(**options: Any) -> TorchTrainer:
    return TorchTrainer(**{"max_steps": 6, "lr": 1e-2, "batch_size": 4, "rank": 4, "alpha": 8, **options})


def test_gradients_of_parts_of_a_batch_make_the_batchs_step(tiny_base: Path, tmp_path: Path) -> None:
    whole = trainer(batch_size=6).fit(tiny_base, EXAMPLES, out=tmp_path / "a")
    parts = trainer(batch_size=2, accumulation=3).fit(tiny_base, EXAMPLES, out=tmp_path / "b")
    assert parts.samples == whole.samples == 36
    assert [loss for _, loss in parts.losses] == pytest.approx([loss for _, loss in whole.losses], rel=1e-5)
    one, other = load_file(tmp_path / "a" / WEIGHTS), load_file(tmp_path / "b" / WEIGHTS)
    assert all(torch.allclose(one[name], other[name], atol=1e-5) for name in one)
    with pytest.raises(SettingsError, match="accumulation: expected at least 1"):
        trainer(accumulation=0)


@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
@pytest.mark.parametrize("method", ["lora", "full"])
def test_activations_computed_again_give_the_same_weights(
    architecture: Any, method: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = tiny_causal_lm(tmp_path / "base", architecture=architecture)
    options = {"method": method, "max_steps": 3} | ({"rank": None, "alpha": None} if method == "full" else {})
    seen: list[Any] = []
    real = torch_trainer.load_start

    def load(*arguments: Any, **named: Any) -> Any:
        loaded = real(*arguments, **named)
        layer = next(m for m in loaded.model.modules() if hasattr(m, "gradient_checkpointing") and _is_layer(m))
        runs = [0]
        part = next(layer.children())  # Transformers 5 keeps a layer's own hooks outside of what is run again
        part.register_forward_pre_hook(lambda *_: runs.__setitem__(0, runs[0] + 1))
        seen.append(runs)
        return loaded

    monkeypatch.setattr(torch_trainer, "load_start", load)
    usual = trainer(**options).fit(base, EXAMPLES, out=tmp_path / "a", validation=EXAMPLES[:2])
    again = trainer(**options, gradient_checkpointing=True).fit(
        base, EXAMPLES, out=tmp_path / "b", validation=EXAMPLES[:2]
    )
    assert seen[1][0] == seen[0][0] + 3  # begun twice in each step
    assert again.losses == usual.losses
    name = WEIGHTS if method == "lora" else "model.safetensors"
    one, other = load_file(tmp_path / "a" / name), load_file(tmp_path / "b" / name)
    assert all(torch.equal(one[key], other[key]) for key in one)


def _is_layer(module: Any) -> bool:
    return type(module).__name__.endswith(("DecoderLayer", "Block"))


def test_recomputing_layers_drop_nothing_out(tmp_path: Path) -> None:
    base = tiny_causal_lm(tmp_path / "base", architecture="gpt2")
    settings = trainer(gradient_checkpointing=True).settings
    loaded = loading.load_start(base, settings, base=None, device="cpu")
    training = [module for module in loaded.model.modules() if module.training]
    assert training
    assert not any(isinstance(module, torch.nn.Dropout) for module in training)


def test_like_lengths_in_a_step_mean_less_padding_and_the_same_examples(tiny_base: Path, tmp_path: Path) -> None:
    usual = trainer(max_steps=16, eval_fraction=0.0).fit(tiny_base, EXAMPLES, out=tmp_path / "a")
    near = trainer(max_steps=16, eval_fraction=0.0, bucketing=True).fit(tiny_base, EXAMPLES, out=tmp_path / "b")
    assert near.samples == usual.samples
    assert near.losses != usual.losses
    assert near.last_loss < near.first_loss


def test_only_the_adapter_changes_bit_for_bit(tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[tuple[Any, dict[str, torch.Tensor]]] = []
    real = torch_trainer.load_start

    def load(*arguments: Any, **named: Any) -> Any:
        loaded = real(*arguments, **named)
        held.append((loaded.model, {name: t.clone() for name, t in loaded.model.state_dict().items()}))
        return loaded

    monkeypatch.setattr(torch_trainer, "load_start", load)
    report = trainer().fit(tiny_base, EXAMPLES, out=tmp_path / "o")
    model, before = held[0]
    after = model.state_dict()
    changed = {name for name in after if not torch.equal(after[name], before[name])}
    assert changed == {name for name in after if "lora_" in name}
    assert report.trainable_parameters == sum(after[name].numel() for name in changed)
    assert {name for name, p in model.named_parameters() if p.requires_grad} == changed


def test_callbacks_are_told_what_happens_and_may_end_it(tiny_base: Path, tmp_path: Path) -> None:
    told: list[TrainingEvent] = []
    report = trainer(eval_every=3, checkpoint_every=2, callbacks=[told.append]).fit(
        tiny_base, EXAMPLES, out=tmp_path / "a"
    )
    kinds = [(event.kind, event.step) for event in told]
    assert kinds[:2] == [("begin", 0), ("evaluation", 0)]
    assert kinds[-1] == ("end", 6)
    assert [step for kind, step in kinds if kind == "checkpoint"] == [2, 4]
    assert [(e.step, e.loss) for e in told if e.kind == "step"] == list(report.losses)
    assert [(e.step, e.loss) for e in told if e.kind == "evaluation"] == list(report.eval_losses)
    assert all(a.seconds <= b.seconds for a, b in pairwise(told))

    ended = trainer(callbacks=[lambda event: event.kind == "step" and event.step == 4]).fit(
        tiny_base, EXAMPLES, out=tmp_path / "b"
    )
    assert (ended.steps, ended.stopped_by) == (4, "callback")
    assert ended.losses == report.losses[:4]
    assert (tmp_path / "b" / WEIGHTS).is_file()


def test_a_phones_energy_is_told_beside_what_is_measured(tiny_base: Path, tmp_path: Path) -> None:
    report = trainer(phone="pixel-7").fit(tiny_base, EXAMPLES, out=tmp_path / "o")
    guessed = report.energy[-1]
    assert guessed.kind == "estimated"
    assert guessed.joules == pytest.approx(3.2 * report.seconds)
    measured = [one for one in report.energy if one.kind == "measured"]
    assert report.energy_j == (sum(one.joules for one in measured) if measured else None)
    again = trainer(phone="pixel-7").fit(tiny_base, EXAMPLES, out=tmp_path / "o", resume=True)
    assert again == report
    with pytest.raises(SettingsError, match="phone: expected one of"):
        trainer(phone="abacus")


def test_auto_is_bf16_where_the_processor_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for has, expected in ((True, "bf16"), (False, "float32")):
        monkeypatch.setattr(hardware, "has_fast_bf16", lambda device, has=has: has)
        assert trainer(precision="auto", device="cpu").settings.precision == expected
    assert trainer(precision="bf16", device="cpu").settings.precision == "bf16"
