from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from xpert.errors import (
    DataError,
    IncompatibleModelError,
    ReferenceNotFoundError,
    SettingsError,
    WeightsError,
)
from xpert.modalities.text import TextModality
from xpert.modalities.text.prober import TextProber
from xpert.testing.tiny import tiny_adapter, tiny_causal_lm, tiny_full
from xpert.types import Generation

PROMPTS = ["hi", "Tell me how a volcano works.", "what is the water cycle, and why does it matter to a small cat?"]
GREEDY = Generation(max_new_tokens=16)


@pytest.fixture(scope="module")
def prober(tiny_base: Path) -> Iterator[TextProber]:
    opened = TextProber(str(tiny_base), device="cpu")
    yield opened
    opened.close()


def state_of(prober: TextProber) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in prober._live().state_dict().items()}


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return list(a) == list(b) and all(torch.equal(a[name], b[name]) for name in a)


def edited(adapter: Path, folder: Path, edit: Any) -> Path:
    """A copy of an adapter whose tensors went through ``edit``."""
    shutil.copytree(adapter, folder)
    file = folder / "adapter_model.safetensors"
    tensors = load_file(file)
    edit(tensors)
    save_file(tensors, file)
    return folder


def reconfigured(adapter: Path, folder: Path, **changes: Any) -> Path:
    """A copy of an adapter whose config says something else."""
    shutil.copytree(adapter, folder)
    file = folder / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes), encoding="utf-8")
    return folder


def test_every_model_answers_differently(prober: TextProber, tiny_adapters: dict[str, Path], tiny_full: Path) -> None:
    references = [None, *map(str, tiny_adapters.values()), str(tiny_full)]
    answers = [tuple(prober.answer(reference, PROMPTS, GREEDY)) for reference in references]
    assert len(set(answers)) == len(answers)
    assert answers == [tuple(prober.answer(reference, PROMPTS, GREEDY)) for reference in references]


