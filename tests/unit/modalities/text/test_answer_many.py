from __future__ import annotations

import json
import shutil
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from xpert.errors import IncompatibleModelError, WeightsError
from xpert.modalities.text import prober as prober_module
from xpert.modalities.text.grouped import AdapterRows, NotRowwiseError, side_by_side
from xpert.modalities.text.many import group_sizes
from xpert.modalities.text.prober import TextProber
from xpert.tensors.lora_files import read_adapter
from xpert.testing.tiny import tiny_adapter, tiny_causal_lm, tiny_full
from xpert.types import Generation

PROMPTS = ["hi", "Tell me how a volcano works.", "what is the water cycle, and why does it matter to a small cat?"]


def configured(folder: Path, **changes: Any) -> Path:
    file = folder / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes), encoding="utf-8")
    return folder


def different_adapters(base: Path, folder: Path) -> list[str]:
    """Other ranks, scales and modules."""
    gpt2 = "gpt2" in json.loads((base / "config.json").read_text())["model_type"]
    few, many = (["c_attn"], ["c_attn", "c_proj", "c_fc"]) if gpt2 else (["q_proj"], ["q_proj", "v_proj", "down_proj"])
    options: list[dict[str, Any]] = [
        {"rank": 4, "target_modules": few},
        {"rank": 2, "target_modules": many},
        {"rank": 8, "alpha": 2, "target_modules": many},
        {"rank": 4, "alpha": 16, "target_modules": few},
    ]
    made = [tiny_adapter(base, folder / f"a{i}", seed=i, **option) for i, option in enumerate(options)]
    configured(made[2], use_rslora=True)
    configured(made[1], alpha_pattern={many[0]: 5})
    return [str(path) for path in made]


@pytest.mark.parametrize("generation", [{}, {"temperature": 1.0, "seed": 3, "top_p": 0.9}, {"batch_size": 5}])
@pytest.mark.parametrize("architecture", ["llama", "qwen2", "gpt2"])
def test_answers_are_those_of_each_alone(architecture: Any, generation: dict[str, Any], tmp_path: Path) -> None:
    base = tiny_causal_lm(tmp_path / "base", architecture=architecture)
    references = different_adapters(base, tmp_path)
    how = Generation(max_new_tokens=16, **generation)
    prober = TextProber(str(base), device="cpu")
    alone = {reference: prober.answer(reference, PROMPTS, how) for reference in references}
    assert len({tuple(texts) for texts in alone.values()}) == len(references)
    assert dict(prober.answer_many(references, PROMPTS, how)) == alone
    assert dict(prober.answer_many(references[::-1], PROMPTS[::-1], how)) == {r: a[::-1] for r, a in alone.items()}
    prober.close()


def test_rows_that_end_at_different_steps(tmp_path: Path) -> None:
    base = tiny_causal_lm(tmp_path / "base")
    file = base / "generation_config.json"
    config = json.loads(file.read_text()) | {"eos_token_id": list(range(0, 400, 5))}  # a fifth of the vocabulary
    file.write_text(json.dumps(config), encoding="utf-8")
    references = different_adapters(base, tmp_path)
    prober, how = TextProber(str(base), device="cpu"), Generation(max_new_tokens=24)
    prompts = [f"{prompt} {i}" for i in range(6) for prompt in PROMPTS]
    alone = {reference: prober.answer(reference, prompts, how) for reference in references}
    assert len({len(text) for texts in alone.values() for text in texts}) > 5
    assert dict(prober.answer_many(references, prompts, how)) == alone


def test_every_kind_of_model_is_answered(tiny_base: Path, tiny_adapters: dict[str, Path], tmp_path: Path) -> None:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(3)
    dora = LoraConfig(r=4, lora_alpha=8, task_type="CAUSAL_LM", init_lora_weights=False, use_dora=True)
    get_peft_model(AutoModelForCausalLM.from_pretrained(tiny_base), dora).save_pretrained(str(tmp_path / "dora"))
    recorded = tmp_path / "a.jsonl"
    recorded.write_text("\n".join(json.dumps({"prompt": p, "response": p.upper()}) for p in PROMPTS), encoding="utf-8")
    full = tiny_full(tiny_base, tmp_path / "full")
    poet, clerk = str(tiny_adapters["poet"]), str(tiny_adapters["clerk"])
    references = [str(tmp_path / "dora"), poet, f"answers:{recorded}", clerk, str(full), poet]
    prober, how = TextProber(str(tiny_base), device="cpu"), Generation(max_new_tokens=8)
    expected = sorted((reference, prober.answer(reference, PROMPTS, how)) for reference in references)
    assert sorted(prober.answer_many(references, PROMPTS, how)) == expected
    assert list(prober.answer_many([], PROMPTS, how)) == []


def test_the_base_is_as_before_and_errors_come_first(
    tiny_base: Path, tiny_adapters: dict[str, Path], tmp_path: Path
) -> None:
    prober, how = TextProber(str(tiny_base), device="cpu"), Generation(max_new_tokens=8)
    before, references = prober.answer(None, PROMPTS, how), [str(path) for path in tiny_adapters.values()]
    foreign = tiny_adapter(tiny_causal_lm(tmp_path / "other", seed=9), tmp_path / "foreign")
    with pytest.raises(IncompatibleModelError, match="weights differ"):
        next(prober.answer_many([*references, str(foreign)], PROMPTS, how))
    broken = Path(shutil.copytree(tiny_adapters["poet"], tmp_path / "broken"))
    tensors = load_file(broken / "adapter_model.safetensors")
    name = sorted(tensors)[0]
    save_file({**tensors, name: tensors[name] * float("nan")}, broken / "adapter_model.safetensors")
    with pytest.raises(WeightsError, match=f"{name} has NaN"):
        list(prober.answer_many([*references, str(broken)], PROMPTS, how))
    abandoned = prober.answer_many(references, PROMPTS, how)
    next(abandoned)
    abandoned.close()
    model = prober._live()
    assert not any(module._forward_hooks for module in model.modules())
    assert prober.answer(None, PROMPTS, how) == before


