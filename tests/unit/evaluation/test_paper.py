"""The preset ``paper``: shapes, data sets as they are read, draws, and what a run takes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from xpert.cli import main
from xpert.errors import DataError, MissingDependencyError, ReferenceNotFoundError
from xpert.evaluation.paper import hub
from xpert.evaluation.paper.draws import drawn_answers, drawn_examples, training_mixture
from xpert.evaluation.paper.hub import HUB_DATA, STYLES, hub_data, hub_examples
from xpert.evaluation.paper.models import BASES, MODELS, SUMMARIZER
from xpert.evaluation.paper.plan import RATES, work_of
from xpert.evaluation.paper.texts import hub_texts
from xpert.evaluation.presets import PRESETS
from xpert.evaluation.sources import FolderAnswers
from xpert.testing.tiny import tiny_causal_lm
from xpert.types import Example


def test_shapes_give_the_published_numbers_of_parameters() -> None:
    assert [MODELS[base].parameters for base in BASES] == [1_235_814_400, 494_032_768, 361_821_120]
    assert MODELS[SUMMARIZER.removeprefix("hf:")].parameters == 8_030_261_248


@pytest.mark.parametrize("family", ["llama", "qwen2", "smollm"])
def test_the_count_of_parameters_is_that_of_the_model(family: Any, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(tiny_causal_lm(tmp_path / "m", architecture=family))
    config: Any = model.config
    shape = replace(
        MODELS[BASES[0]],
        vocab_size=config.vocab_size,
        hidden_size=config.hidden_size,
        intermediate_size=config.intermediate_size,
        layers=config.num_hidden_layers,
        key_value_share=config.num_key_value_heads / config.num_attention_heads,
        tied=config.tie_word_embeddings,
        biased=family == "qwen2",
    )
    assert shape.parameters == model.num_parameters()


ROWS: Mapping[str, list[dict[str, Any]]] = {
    "alpaca": [
        {"instruction": "Say it.", "input": "a b", "output": "it"},
        {"instruction": "Go", "input": "", "output": "went"},
    ],
    "poetry": [{"text": "not a poem at all", "label": "lyrics"}, {"text": "the moon is up", "label": "poetry"}],
    "fiction": [{"chosen": [{"role": "user", "content": "go"}, {"role": "assistant", "content": "w " * 200}]}],
    "arxiv": [{"article": "two words"}, {"article": " ".join(map(str, range(200)))}],
    "medical": [{"input": "it hurts", "output": "rest"}],
    "law": [{"input": "may I", "output": "no"}],
    "education": [{"data": ["why", "so", "and"]}, {"data": ["alone"]}],
    "finance": [
        {"instruction": "buy", "input": "", "output": ""},
        {"instruction": "sell", "input": "", "output": "no"},
    ],
}
WANTED: Mapping[str, Example] = {
    "alpaca": Example(prompt="Say it.\n\na b", response="it"),
    "poetry": Example(response="the moon is up"),
    "fiction": Example(prompt=" ".join(["w"] * 16), response=" ".join(["w"] * 90)),
    "arxiv": Example(prompt=" ".join(map(str, range(16))), response=" ".join(map(str, range(16, 106)))),
    "medical": Example(prompt="it hurts", response="rest"),
    "law": Example(prompt="may I", response="no"),
    "education": Example(prompt="why", response="so"),
    "finance": Example(prompt="sell", response="no"),
}


@pytest.mark.parametrize("name", list(ROWS))
def test_columns_become_prompt_and_response(name: str) -> None:
    assert hub_examples(hub_data(name), 1, load=lambda *_, **__: ROWS[name]) == [WANTED[name]]


@pytest.mark.parametrize("name", ["alpaca", "poetry", "fiction", "education"])
def test_they_are_read_as_the_library_reads_them(name: str, tmp_path: Path) -> None:
    pytest.importorskip("datasets", reason="needs the extra 'eval'")
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS[name]))
    data = replace(hub_data(name), repository=str(tmp_path), files=None)
    assert hub_examples(data, 1) == [WANTED[name]]


def test_reading_stops_when_there_are_enough_and_says_what_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    def endless() -> Iterator[dict[str, Any]]:
        number = 0
        while True:
            number += 1
            yield {"instruction": f"{number // 2}", "input": "", "output": "x"}

    found = hub_examples(hub_data("alpaca"), 3, load=lambda *_, **__: endless())
    assert [example.prompt for example in found] == ["0", "1", "2"]
    with pytest.raises(DataError, match="expected 2 different examples of law, got 1: ask for fewer"):
        hub_examples(hub_data("law"), 2, load=lambda *_, **__: ROWS["law"])
    with pytest.raises(DataError, match="expected a column 'output', got input: it was changed"):
        hub_examples(hub_data("law"), 1, load=lambda *_, **__: [{"input": "x"}])
    with pytest.raises(ReferenceNotFoundError, match=r"no data set 'alpacca': .* \(did you mean 'alpaca'\?\)"):
        hub_data("alpacca")

    def unreachable(*_: Any, **__: Any) -> Any:
        raise ConnectionError("no route")

    with pytest.raises(
        ReferenceNotFoundError, match=r"law \(ShengbinYue/DISC-Law-SFT\): cannot be read: no route: check"
    ):
        hub_examples(hub_data("law"), 1, load=unreachable)

    def missing(_: str) -> Any:
        raise ImportError

    monkeypatch.setattr(hub, "import_module", missing)
    with pytest.raises(MissingDependencyError, match=r"needs datasets, .*xpert\[eval\]"):
        hub_examples(hub_data("law"), 1)


def test_a_repository_is_read_once_for_all_its_labels_and_kept(hub_reads: list[str], tmp_path: Path) -> None:
    names = ("poetry", "alpaca", "tweets", "lyrics")
    found = hub_texts(names, 5, tmp_path / "hub")
    assert hub_reads == [hub_data("poetry").repository, hub_data("alpaca").repository]
    assert list(found) == list(names)
    for name, own in found.items():
        assert own == hub_examples(hub_data(name), 5)
    hub_reads.clear()
    assert hub_texts(names, 5, tmp_path / "hub") == found
    assert hub_texts(["lyrics", "alpaca"], 5, tmp_path / "hub") == {name: found[name] for name in ("lyrics", "alpaca")}
    assert not hub_reads
    assert len(hub_texts(["poetry"], 6, tmp_path / "hub")["poetry"]) == 6
    assert hub_reads == [hub_data("poetry").repository]
    with pytest.raises(DataError, match="expected 400 different examples of poetry, got 300: ask for fewer"):
        hub_texts(["poetry", "lyrics"], 400, tmp_path / "hub")


def test_models_users_and_ordinary_examples_share_nothing() -> None:
    texts = {style: [Example(prompt=f"{style} {i}", response=f"{style}, {i}") for i in range(70)] for style in "abcd"}
    draw = drawn_examples(texts, seed=0, n_training=16, users_a_style=1)
    assert len(draw.styled) == 4 + 6 == len(draw.users)
    trained = {example.prompt for own in draw.styled.values() for example in own}
    written = {example.prompt for user in draw.users for example in user.examples}
    ordinary = {example.prompt for example in draw.ordinary}
    assert not trained & written
    assert not ordinary & (trained | written)
    mixed = training_mixture(draw, "a-and-b", similarity=50, seed=0)
    assert sum(example in draw.styled["a-and-b"] for example in mixed) == 8
    assert {str(example.prompt)[0] for example in draw.styled["a-and-b"]} == {"a", "b"}
    with pytest.raises(
        DataError, match="data: a has 70 examples, expected 75: 20 to train on, 50 of users, 5 ordinary"
    ):
        drawn_examples(texts, seed=0, n_training=20, users_a_style=1)


def test_answers_are_drawn_beside_the_users(answers_folder: Path) -> None:
    source = FolderAnswers(answers_folder)
    draw = drawn_answers(source, seed=0, n_training=60, users_a_style=1)
    asked = {example.prompt for user in draw.users for example in user.examples}
    for style, own in draw.styled.items():
        assert not asked & {example.prompt for example in own}
        assert all(example.response == source.answers[style][str(example.prompt)] for example in own)
    assert [one.prompt for one in draw.ordinary] == [one.prompt for one in draw.styled["formal"]]
    with pytest.raises(DataError, match="expected 100 prompts for training beside the users'"):
        drawn_answers(source, seed=0, n_training=100, users_a_style=1)


def test_operations_grow_as_the_formula_says() -> None:
    pools = PRESETS["paper"].pools
    assert pools is not None
    sizes = {"summarizer": SUMMARIZER, "styles": 2, "similarities": 3, "users": 4, "styled_texts": 0}
    one = work_of(pools, base=BASES[0], **sizes)
    assert one is not None
    n, m = 1_235_814_400, 8_030_261_248 - 128256 * 4096
    assert one.training == 6 * 500 * 16 * 256 * 4 * n
    assert one.generating == (6 + 2 + 4) * 50 * 128 * 2 * n
    assert one.reading == ((2 + 4) * 3 + 1) * 50 * 600 * 2 * m
    assert one.gpu_hours == pytest.approx((one.training / 2e14 + one.generating / 5e12 + one.reading / 2e14) / 3600)
    assert set(RATES) == {"training", "generating", "reading"}
    assert work_of(pools, base="org/unknown", **sizes) is None


def test_a_dry_run_tells_models_data_bytes_and_hours(
    answers_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setattr(hub, "hub_examples", None)  # nothing is read
    out = tmp_path / "out"
    assert main(["evaluate", "all", "--preset", "paper", "--dry-run", "--out", str(out), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [one["reference"] for one in found["models"]] == [*BASES, SUMMARIZER]
    assert [one["name"] for one in found["data"]] == list(STYLES)
    assert found["bytes"] == sum(one["bytes"] for one in (*found["models"], *found["data"])) > 20e9
    assert found["gpu_hours"] == pytest.approx(sum(one["gpu_hours"] for one in found["work"]))
    assert found["styles"] == 14
    assert {one.name for one in HUB_DATA.values()} >= set(STYLES)
    assert not out.exists()
    assert main(["evaluate", "table-5", "--preset", "paper", "--dry-run", "--data", str(answers_folder)]) == 0
    said = capsys.readouterr().out
    assert "2 styles at s = 90" in said
    named = ["evaluate", "all", "--preset", "paper", "--dry-run", "--data", "hub:law,poetry,lyrics", "--json"]
    assert main(named) == 0
    found = json.loads(capsys.readouterr().out)
    assert [one["name"] for one in found["data"]] == ["law", "poetry", "lyrics"]
    assert found["styles"] == 6
    law, poetry, lyrics = (one["bytes"] for one in found["data"])
    assert (law, poetry, lyrics) == (2767 * 1_200, 15_000_000 * 130, 0)  # one repository is read once
    assert "not measured" in said
    assert main(["evaluate", "table-7", "--preset", "paper", "--dry-run"]) == 2
    assert "table-7 runs on the zoo" in capsys.readouterr().err
