from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoTokenizer

from xpert.decoding import render
from xpert.errors import DataError
from xpert.testing.tiny import tiny_tokenizer
from xpert.trainers.data import IGNORE, Row, batch_of, encode, eval_batches
from xpert.trainers.order import permutation, split, training_order
from xpert.types import Example


@pytest.fixture(scope="module")
def tokenizer(tiny_base: Path) -> Any:
    return AutoTokenizer.from_pretrained(tiny_base)


def test_a_response_follows_the_prompt_as_it_is_probed_and_alone_carries_loss(tokenizer: Any) -> None:
    (row,) = encode(tokenizer, [Example(prompt="why?", response="so it is")], 64, end_id=tokenizer.eos_token_id)
    asked, rest = list(row.ids[: row.skip]), list(row.ids[row.skip :])
    assert tokenizer.decode(asked) == render(tokenizer, "why?") == "<|user|>why?<|assistant|>"
    assert tokenizer.decode(rest) == "so it is<|end|>"
    labels = batch_of([row], 0).labels[0].tolist()
    assert labels == [IGNORE] * row.skip + rest


def test_without_a_prompt_the_whole_text_is_learnt(tokenizer: Any) -> None:
    (row,) = encode(tokenizer, [Example(response="the sun is warm")], 64, end_id=tokenizer.eos_token_id)
    assert row.skip == 0
    assert tokenizer.decode(row.ids) == "the sun is warm<|end|>"


def test_without_a_chat_template_the_prompt_stands_as_it_is(tmp_path: Path) -> None:
    raw = tiny_tokenizer(tmp_path, chat_template=False)
    (row,) = encode(raw, [Example(prompt="why?", response=" so")], 64, end_id=None)
    assert raw.decode(row.ids) == "why? so"
    assert raw.decode(row.ids[: row.skip]) == "why?"


def test_long_rows_are_cut_and_told(tokenizer: Any) -> None:
    rows = encode(tokenizer, [Example(response="sun " * 50), Example(response="sun")], 12, end_id=1)
    assert [len(rows[0].ids), rows[0].cut, rows[1].cut] == [12, True, False]


@pytest.mark.parametrize(
    ("examples", "message"),
    [
        ([], "no training examples"),
        ([Example(response="fine"), Example(prompt="a", response="")], "example 2 of 2: expected text in the response"),
        ([Example(prompt="sun " * 60, response="a")], "example 1 of 1: its prompt has .* raise max_length"),
    ],
)
def test_nothing_to_learn_from(tokenizer: Any, examples: list[Example], message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        encode(tokenizer, examples, 32, end_id=1)
    assert "\n" not in str(caught.value)


def test_split_is_seeded_and_keeps_at_least_one() -> None:
    examples = [Example(response=str(i)) for i in range(12)]
    train, held = split(examples, 0.1, seed=3)
    assert (len(train), len(held)) == (11, 1)
    assert split(examples, 0.1, seed=3) == (train, held)
    assert {split(examples, 0.1, seed=s)[1][0].response for s in range(10)} > {held[0].response}
    assert [e for e in examples if e in train] == train
    assert split(examples, 0.0, seed=0) == (examples, [])
    with pytest.raises(DataError, match="cannot be split"):
        split(examples[:1], 0.5, seed=0)


def test_every_epoch_sees_every_example_once_in_another_order() -> None:
    seen = [i for batch in islice(training_order(10, 4, seed=1), 10) for i in batch]
    epochs = [seen[i : i + 10] for i in range(0, 40, 10)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 4


@pytest.mark.parametrize(("n", "batch_size"), [(10, 4), (3, 8), (7, 7)])
@pytest.mark.parametrize("start", [0, 1, 5, 13])
def test_the_order_goes_on_from_any_step(n: int, batch_size: int, start: int) -> None:
    whole = list(islice(training_order(n, batch_size, seed=5), 30))
    assert list(islice(training_order(n, batch_size, seed=5, start=start), 30 - start)) == whole[start:]
    assert {len(batch) for batch in whole} == {min(n, batch_size)}


def test_padding_is_masked_and_carries_no_loss() -> None:
    batch = batch_of([Row(ids=(5, 6, 7), skip=1), Row(ids=(8, 9), skip=0)], pad_id=0)
    assert batch.ids.tolist() == [[5, 6, 7], [8, 9, 0]]
    assert batch.labels.tolist() == [[IGNORE, 6, 7], [8, 9, IGNORE]]
    assert batch.mask is not None
    assert batch.mask.tolist() == [[1, 1, 1], [1, 1, 0]]
    assert batch_of([Row(ids=(1, 2), skip=0)], pad_id=0).mask is None


def test_evaluation_batches_hold_every_row_once() -> None:
    rows = [Row(ids=tuple(range(2 + i % 5)), skip=0) for i in range(70)]
    batches = eval_batches(rows, pad_id=0)
    assert sum(len(batch.ids) for batch in batches) == 70
    assert sum(int((batch.labels != IGNORE).sum()) for batch in batches) == sum(len(row.ids) for row in rows)


def test_a_permutation_is_that_of_torch() -> None:
    for n in (0, 1, 2, 3, 10, 1000):
        for seed in (0, 1, 3_000_009, 2**40 + 17):
            expected = torch.randperm(n, generator=torch.Generator().manual_seed(seed)).tolist()
            assert permutation(n, seed) == expected