def test_an_adapter_answers_as_peft_and_transformers_do(
    prober: TextProber, tiny_base: Path, tiny_adapters: dict[str, Path]
) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_base)
    model = PeftModel.from_pretrained(
        AutoModelForCausalLM.from_pretrained(tiny_base), str(tiny_adapters["poet"])
    ).eval()
    expected = []
    for prompt in PROMPTS:
        messages = [{"role": "user", "content": prompt}]
        text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        inputs = tokenizer(text, return_tensors="pt", add_special_tokens=False)
        out = model.generate(**inputs, max_new_tokens=16, do_sample=False)
        expected.append(tokenizer.decode(out[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True).strip())
    assert prober.answer(str(tiny_adapters["poet"]), PROMPTS, GREEDY) == expected


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("architecture", ["llama", "qwen2", "gpt2"])
def test_neither_batch_nor_neighbours_change_an_answer(architecture: Any, temperature: float, tmp_path: Path) -> None:
    base = tiny_causal_lm(tmp_path / "base", architecture=architecture, chat_template=architecture != "gpt2")
    with TextModality().open(str(base), device="cpu") as prober:
        alone = [
            prober.answer(None, [prompt], Generation(max_new_tokens=16, temperature=temperature, seed=5))[0]
            for prompt in PROMPTS
        ]
        for size in (1, 2, 8):
            generation = Generation(max_new_tokens=16, temperature=temperature, seed=5, batch_size=size)
            assert prober.answer(None, PROMPTS, generation) == alone
            assert prober.answer(None, PROMPTS[::-1], generation) == alone[::-1]


def test_the_seed_matters_only_to_sampling(prober: TextProber) -> None:
    def ask(seed: int, temperature: float) -> list[str]:
        return prober.answer(None, PROMPTS, Generation(max_new_tokens=16, temperature=temperature, seed=seed))

    assert ask(0, 0.0) == ask(1, 0.0)
    assert ask(0, 1.0) == ask(0, 1.0)
    assert ask(0, 1.0) != ask(1, 1.0)


def test_second_answers_are_independent_samples(prober: TextProber) -> None:
    texts, how = prober.second_answer(PROMPTS, GREEDY)
    assert how == "sampled"
    assert texts == prober.second_answer(PROMPTS, GREEDY)[0]
    sampled = Generation(max_new_tokens=16, temperature=1.0)
    assert texts == prober.second_answer(PROMPTS, sampled)[0]
    assert all(a != b for a, b in zip(texts, prober.answer(None, PROMPTS, sampled), strict=True))


def test_the_chat_template_is_used_where_there_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from xpert import decoding

    seen: list[str] = []
    real = decoding.token_ids
    monkeypatch.setattr(decoding, "token_ids", lambda tokenizer, texts: (seen.extend(texts), real(tokenizer, texts))[1])
    for chat in (True, False):
        base = tiny_causal_lm(tmp_path / str(chat), chat_template=chat)
        with TextModality().open(str(base), device="cpu") as prober:
            prober.answer(None, ["hi"], Generation(max_new_tokens=1))
    assert seen == ["<|user|>hi<|assistant|>", "hi"]


def test_the_base_is_bit_identical_after_each_model(
    prober: TextProber, tiny_adapters: dict[str, Path], tiny_full: Path
) -> None:
    before, answers = state_of(prober), prober.answer(None, PROMPTS, GREEDY)
    state = torch.random.get_rng_state()
    for reference in [*tiny_adapters.values(), tiny_full]:
        prober.answer(str(reference), PROMPTS, GREEDY)
        assert same(before, state_of(prober))
    assert torch.equal(state, torch.random.get_rng_state())
    assert prober.answer(None, PROMPTS, GREEDY) == answers


def test_the_base_is_bit_identical_after_an_error(
    prober: TextProber, tiny_adapters: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from xpert.modalities.text import prober as module

    def fail(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    before = state_of(prober)
    monkeypatch.setattr(module, "answers", fail)
    with pytest.raises(KeyboardInterrupt):
        prober.answer(str(tiny_adapters["tutor"]), PROMPTS, GREEDY)
    assert same(before, state_of(prober))


@pytest.mark.parametrize(
    "options",
    [
        {"use_dora": True},
        {"use_rslora": True, "rank_pattern": {"layers.0.self_attn.q_proj": 2}},
        {"modules_to_save": ["mlp.down_proj"]},
        {"target_modules": ["embed_tokens", "q_proj"]},
        {"target_modules": "all-linear"},
    ],
    ids=["dora", "rslora", "modules_to_save", "embedding", "all-linear"],
)
@pytest.mark.filterwarnings("ignore:Setting `save_embedding_layers`", "ignore:.*tie_word_embeddings")
def test_other_loras(prober: TextProber, tiny_base: Path, tmp_path: Path, options: dict[str, Any]) -> None:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(3)
    config = LoraConfig(r=4, lora_alpha=8, task_type="CAUSAL_LM", init_lora_weights=False, **options)
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(tiny_base), config)
    model.save_pretrained(str(tmp_path / "adapter"))
    before = state_of(prober)
    assert prober.card("x", str(tmp_path / "adapter")).kind == "adapter"
    assert prober.answer(str(tmp_path / "adapter"), PROMPTS, GREEDY) != prober.answer(None, PROMPTS, GREEDY)
    assert same(before, state_of(prober))


def refused(prober: TextProber, folder: Path, message: str, *, at_card: bool = True) -> None:
    """Both ways of meeting the model refuse it, and the base stays as it was."""
    before = state_of(prober)
    asks = [lambda: prober.answer(str(folder), PROMPTS, GREEDY)]
    for ask in [*asks, *([lambda: prober.card("x", str(folder))] if at_card else [])]:
        with pytest.raises((IncompatibleModelError, WeightsError), match=message) as caught:
            ask()
        assert "\n" not in str(caught.value)
        assert same(before, state_of(prober))


def test_an_adapter_of_a_wider_base(prober: TextProber, tiny_summarizer: Path, tmp_path: Path) -> None:
    adapter = tiny_adapter(tiny_summarizer, tmp_path / "adapter")
    refused(prober, adapter, "declares the base .*, and their weights differ: give the base it was trained on")
    moved = reconfigured(adapter, tmp_path / "moved", base_model_name_or_path="/gone")
    refused(
        prober,
        moved,
        rf"moved is no adapter of the base '{prober.base}', it was trained on '/gone': tensor .* has shape \(4, 48\)",
    )


def test_an_adapter_of_another_base_of_the_same_shape(prober: TextProber, tmp_path: Path) -> None:
    other = tiny_causal_lm(tmp_path / "other", seed=9)
    refused(prober, tiny_adapter(other, tmp_path / "adapter"), "and their weights differ")


def test_an_adapter_that_declares_another_hub_model(
    tiny_base: Path, tiny_adapters: dict[str, Path], tmp_path: Path
) -> None:
    adapter = reconfigured(tiny_adapters["poet"], tmp_path / "a", base_model_name_or_path="org/other")
    prober = TextProber(str(tiny_base), device="cpu")
    assert prober.card("poet", str(adapter)).kind == "adapter"  # a local copy of org/other? Its shapes fit
    prober.base = "org/base"
    with pytest.raises(IncompatibleModelError, match="declares the base 'org/other', not 'org/base'"):
        prober.card("poet", str(adapter))


def test_an_adapter_of_a_copy_of_the_base_is_welcome(prober: TextProber, tiny_base: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(tiny_base, tmp_path / "copy"))
    assert prober.card("x", str(tiny_adapter(copy, tmp_path / "adapter"))).base == str(tiny_base)


def test_an_adapter_of_another_architecture(prober: TextProber, tmp_path: Path) -> None:
    base = tiny_causal_lm(tmp_path / "gpt2", architecture="gpt2")
    adapter = tiny_adapter(base, tmp_path / "adapter")
    moved = reconfigured(adapter, tmp_path / "moved", base_model_name_or_path=None)
    refused(prober, moved, f"moved is no adapter of the base '{prober.base}': .*c_attn")


def test_an_adapter_whose_file_lacks_a_tensor(
    prober: TextProber, tiny_adapters: dict[str, Path], tmp_path: Path
) -> None:
    name = "base_model.model.model.layers.1.self_attn.v_proj.lora_B.weight"
    folder = edited(tiny_adapters["poet"], tmp_path / "a", lambda tensors: tensors.pop(name))
    refused(prober, folder, f"its file has no tensor {name}")


def test_an_adapter_with_a_tensor_too_many(prober: TextProber, tiny_adapters: dict[str, Path], tmp_path: Path) -> None:
    name = "base_model.model.model.layers.7.self_attn.v_proj.lora_A.weight"
    folder = edited(tiny_adapters["poet"], tmp_path / "a", lambda tensors: tensors.update({name: torch.ones(4, 32)}))
    refused(prober, folder, f"tensor {name} belongs to no module")


def test_an_adapter_that_brings_another_embedding(
    prober: TextProber, tiny_base: Path, tiny_adapters: dict[str, Path], tmp_path: Path
) -> None:
    name = "model.embed_tokens.weight"
    own = load_file(tiny_base / "model.safetensors")[name]

    def bring(tensor: torch.Tensor) -> Any:
        return lambda tensors: tensors.update({f"base_model.model.{name}": tensor})

    copied = edited(tiny_adapters["poet"], tmp_path / "copied", bring(own.clone()))
    expected = prober.answer(str(tiny_adapters["poet"]), PROMPTS, GREEDY)
    assert prober.answer(str(copied), PROMPTS, GREEDY) == expected
    changed = edited(tiny_adapters["poet"], tmp_path / "changed", bring(own + 1))
    refused(prober, changed, f"it brings another {name}", at_card=False)
    resized = edited(tiny_adapters["poet"], tmp_path / "resized", bring(torch.ones(500, 32)))
    refused(prober, resized, r"has shape \(500, 32\), the base needs \(400, 32\)")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_an_adapter_that_is_not_finite(
    prober: TextProber, tiny_adapters: dict[str, Path], tmp_path: Path, value: float
) -> None:
    name = "base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight"

    def spoil(tensors: dict[str, torch.Tensor]) -> None:
        tensors[name][0, 0] = value

    folder = edited(tiny_adapters["poet"], tmp_path / "a", spoil)
    refused(prober, folder, f"adapter_model.safetensors: tensor {name} has NaN or infinite values", at_card=False)


def test_adapters_that_cannot_be_taken_off_again(
    prober: TextProber, tiny_adapters: dict[str, Path], tmp_path: Path
) -> None:
    pissa = reconfigured(tiny_adapters["poet"], tmp_path / "pissa", init_lora_weights="pissa_niter_4")
    refused(prober, pissa, "init_lora_weights='pissa_niter_4' changes the base's own weights")
    unknown = reconfigured(tiny_adapters["poet"], tmp_path / "unknown", peft_type="NO_SUCH_KIND")
    refused(prober, unknown, r"adapter_config\.json cannot be used")


def test_a_full_model_of_another_vocabulary(prober: TextProber, tmp_path: Path) -> None:
    other = tiny_causal_lm(tmp_path / "other", vocab_size=420)
    refused(prober, other, r"model\.embed_tokens\.weight has shape \(420, 32\), the base's \(400, 32\)")


def test_a_full_model_of_another_depth(prober: TextProber, tmp_path: Path) -> None:
    other = tiny_causal_lm(tmp_path / "other", layers=3)
    refused(prober, other, r"is no model of the base .*layers\.2\..* the base has not")


def test_a_full_model_that_is_not_finite(prober: TextProber, tiny_base: Path, tmp_path: Path) -> None:
    folder = tiny_full(tiny_base, tmp_path / "full")
    tensors = load_file(folder / "model.safetensors")
    tensors["model.norm.weight"][3] = float("nan")
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    refused(prober, folder, r"full: tensor model\.norm\.weight has NaN", at_card=False)
    with pytest.raises(WeightsError, match=r"model\.norm\.weight"), TextModality().open(str(folder)):
        pass


def test_a_base_that_lacks_a_tensor(tiny_base: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_base, tmp_path / "base"))
    tensors = load_file(folder / "model.safetensors")
    del tensors["model.norm.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with (
        pytest.raises(WeightsError, match=r"1 tensors are missing, first model\.norm\.weight"),
        TextModality().open(str(folder)),
    ):
        pass


def test_a_base_whose_config_is_another_shape(tiny_base: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_base, tmp_path / "base"))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"intermediate_size": 80}), encoding="utf-8")
    with pytest.raises(WeightsError, match="do not fit its config") as caught, TextModality().open(str(folder)):
        pass
    assert "\n" not in str(caught.value)