def test_a_base_that_mixes_rows_goes_one_by_one(
    tiny_base: Path, tiny_adapters: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def mixed(*_: Any) -> Any:
        raise NotRowwiseError("experts")

    prober, how = TextProber(str(tiny_base), device="cpu"), Generation(max_new_tokens=8)
    references = [str(path) for path in tiny_adapters.values()]
    expected = {reference: prober.answer(reference, PROMPTS, how) for reference in references}
    monkeypatch.setattr(AdapterRows, "add", mixed)
    assert dict(prober.answer_many(references, PROMPTS, how)) == expected


def test_each_row_gets_its_own_update_and_no_other(tiny_base: Path, tiny_adapters: dict[str, Path]) -> None:
    from transformers import AutoModelForCausalLM

    model: Any = AutoModelForCausalLM.from_pretrained(tiny_base)
    adapters = [read_adapter(path) for path in tiny_adapters.values()]
    name = "model.layers.1.self_attn.q_proj"
    layer, x = model.get_submodule(name), torch.randn(7, 3, 32)
    with torch.no_grad(), side_by_side(model, adapters) as rows:
        for counts in ([0, 0, 1, 2, 2, 2, 2], [1] * 7, [2, 2, 2, 0, 1, 1, 1]):
            rows.assign(counts)
            got = layer(x)
            for i, g in enumerate(counts):
                weight = layer.weight + adapters[g].delta(name)
                torch.testing.assert_close(got[i], x[i] @ weight.T, rtol=1e-5, atol=1e-5)
        with pytest.raises(ValueError, match="stand together"):
            rows.assign([0, 1, 0])
        with pytest.raises(NotRowwiseError, match="input of shape"):
            layer(x[:2])
    assert torch.equal(layer(x), x @ layer.weight.T)


def test_groups_are_even_and_fit() -> None:
    for n, prompts, rows in ((32, 50, 512), (11, 50, 512), (7, 3, 5), (1, 1, 1), (0, 50, 512)):
        sizes = group_sizes(n, prompts, rows)
        assert sum(sizes) == n
        assert all(size == 1 or size * prompts <= rows for size in sizes)
        assert not sizes or max(sizes) - min(sizes) <= 1


@pytest.fixture
def four_threads() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield 4
    torch.set_num_threads(before)


def test_groups_on_several_threads_answer_the_same(tmp_path: Path, four_threads: int) -> None:
    base = tiny_causal_lm(tmp_path / "base")
    references = different_adapters(base, tmp_path)
    prober = TextProber(str(base), device="cpu")
    generation = Generation(max_new_tokens=12)
    alone = {reference: prober.answer(reference, PROMPTS, generation) for reference in references}
    assert dict(prober.answer_many(references, PROMPTS, generation)) == alone
    assert torch.get_num_threads() == four_threads
    prober.close()


def test_leaving_off_stops_the_other_groups(tmp_path: Path, four_threads: int) -> None:
    base = tiny_causal_lm(tmp_path / "base")
    references = different_adapters(base, tmp_path)
    prober = TextProber(str(base), device="cpu")
    coming = prober.answer_many(references, PROMPTS, Generation(max_new_tokens=300))
    next(coming)
    coming.close()  # returns when the threads are gone
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("ThreadPoolExecutor")]
    assert torch.get_num_threads() == four_threads
    assert not [hook for module in prober._live().modules() for hook in module._forward_hooks]
    prober.close()


def test_an_error_in_one_group_stops_all(tmp_path: Path, four_threads: int) -> None:
    base = tiny_causal_lm(tmp_path / "base")
    references = different_adapters(base, tmp_path)
    file = Path(references[2]) / "adapter_model.safetensors"
    tensors = load_file(file)
    next(iter(tensors.values())).view(-1)[0] = float("nan")
    save_file(tensors, file, metadata={"format": "pt"})
    prober = TextProber(str(base), device="cpu")
    with pytest.raises(WeightsError, match="a2"):
        list(prober.answer_many(references, PROMPTS, Generation(max_new_tokens=8)))
    assert torch.get_num_threads() == four_threads
    prober.close()


def test_adapters_of_one_config_and_shape_are_checked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = tiny_causal_lm(tmp_path / "base")
    same = [str(tiny_adapter(base, tmp_path / f"same{i}", seed=i)) for i in range(3)]
    other = str(tiny_adapter(base, tmp_path / "other", rank=2))
    checked: list[Path] = []
    check = prober_module.check_adapter
    monkeypatch.setattr(prober_module, "check_adapter", lambda f, *rest: (checked.append(f), check(f, *rest))[1])
    prober = TextProber(str(base), device="cpu")
    list(prober.answer_many([*same, other], PROMPTS, Generation(max_new_tokens=2)))
    assert [folder.name for folder in checked] == ["same0", "other"]
    prober.close()
