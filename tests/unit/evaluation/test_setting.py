"""On whose texts an experiment runs: names, files, the page, and what is told before any work."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xpert.cli import main
from xpert.errors import DataError, ReferenceNotFoundError, SettingsError
from xpert.evaluation.paper.hub import STYLES
from xpert.evaluation.presets import PRESETS
from xpert.evaluation.running import PAGE, result_file, run_experiments
from xpert.evaluation.setting import USUAL, Setting
from xpert.evaluation.suite import EXPERIMENTS
from xpert.evaluation.suite.context import Context
from xpert.evaluation.suite.once import EncodedOnce, SummarizedOnce, read_once
from xpert.summarizers import load_summarizer
from xpert.summarizers.encoder import EncoderSummarizer
from xpert.summarizers.hf import HFSummarizer
from xpert.testing.fakes import fake_text
from xpert.testing.tiny_encoder import tiny_encoder
from xpert.types import AnswerPair

PROMPTS = [f"what is known of subject {i}" for i in range(110)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "recorded"
    made.mkdir()
    for style in (None, "friendly", "formal"):
        rows = [{"prompt": p, "response": f"{fake_text(p, style, seed=1)}. So it is."} for p in PROMPTS]
        (made / f"{style or 'default'}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return made


def test_files_are_told_apart_by_data_and_summarizer(folder: Path) -> None:
    assert (USUAL.suffix, USUAL.told, dict(USUAL.spec())) == ("", "", {})
    other = Setting(data=f"style_qa:{folder}", summarizer="encoder:minilm")
    assert other.suffix == "-on-recorded-by-encoder-minilm"
    assert str(folder.parent) not in other.told
    assert other.spec() == Setting(data=str(folder), summarizer="encoder:minilm").spec()
    assert other.spec()["models"] == 2
    assert Setting(summarizer="encoder:minilm").suffix == "-on-zoo-by-encoder-minilm"


def test_what_is_no_data_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"no folder .*nowhere: expected zoo, FOLDER, style_qa:FOLDER, genres:FOLDER or pool"
    ):
        Setting(data=f"genres:{tmp_path / 'nowhere'}").spec()


def test_data_sets_of_the_hub_are_told_by_their_names() -> None:
    assert Setting(data="hub").hub == STYLES
    assert (USUAL.hub, Setting(data="hub-of-mine").hub) == (None, None)
    two = Setting(data="hub: law, alpaca", summarizer="encoder:minilm")
    assert (two.kind, two.hub) == ("hub", ("law", "alpaca"))
    assert two.suffix == "-on-hub-law-alpaca-by-encoder-minilm"
    assert two.told == "hub:law,alpaca, encoder:minilm"
    assert two.spec() == {"data": "hub:law,alpaca", "summarizer": "encoder:minilm"}
    for data in ("hub", "hub:law,alpaca"):
        with pytest.raises(DataError, match=f"data: expected FOLDER, .*, got {data}"):
            Setting(data=data).source()


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ("hub:law,alpacca", r"no data set 'alpacca': expected one of .* \(did you mean 'alpaca'\?\)"),
        ("hub:law", "data: expected hub:NAME,NAME with two data sets or more, a style each, got law"),
        ("hub:", "data: expected hub:NAME,NAME with two data sets or more, a style each, got none"),
        ("hub:law,alpaca,alpaca", "data: expected each data set once after hub:, got alpaca 2 times"),
    ],
)
def test_what_are_no_data_sets_of_the_hub_is_refused_before_any_work(
    data: str, told: str, tmp_path: Path, capsys: Any
) -> None:
    with pytest.raises((DataError, ReferenceNotFoundError), match=told):
        Setting(data=data).spec()
    asked = ["evaluate", "all", "--preset", "paper", "--data", data, "--out", str(tmp_path / "out")]
    assert main([*asked, "--dry-run"]) == main(asked) == 2
    assert "hub:" in (said := capsys.readouterr().err) or "no data set" in said
    assert not (tmp_path / "out").exists()


def test_an_experiment_of_the_zoo_alone_says_so(folder: Path, tmp_path: Path, capsys: Any) -> None:
    with pytest.raises(SettingsError, match=r"table-7 runs on no such data, got recorded, zoo:summarizer: .* accuracy"):
        run_experiments(
            [EXPERIMENTS["table-7"]],
            PRESETS["tiny"],
            out=tmp_path / "out",
            work=tmp_path / "work",
            setting=Setting(data=str(folder)),
        )
    assert main(["evaluate", "table-7", "--data", str(folder), "--out", str(tmp_path / "out"), "--dry-run"]) == 2
    assert "runs on no such data" in capsys.readouterr().err
    assert main(["evaluate", "all", "--data", str(folder), "--out", str(tmp_path / "out"), "--dry-run", "--json"]) == 0
    assert [one["name"] for one in json.loads(capsys.readouterr().out)["experiments"]] == ["accuracy"]
    assert not (tmp_path / "out").exists()


def test_accuracy_on_a_folder_of_answers(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("sentence_transformers", reason="needs the extra 'encoder'")
    encoder = f"encoder:{tiny_encoder(tmp_path / 'encoder')}"
    load = Context.loaded
    monkeypatch.setattr(Context, "loaded", lambda self, _: load(self, encoder))
    preset = replace(PRESETS["tiny"], draws=1, similarities=(90,))
    setting = Setting(data=str(folder), summarizer=encoder)
    run = {"out": tmp_path / "out", "work": tmp_path / "work", "setting": setting}
    (result,) = run_experiments([EXPERIMENTS["accuracy"]], preset, **run)
    assert result.spec["data"] == "recorded"
    assert result.spec["models"] == 2
    assert {row["right"]["n"] for row in result.rows["summaries"]} == {4}
    page = (tmp_path / "out" / PAGE).read_text()
    assert f"## {EXPERIMENTS['accuracy'].title}: recorded, {encoder}" in page
    assert EXPERIMENTS["accuracy"].elsewhere in page
    assert result_file(tmp_path / "out", "accuracy", setting).is_file()
    file = folder / "formal.jsonl"
    file.write_text(file.read_text().replace("So it is", "So it was", 1))
    (again,) = run_experiments([EXPERIMENTS["accuracy"]], preset, **run)
    assert again.spec["texts"] != result.spec["texts"]


def test_a_text_is_encoded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("sentence_transformers", reason="needs the extra 'encoder'")
    encoder = EncodedOnce(tiny_encoder(tmp_path / "encoder"))
    rows = encoder.encode(["one", "two", "one"])
    assert (rows[0] == rows[2]).all()
    assert not (rows[0] == rows[1]).all()
    read: list[str] = []
    encode = EncoderSummarizer.encode
    monkeypatch.setattr(EncoderSummarizer, "encode", lambda self, texts: (read.extend(texts), encode(self, texts))[1])
    assert (encoder.encode(["two", "three"])[0] == rows[1]).all()
    assert read == ["three"]
    encoder.close()


def test_a_pair_is_summarized_once(monkeypatch: pytest.MonkeyPatch) -> None:
    summarizer, plain = read_once("zoo:summarizer"), load_summarizer("zoo:summarizer")
    assert isinstance(summarizer, SummarizedOnce)
    pairs = [AnswerPair(prompt="", base=f"It is {i}.", other=f"Oh my, it is {i}!") for i in range(4)]
    expected = plain.summarize(pairs, n_candidates=3)
    assert (summarizer.name, summarizer.instruction) == (plain.name, plain.instruction)
    assert np.allclose(summarizer.summarize(pairs[:3]).embeddings, expected.embeddings[:3], atol=1e-5)
    read: list[AnswerPair] = []
    summarize = HFSummarizer.summarize
    monkeypatch.setattr(
        HFSummarizer, "summarize", lambda self, own, **how: (read.extend(own), summarize(self, own, **how))[1]
    )
    assert np.allclose(summarizer.summarize(pairs[::-1]).embeddings, expected.embeddings[::-1], atol=1e-5)
    assert read == pairs[3:]
    assert summarizer.summarize(pairs, n_candidates=3).candidates == expected.candidates
    assert read == pairs[3:] + pairs
    summarizer.close()
    plain.close()


def test_data_that_are_not_there_leave_no_folder_behind(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no folder"):
        run_experiments(
            [EXPERIMENTS["accuracy"]],
            PRESETS["tiny"],
            out=tmp_path / "out",
            work=tmp_path / "out" / "work",
            setting=Setting(data=str(tmp_path / "nowhere")),
        )
    assert not (tmp_path / "out").exists()