def test_a_base_that_needs_its_own_code(tiny_base: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_base, tmp_path / "base"))
    config = {"model_type": "no-such-type", "auto_map": {"AutoConfig": "code.Config"}}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(IncompatibleModelError) as caught, TextModality().open(str(folder)):
        pass
    assert "\n" not in str(caught.value)


def test_bases_that_are_no_base(tiny_adapters: dict[str, Path], tiny_base: Path, tmp_path: Path) -> None:
    with pytest.raises(IncompatibleModelError, match="of kind 'adapter': expected a full causal LM"):
        TextModality().open(str(tiny_adapters["poet"])).__enter__()
    with pytest.raises(ReferenceNotFoundError):
        TextModality().open("no-such-model").__enter__()
    folder = Path(shutil.copytree(tiny_base, tmp_path / "base"))
    (folder / "tokenizer.json").unlink()
    with pytest.raises(IncompatibleModelError, match="no tokenizer"):
        TextModality().open(str(folder)).__enter__()


@pytest.mark.parametrize(
    ("option", "message"), [({"device": "warp"}, "device 'warp'"), ({"dtype": "int3"}, "dtype 'int3'")]
)
def test_device_and_dtype_are_never_guessed(tiny_base: Path, option: dict[str, str], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        TextModality().open(str(tiny_base), **option).__enter__()


def test_dtype(tiny_base: Path, tiny_adapters: dict[str, Path]) -> None:
    with TextModality().open(str(tiny_base), device="cpu", dtype="bfloat16") as prober:
        assert isinstance(prober, TextProber)
        assert prober._live().dtype == torch.bfloat16
        assert len(prober.answer(str(tiny_adapters["poet"]), PROMPTS, GREEDY)) == 3


def test_the_weights_are_gone_when_the_block_is_left(tiny_base: Path) -> None:
    import weakref

    def use() -> None:
        with TextModality().open(str(tiny_base), device="cpu") as prober:
            assert isinstance(prober, TextProber)
            kept.append((prober, weakref.ref(prober._live())))
            raise RuntimeError("planned")

    kept: list[tuple[TextProber, Any]] = []
    with pytest.raises(RuntimeError, match="planned"):
        use()
    ((prober, weights),) = kept
    assert weights() is None
    with pytest.raises(ValueError, match="the prober is closed"):
        prober.answer(None, PROMPTS, GREEDY)


def test_card(prober: TextProber, tiny_base: Path, tiny_adapters: dict[str, Path], tiny_full: Path) -> None:
    card = prober.card("poet", str(tiny_adapters["poet"]))
    assert (card.name, card.kind, card.base) == ("poet", "adapter", str(tiny_base))
    assert prober.card("x", str(tiny_full)).kind == "full"


def test_recorded_models_of_a_live_base(prober: TextProber, tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    rows = [{"prompt": prompt, "response": prompt.upper()} for prompt in ("b", "a")]
    file.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    reference = f"answers:{file}"
    assert prober.answer(reference, ["a", "b"], GREEDY) == ["A", "B"]
    assert prober.prompts([reference]) == ["b", "a"]
    assert prober.card("a", reference).kind == "recorded"
    with pytest.raises(DataError, match=r"a\.jsonl: no answer to 1 of 2 prompts, first 'hi'"):
        prober.answer(reference, ["a", "hi"], GREEDY)


def test_prompts_that_come_with_the_base(prober: TextProber, tiny_base: Path, tmp_path: Path) -> None:
    assert prober.prompts([]) is None
    folder = Path(shutil.copytree(tiny_base, tmp_path / "base"))
    (folder / "xpert_prompts.jsonl").write_text('{"prompt": "a"}\n{"prompt": "b"}\n', encoding="utf-8")
    answers = tmp_path / "a.jsonl"
    answers.write_text('{"prompt": "b", "response": "B"}\n{"prompt": "c", "response": "C"}', encoding="utf-8")
    with TextModality().open(str(folder), device="cpu") as own:
        assert own.prompts([]) == ["a", "b"]
        assert own.prompts([f"answers:{answers}"]) == ["b"]
        answers.write_text('{"prompt": "c", "response": "C"}', encoding="utf-8")
    with TextModality().open(str(folder), device="cpu") as own, pytest.raises(DataError, match="no prompt in it"):
        own.prompts([f"answers:{answers}"])


def test_a_lora_of_an_image_pipeline_is_one_clear_line(prober: TextProber) -> None:
    with pytest.raises(IncompatibleModelError, match="LoRA of an image pipeline"):
        prober.card("neon", "zoo:pictures-neon")
