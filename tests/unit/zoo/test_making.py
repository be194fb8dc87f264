from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from xpert.errors import ReferenceNotFoundError, SettingsError
from xpert.zoo import adapter_names, names, path, picture_names, pool_names
from xpert.zoo.corpus import PROPERTIES, STYLES, properties_of
from xpert.zoo.making import summarizer as making
from xpert.zoo.making.base import BASES, BaseSettings, BaseShape, make_base, new_base, new_llama
from xpert.zoo.making.loop import LoopSettings, lm_loss, pad_right, run_loop
from xpert.zoo.making.pools import PoolSettings, make_pool


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return AutoTokenizer.from_pretrained(path("base"))


def weights(model: Any) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def test_every_style_is_shipped() -> None:
    pooled = [*pool_names(90), *pool_names(50)]
    assert names() == ["base", "summarizer", "summarizer-small", *STYLES, *pooled, *picture_names()]
    assert len(pooled) == 16
    assert adapter_names() == list(STYLES)
    with pytest.raises(ReferenceNotFoundError, match="unknown zoo model 'nobody'"):
        path("nobody")


def test_adjectives_are_single_tokens_that_differ(tokenizer: Any) -> None:
    first = [tokenizer.encode(w, add_special_tokens=False)[0] for ws in PROPERTIES.values() for w in ws]
    assert len(set(first)) == len(first)


def test_loss_is_that_of_the_labelled_tokens(tokenizer: Any) -> None:
    model = new_llama(tokenizer, hidden_size=32, layers=1, intermediate_size=32, seed=0)
    rows = [([5, 6, 7, 8, 9], 2), ([10, 11, 12], 1)]
    logits = model(torch.tensor([rows[0][0]])).logits[0].log_softmax(-1), model(torch.tensor([rows[1][0]])).logits[0]
    expected = [logits[0][i - 1, rows[0][0][i]] for i in (2, 3, 4)]
    expected += [logits[1].log_softmax(-1)[i - 1, rows[1][0][i]] for i in (1, 2)]
    found = lm_loss(model, pad_right(rows, tokenizer.pad_token_id))
    assert float(found.detach()) == pytest.approx(-float(torch.stack(expected).mean().detach()), abs=1e-5)


@pytest.mark.parametrize(
    ("like", "kind", "keys"), [("llama", "Llama", 6), ("qwen2", "Qwen2", 1), ("smollm", "Llama", 2)]
)
def test_bases_are_of_one_size_and_of_their_architectures(tokenizer: Any, like: str, kind: str, keys: int) -> None:
    model = new_base(tokenizer, BASES[like], seed=0)
    assert type(model).__name__ == f"{kind}ForCausalLM"
    assert model.config.num_key_value_heads == keys
    assert 2.7e6 < sum(p.numel() for p in model.parameters()) < 3.3e6
    assert model.lm_head.weight is model.model.embed_tokens.weight


def test_an_interrupted_run_resumes_exactly(tokenizer: Any, tmp_path: Path) -> None:
    def train(folder: Path, stop_at: int | None = None) -> torch.Tensor:
        model = new_llama(tokenizer, hidden_size=32, layers=1, intermediate_size=32, seed=0)

        def loss(model: Any, step: int) -> dict[str, torch.Tensor]:
            if step == stop_at:
                raise KeyboardInterrupt
            rng = random.Random(step)
            return {"lm": lm_loss(model, pad_right([([rng.randrange(50) for _ in range(8)], 1)], 0))}

        run_loop(model, loss, LoopSettings(steps=6, warmup=2, bf16=False, checkpoint_every=2), folder)
        return weights(model)

    whole = train(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "cut", stop_at=5)
    assert torch.equal(train(tmp_path / "cut"), whole)


def test_a_base_and_its_pool_are_made(tokenizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shape = BaseShape(model_type="llama", hidden_size=32, layers=1, intermediate_size=32)
    settings = BaseSettings(shape=shape, batch_size=4, loop=LoopSettings(steps=2, warmup=1))
    make_base(tokenizer, tmp_path / "base", tmp_path / "work", settings)
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "base")
    assert model.config.hidden_size == 32
    prompts = (tmp_path / "base/xpert_prompts.jsonl").read_text(encoding="utf-8").splitlines()
    assert len({json.loads(line)["prompt"] for line in prompts}) == 320
    two = dict(list(STYLES.items())[:2])
    monkeypatch.setattr("xpert.zoo.making.pools.STYLES", two)
    pool = PoolSettings(n_examples=8, steps=1, batch_size=2, rank=2, similarity=0.5)
    made = make_pool(str(tmp_path / "base"), tmp_path / "pool", pool)
    assert list(made) == list(two)
    kept = {p.name for p in (tmp_path / "pool" / next(iter(two))).iterdir()}
    assert kept == {"adapter_config.json", "adapter_model.safetensors", "README.md"}
    assert make_pool(str(tmp_path / "base"), tmp_path / "pool", pool) == {}
    last = list(two)[1]
    alone = make_pool(str(tmp_path / "base"), tmp_path / "alone", pool, styles=[last])
    assert alone == {last: made[last]}  # the same model as in the whole pool
    with pytest.raises(SettingsError, match=r"styles: expected names of the corpus, .* got 'loud'"):
        make_pool(str(tmp_path / "base"), tmp_path / "alone", pool, styles=["loud"])


def test_a_summarizer_is_made(tokenizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(making.SIZES, "small", (32, 1, 32))
    short = LoopSettings(steps=1, warmup=1)
    settings = making.SummarizerSettings(
        size="small", naming_batch=4, writing_batch=2, meaning_batch=2, loop=short, closing=short
    )
    losses = making.make_summarizer(tokenizer, tmp_path / "summarizer", tmp_path / "work", settings)
    assert set(losses) == {"name", "mean", "write", "end"}
    assert json.loads((tmp_path / "summarizer/xpert_instruction.json").read_text()) == making.INSTRUCTION
    assert json.loads((path("summarizer") / "xpert_instruction.json").read_text()) == making.INSTRUCTION


def test_the_combinations_left_out_are_never_seen(tokenizer: Any) -> None:
    lessons = making.Lessons(tokenizer, making.SummarizerSettings())
    rng = random.Random(0)
    seen = {style.name for _ in range(3000) for style in lessons._pair(rng)[:2]}
    assert seen >= set(STYLES) - set(making.HELD_OUT)
    assert not seen & set(making.HELD_OUT)
    assert {p for style in STYLES if style not in making.HELD_OUT for p in properties_of(STYLES[style])} >= {
        p for style in making.HELD_OUT for p in properties_of(STYLES[style])
    }


def test_targets_are_distributions_over_the_differing_properties(tokenizer: Any) -> None:
    lessons = making.Lessons(tokenizer, making.SummarizerSettings())
    adjectives = [word for words in PROPERTIES.values() for word in words]
    target = lessons._target({"friendly": 0.5, "concise": 0.5})
    assert float(target.sum()) == pytest.approx(1.0, abs=1e-5)
    best = {adjectives[int(i)] for i in target.topk(2).indices}
    assert best == {PROPERTIES["friendly"][0], PROPERTIES["concise"][0]}
    assert float(lessons._target({}).max()) == pytest.approx(1 / len(adjectives))
