from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from xpert import decoding
from xpert.decoding import generate, render, row_seed, stop_ids_of
from xpert.errors import DataError, SettingsError, WeightsError
from xpert.testing.tiny import tiny_causal_lm

PROMPTS = [
    "tell me how a volcano works",
    "why is the sky blue?",
    "a friendly answer",
    "write a short letter to a friend about the lazy dog and the warm sun",
    "rain",
]


@pytest.fixture(scope="module", params=["llama", "qwen2", "gpt2"])
def loaded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    folder: Path = tiny_causal_lm(tmp_path_factory.mktemp("lm") / request.param, architecture=request.param)
    return AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)


def rendered(tokenizer: Any) -> list[str]:
    return [render(tokenizer, p) for p in PROMPTS]


def test_greedy_is_what_transformers_generates_one_by_one(loaded: tuple[Any, Any]) -> None:
    model, tokenizer = loaded
    ours = generate(model, tokenizer, rendered(tokenizer), max_new_tokens=12, batch_size=3)
    for text, answer in zip(rendered(tokenizer), ours, strict=True):
        ids = tokenizer(text, return_tensors="pt", add_special_tokens=False)["input_ids"]
        theirs = model.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=12, do_sample=False, pad_token_id=0
        )
        assert answer == tokenizer.decode(theirs[0, ids.shape[1] :], skip_special_tokens=True).strip()


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_batch_size_and_order_change_nothing(loaded: tuple[Any, Any], temperature: float) -> None:
    model, tokenizer = loaded
    seeds = [row_seed(3, p) for p in PROMPTS]

    def run(order: list[int], batch_size: int) -> list[str]:
        texts = rendered(tokenizer)
        got = generate(
            model,
            tokenizer,
            [texts[i] for i in order],
            max_new_tokens=16,
            temperature=temperature,
            top_p=0.95,
            seeds=[seeds[i] for i in order],
            batch_size=batch_size,
        )
        return [got[order.index(i)] for i in range(len(order))]

    expected = run([0, 1, 2, 3, 4], 1)
    assert run([0, 1, 2, 3, 4], 5) == expected
    assert run([4, 2, 0, 1, 3], 2) == expected
    assert len(set(expected)) > 1


def test_sampling_follows_the_seed(loaded: tuple[Any, Any]) -> None:
    model, tokenizer = loaded

    def run(seed: int) -> list[str]:
        seeds = [row_seed(seed, p) for p in PROMPTS]
        return generate(model, tokenizer, rendered(tokenizer), max_new_tokens=16, temperature=1.0, seeds=seeds)

    assert run(1) == run(1)
    assert run(1) != run(2)


def test_a_row_ends_at_a_stop_id_while_the_others_go_on(loaded: tuple[Any, Any]) -> None:
    model, tokenizer = loaded
    plain = generate(model, tokenizer, rendered(tokenizer), max_new_tokens=10, stop_ids=())
    stops = range(0, 400, 5)  # a fifth of the vocabulary: rows end at different steps
    stopped = generate(model, tokenizer, rendered(tokenizer), max_new_tokens=10, stop_ids=stops)
    alone = [generate(model, tokenizer, [t], max_new_tokens=10, stop_ids=stops)[0] for t in rendered(tokenizer)]
    assert stopped == alone
    assert stopped != plain
    assert len({len(text) for text in stopped}) > 1


def test_top_p_keeps_the_nucleus(loaded: tuple[Any, Any]) -> None:
    model, tokenizer = loaded
    seeds = list(range(len(PROMPTS)))
    narrow = generate(model, tokenizer, rendered(tokenizer), max_new_tokens=8, temperature=1.0, top_p=1e-9, seeds=seeds)
    assert narrow == generate(model, tokenizer, rendered(tokenizer), max_new_tokens=8)


def test_stop_ids_come_from_config_and_tokenizer(loaded: tuple[Any, Any]) -> None:
    model, tokenizer = loaded
    assert stop_ids_of(model, tokenizer) == {tokenizer.eos_token_id}


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"max_new_tokens": 0}, "max_new_tokens"),
        ({"max_new_tokens": 4, "temperature": -1.0}, "temperature"),
        ({"max_new_tokens": 4, "top_p": 0.0}, "top_p"),
        ({"max_new_tokens": 4, "batch_size": 0}, "batch_size"),
        ({"max_new_tokens": 4, "temperature": 1.0}, "seeds"),
        ({"max_new_tokens": 4, "temperature": 1.0, "seeds": [1]}, "seeds"),
    ],
)
def test_options_out_of_range(loaded: tuple[Any, Any], options: dict[str, Any], word: str) -> None:
    with pytest.raises(SettingsError, match=word):
        generate(*loaded, ["a", "b"], **options)


def test_too_long_and_empty_prompts(loaded: tuple[Any, Any]) -> None:
    with pytest.raises(DataError, match=r"prompt 2 of 2: .* 1024 positions"):
        generate(*loaded, ["a", "b" * 2000], max_new_tokens=4)
    with pytest.raises(DataError, match="prompt 1 of 1"):
        generate(*loaded, [""], max_new_tokens=4)


def test_weights_that_are_not_finite(tmp_path: Path) -> None:
    folder = tiny_causal_lm(tmp_path / "m")
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    model.model.norm.weight.data[0] = float("nan")
    with pytest.raises(WeightsError, match="not finite"):
        generate(model, tokenizer, ["a"], max_new_tokens=2)


@pytest.mark.parametrize("architecture", ["llama", "qwen2"])
def test_masks_given_ready_change_no_answer(architecture: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:

    folder = tiny_causal_lm(tmp_path / "base", architecture=architecture)
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    prompts = ["a", "the small cat sleeps in the warm sun", "why?"]
    seen: list[int] = []
    model.register_forward_pre_hook(lambda _, args, given: seen.append(given["attention_mask"].ndim), with_kwargs=True)
    ready = decoding.generate(model, tokenizer, prompts, max_new_tokens=20)
    assert set(seen[1:]) == {4}
    monkeypatch.setattr(decoding, "FULL_ATTENTION", ())
    assert decoding.generate(model, tokenizer, prompts, max_new_tokens=20) == ready
    assert seen[-1] == 2
