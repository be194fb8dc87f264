from __future__ import annotations

import json
from pathlib import Path

import pytest

from xpert.artifacts.header import HEADER, check_files, kind_of_artifacts, read_header, write_header
from xpert.errors import IncompatibleModelError, WeightsError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "checkpoint").write_bytes(b"0123456789")
    (tmp_path / "tokenizer.json").write_text("{}")
    write_header(tmp_path, "training", {"digest": "d"}, ["checkpoint", "tokenizer.json"])
    return tmp_path


def test_what_was_written_is_read(folder: Path) -> None:
    header = read_header(folder, "training")
    assert header["digest"] == "d"
    check_files(folder, header)
    assert kind_of_artifacts(folder) == "training"
    assert kind_of_artifacts(folder / "nothing") is None


def test_another_folder_is_told(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    with pytest.raises(IncompatibleModelError, match=r"xpert\.json cannot be read.*export it again"):
        read_header(tmp_path_factory.mktemp("empty"), "training")
    with pytest.raises(IncompatibleModelError, match="expected an export for 'encoder', it is one for 'training'"):
        read_header(folder, "encoder")
    (folder / HEADER).write_text('{"format_version": 1}')  # a catalog's has this name too
    with pytest.raises(IncompatibleModelError, match="header of an exported model"):
        read_header(folder, "training")


def test_a_newer_version_is_told(folder: Path) -> None:
    values = json.loads((folder / HEADER).read_text())
    (folder / HEADER).write_text(json.dumps({**values, "format_version": 2}))
    with pytest.raises(IncompatibleModelError, match="version is 2, this xpert reads up to 1: update xpert"):
        read_header(folder, "training")


@pytest.mark.parametrize(("content", "told"), [(b"0123", "it has 4 bytes"), (b"012345678X", "it was changed")])
def test_a_damaged_file_is_told(folder: Path, content: bytes, told: str) -> None:
    (folder / "checkpoint").write_bytes(content)
    with pytest.raises(WeightsError, match=f"checkpoint: expected 10 bytes as exported, {told}"):
        check_files(folder, read_header(folder, "training"))


def test_a_missing_file_is_told(folder: Path) -> None:
    (folder / "checkpoint").unlink()
    with pytest.raises(WeightsError, match="it is missing: copy or export it again"):
        check_files(folder, read_header(folder, "training"))


def test_another_tokenizer_is_told(folder: Path) -> None:
    (folder / "tokenizer.json").write_text("{ }")
    with pytest.raises(IncompatibleModelError, match="not the tokenizer that"):
        check_files(folder, read_header(folder, "training"))
