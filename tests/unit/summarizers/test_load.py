from __future__ import annotations

import json
from pathlib import Path

import pytest

from xpert.errors import ReferenceNotFoundError, SettingsError
from xpert.summarizers import load_summarizer
from xpert.summarizers.instructions import INSTRUCTION_FILE
from xpert.testing import FakeSummarizer


def test_an_object_passes_through() -> None:
    fake = FakeSummarizer()
    assert load_summarizer(fake, device="cpu") is fake


def test_an_object_that_is_none() -> None:
    with pytest.raises(SettingsError, match=r"protocols\.Summarizer, got int"):
        load_summarizer(3)  # pyright: ignore[reportArgumentType]
    with pytest.raises(SettingsError, match="batch_size was given beside an object"):
        load_summarizer(FakeSummarizer(), batch_size=1)


def test_hf(tiny_summarizer: Path) -> None:
    summarizer = load_summarizer(f"hf:{tiny_summarizer}", max_answer_tokens=9)
    assert summarizer.name == f"hf:{tiny_summarizer}"
    assert summarizer.width == 48
    assert "first 9 tokens" in summarizer.instruction
    summarizer.close()


def test_the_zoos_keep_their_name(tmp_path: Path, tiny_summarizer: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import xpert.zoo

    monkeypatch.setattr(xpert.zoo, "path", lambda name: {"summarizer": tiny_summarizer}[name])
    summarizer = load_summarizer("zoo:summarizer")
    assert summarizer.name == "zoo:summarizer"
    summarizer.close()


@pytest.mark.parametrize("name", ["gpt", "hf:", "", "org/name"])
def test_unknown_names_list_what_there_is(name: str) -> None:
    with pytest.raises(ReferenceNotFoundError, match=r"hf:\.\.\., .*encoder:\.\.\., .*zoo:\.\.\.") as caught:
        load_summarizer(name)
    assert "\n" not in str(caught.value)


def test_an_unknown_option(tiny_summarizer: Path) -> None:
    with pytest.raises(SettingsError, match="colour"):
        load_summarizer(f"hf:{tiny_summarizer}", colour="red")


def test_a_broken_instruction_in_the_folder(tmp_path: Path) -> None:
    (tmp_path / INSTRUCTION_FILE).write_text(json.dumps({"name": "x"}))
    with pytest.raises(SettingsError, match="is missing"):
        load_summarizer(f"hf:{tmp_path}")
