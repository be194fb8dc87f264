"""Pools larger than the zoo, and what selecting comes to at the paper's sizes."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from xpert.errors import SettingsError
from xpert.evaluation.demo_users import DemoUser
from xpert.evaluation.paper.models import MODELS
from xpert.evaluation.presets import PRESETS
from xpert.evaluation.setting import Setting
from xpert.evaluation.suite import cost_tables, costs
from xpert.evaluation.suite.context import Context
from xpert.evaluation.suite.reckoned import (
    EXHAUSTIVE,
    HYPERBAND,
    XPERT,
    TextTokens,
    adapter_bytes,
    int8_bytes,
    least,
    operations,
    text_tokens,
)
from xpert.evaluation.suite.strengths import pool_of
from xpert.explainer import Explainer
from xpert.loading import load_tokenizer
from xpert.references import describe, resolve
from xpert.summarizers.instructions import LANGUAGE_STYLE
from xpert.tensors.lora_files import read_adapter
from xpert.testing.fake_pool import PlantedPool
from xpert.testing.fakes import FakeSummarizer
from xpert.types import Example

ZOO = {style: f"zoo:{style}" for style in ("expert-concise-poetic", "expert-concise-neutral")}
ONE, EIGHT = MODELS["meta-llama/Llama-3.2-1B"], MODELS["meta-llama/Llama-3.1-8B-Instruct"]


def test_a_larger_pool_begins_with_the_smaller_ones_models(tmp_path: Path) -> None:
    small, large = (pool_of(ZOO, size, seed=0, folder=tmp_path) for size in (2, 5))
    assert large[:2] == small
    assert [one.name for one in large] == [
        *(one.style for one in small),
        *(f"{one.style} x 0.8" for one in small),
        f"{small[0].style} x 0.6",
    ]
    assert [one.reference for one in small] == [ZOO[one.style] for one in small]


def test_a_weakened_adapters_update_is_the_factor_times_the_others(tmp_path: Path) -> None:
    weak = pool_of(ZOO, 3, seed=0, folder=tmp_path)[-1]
    own, other = read_adapter(resolve(ZOO[weak.style])), read_adapter(weak.reference)
    assert own.modules.keys() == other.modules.keys()
    for name, factors in own.modules.items():
        assert torch.equal(factors.a, other.modules[name].a)
        assert other.modules[name].scale == pytest.approx(0.8 * factors.scale, rel=1e-12)
        assert torch.allclose(other.delta(name), 0.8 * own.delta(name), rtol=1e-5)


def test_what_cannot_be_weakened_is_told(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="expected 1 to 6, 2 models at 3 strengths, got 7"):
        pool_of(ZOO, 7, seed=0, folder=tmp_path)
    with pytest.raises(SettingsError, match="expected a plain LoRA adapter"):
        pool_of({"whole": "zoo:base"}, 2, seed=0, folder=tmp_path)


def test_operations_are_two_a_parameter_and_token() -> None:
    user = TextTokens(texts=2, foreseen=10, questions=30, answered=8)
    found = operations(28, user)
    large = EIGHT.parameters - 2 * EIGHT.vocab_size * EIGHT.hidden_size
    assert found[EXHAUSTIVE] == 2 * ONE.parameters * 10 * 28
    assert found[XPERT] == 2 * large * 30
    assert found["paired"] == 2 * large * 30 + 2 * ONE.parameters * 8
    assert found["paper"] == 2 * large * 400
    assert operations(56, user)[EXHAUSTIVE] == 2 * found[EXHAUSTIVE]
    assert operations(56, user)[XPERT] == found[XPERT]


def test_tokens_are_those_that_are_read() -> None:
    tokenizer = load_tokenizer(resolve("zoo:base"))
    texts = [Example(prompt="why is it so?", response="so it is")]
    short = text_tokens(tokenizer, texts, [Example(prompt="why?", response="it is")])
    long = text_tokens(tokenizer, texts, [Example(prompt="why?", response="it is so " * 1000)])
    assert short.texts == 1
    assert long.questions - short.questions <= LANGUAGE_STYLE.max_answer_tokens
    assert long.answered - short.answered > 1000
    assert short.foreseen == long.foreseen > len(tokenizer("so it is")["input_ids"])


def test_bytes_of_adapters_and_of_int8() -> None:
    from peft import LoraConfig, get_peft_model
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=ONE.vocab_size,
        hidden_size=ONE.hidden_size,
        intermediate_size=ONE.intermediate_size,
        num_hidden_layers=ONE.layers,
        num_attention_heads=32,
        num_key_value_heads=8,
        tie_word_embeddings=True,
    )
    with torch.device("meta"):
        model = LlamaForCausalLM(config)
        assert sum(one.numel() for one in model.parameters()) == ONE.parameters
        matrices = [m.weight for name, m in model.model.named_modules() if isinstance(m, torch.nn.Linear) and name]
        tuned = get_peft_model(model, LoraConfig(r=8, target_modules="all-linear"))
        factors = sum(one.numel() for name, one in tuned.named_parameters() if "lora_" in name)
    assert adapter_bytes(ONE, 8) == 2 * factors
    saved = sum(one.numel() - 4 * one.shape[0] for one in matrices)
    assert int8_bytes(ONE) == 2 * ONE.parameters - saved


def own_pool(folder: Path, base: Path, models: dict[str, Path]) -> Context:
    folder.mkdir()
    lines = [json.dumps({"prompt": f"tell me of {i}", "response": f"it is {i}"}) + "\n" for i in range(50)]
    (folder / "texts.jsonl").write_text("".join(lines))
    told = {
        "base": str(base),
        "models": {name: str(path) for name, path in models.items()},
        "users": dict.fromkeys(models, "texts.jsonl"),
    }
    (folder / "pool.json").write_text(json.dumps(told))
    setting = Setting(data=f"pool:{folder / 'pool.json'}")
    return Context(preset=setting.fitted(PRESETS["tiny"]), seed=0, work=folder / "work", setting=setting)


def test_a_pool_is_called_what_its_models_are(
    tmp_path: Path, tiny_base: Path, tiny_adapters: dict[str, Path], tiny_full: Path
) -> None:
    adapters = own_pool(tmp_path / "adapters", tiny_base, tiny_adapters)
    full = own_pool(tmp_path / "full", tiny_base, {"one": tiny_full, "other": tiny_full})
    mixed = own_pool(tmp_path / "mixed", tiny_base, {"one": tiny_full, **tiny_adapters})
    whole = describe(tiny_full).bytes
    assert list(costs._bytes(adapters)["pools"]) == ["adapters", "full models"]
    assert costs._bytes(full)["pools"] == {"full models": whole}
    assert list(costs._bytes(mixed)["pools"]) == ["adapters and full models", "full models"]
    assert costs._bytes(full)["summarizer"] == describe("zoo:summarizer").bytes
    zoo = Context(preset=PRESETS["tiny"], seed=0, work=tmp_path)
    assert costs._bytes(zoo)["pools"]["full models"] == describe("zoo:base").bytes
    summaries = [{"method": EXHAUSTIVE, "models": 2, "mean_downloaded_bytes": 2 * whole, "mean_models": 2.0}]
    catalogs = {2: {"subvectors": 3, "bytes": whole // 10}}
    table = cost_tables.catalog_table(summaries, catalogs, {"full models": whole})
    assert "adapters" not in table
    assert table.splitlines()[2].endswith("| 5.00% |")


HALF = "Bayesian optimization, TPE, half"


def test_pools_break_even_with_each_method_that_looks_into_several_models() -> None:
    counted = {EXHAUSTIVE: (4.0, 7.0), HYPERBAND: (4.0, 6.5), HALF: (2.0, 4.0), XPERT: (1.0, 1.0), "oracle": (1.0, 1.0)}
    summaries = [
        {"method": method, "models": size, "mean_models": mean}
        for method, means in counted.items()
        for size, mean in zip((4, 7), means, strict=True)
    ]
    table = cost_tables.break_even_table(summaries, 25, {"adapters": 10}, 30)
    assert [line.split(" | ")[4:] for line in table.splitlines()[2:]] == [
        [EXHAUSTIVE, "4 models", "7 models |"],
        [HYPERBAND, "-", "- |"],
        [HALF, "7 models", "13 models |"],
    ]
    assert cost_tables.break_even_table(summaries, 25, {"adapters": 10}, None).count("| - |") >= 3


@pytest.mark.parametrize("part", [1, 2])
def test_the_least_pool_is_the_first_that_weighs_more(part: int) -> None:
    for besides in (0, 9, 10, 11, 25):
        least_size = least(10, besides, part)
        assert [10 * -(-size // part) > 10 + besides for size in (least_size - 1, least_size)] == [False, True]


def test_one_summarizer_is_in_memory_at_a_time(
    tiny_base: Path, tiny_adapters: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("optuna", reason="needs the extra 'eval'")
    there: Counter[str] = Counter()

    class Loaded(FakeSummarizer):
        def __init__(self) -> None:
            super().__init__()
            there["now"] += 1
            there["loaded"] += 1
            there["most"] = max(there["most"], there["now"])

        def close(self) -> None:
            there["now"] -= 1
            super().close()

    monkeypatch.setattr(costs, "load_summarizer", lambda name: Loaded())
    context = own_pool(tmp_path / "mine", tiny_base, tiny_adapters)
    models = {name: str(path) for name, path in tiny_adapters.items()}
    catalog = Explainer(str(tiny_base), FakeSummarizer(), n_prompts=8, cache=None).explain(models)
    tools: Any = SimpleNamespace(
        pool=PlantedPool({name: float(i) for i, name in enumerate(models)}),
        catalogs={len(models): catalog},
        said={name: ["it is so"] for name in models},
        prober=SimpleNamespace(answer=lambda model, prompts, how: ["it is so"] * len(prompts)),
        encoder=FakeSummarizer(),
    )
    pool = pool_of(models, len(models), seed=0, folder=tmp_path)
    texts = tuple(Example(prompt=f"tell me of {i}", response=f"it is {i}") for i in range(4))
    rows = costs._user_rows(context, tools, pool, DemoUser(name="one", style="poet", examples=texts))
    assert [row["method"] for row in rows[:3]] == [cost_tables.XPERT, cost_tables.PAIRED, EXHAUSTIVE]
    assert (there["loaded"], there["most"], there["now"]) == (2, 1, 0)


def test_the_summarizer_that_explained_is_gone_before_anybody_selects(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[str] = []

    class Named(FakeSummarizer):
        def close(self) -> None:
            closed.append(self.name)

    monkeypatch.setattr("xpert.evaluation.suite.context.read_once", lambda name: Named())
    with Context(preset=PRESETS["tiny"], seed=0, work=tmp_path) as context:
        monkeypatch.setattr(costs, "_catalogs", lambda own, _: {0: own.summarizer})
        pools: Any = {0: []}
        monkeypatch.setattr(costs, "load_modality", lambda _: (_ for _ in ()).throw(ZeroDivisionError))
        with pytest.raises(ZeroDivisionError), costs._tools(context, pools):
            pass
        assert len(closed) == 1
        assert context.summarizer is context.summarizer  # loaded again, once
    assert len(closed) == 2
