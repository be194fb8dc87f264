from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from xpert.tensors.files import atomic_folder, sha256_file, write_bytes, write_text


def test_hash_of_a_file_of_several_blocks(tmp_path: Path) -> None:
    data = os.urandom((1 << 20) + 7)
    (tmp_path / "x").write_bytes(data)
    assert sha256_file(tmp_path / "x") == hashlib.sha256(data).hexdigest()


def test_a_file_is_replaced_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_text(tmp_path / "x", "älter\n")
    assert path.read_bytes() == "älter\n".encode()

    def interrupted(source: object, target: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_bytes(path, b"newer")
    assert path.read_bytes() == "älter\n".encode()
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


def test_a_folder_takes_its_place_at_the_end(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "out"
    with atomic_folder(target) as folder:
        (folder / "a").write_text("1")
        assert not target.exists()
    with atomic_folder(target) as folder:
        (folder / "b").write_text("2")
        assert [p.name for p in target.iterdir()] == ["a"]
    assert [p.name for p in target.iterdir()] == ["b"]
    assert [p.name for p in target.parent.iterdir()] == ["out"]


def test_an_error_leaves_the_older_folder(tmp_path: Path) -> None:
    target = tmp_path / "out"
    with atomic_folder(target) as folder:
        (folder / "a").write_text("1")

    def interrupted() -> None:
        with atomic_folder(target) as folder:
            (folder / "b").write_text("2")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert [p.name for p in target.iterdir()] == ["a"]
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_a_rename_that_fails_puts_the_older_folder_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "out"
    with atomic_folder(target) as folder:
        (folder / "a").write_text("1")
    rename, calls = os.rename, []

    def second_fails(source: str, destination: str) -> None:
        calls.append(source)
        if len(calls) == 2:
            raise OSError("device went away")
        rename(source, destination)

    monkeypatch.setattr(os, "rename", second_fails)
    with pytest.raises(OSError, match="went away"), atomic_folder(target) as folder:
        (folder / "b").write_text("2")
    assert [p.name for p in target.iterdir()] == ["a"]
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
