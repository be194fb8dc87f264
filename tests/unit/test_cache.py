from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from xpert.cache import KINDS, Cache, default_folder, key_of, open_cache
from xpert.errors import SettingsError

KEY, OTHER = key_of("answers", a=1), key_of("answers", a=2)


def filled(tmp_path: Path) -> Cache:
    cache = Cache(tmp_path / "cache")
    cache.put_json("answers", KEY, {"texts": ["Gr\u00fc\u00dfe \u2028 \ud800", ""]})
    cache.put_array("embeddings", KEY, np.arange(6, dtype=np.float32).reshape(2, 3), [["friendly", 0.5]])
    cache.put_array("subvectors", KEY, np.ones(3, np.float32), [KEY])
    return cache


def test_what_was_put_is_got_by_its_key_alone(tmp_path: Path) -> None:
    cache = filled(tmp_path)
    again = Cache(tmp_path / "cache")
    assert again.get_json("answers", KEY) == {"texts": ["Gr\u00fc\u00dfe \u2028 \ud800", ""]}
    found = again.get_array("embeddings", KEY)
    assert found is not None
    np.testing.assert_array_equal(found[0], np.arange(6, dtype=np.float32).reshape(2, 3))
    assert found[1] == [["friendly", 0.5]]
    assert cache.get_json("answers", OTHER) is None
    assert cache.get_array("subvectors", OTHER) is None
    assert cache.has("answers", KEY)
    assert not cache.has("answers", OTHER)


def test_every_changed_or_missing_byte_is_noticed_and_the_entry_removed(tmp_path: Path) -> None:
    cache = filled(tmp_path)
    for kind in KINDS:
        (path,) = (cache.folder / kind).rglob("*.*")
        good = path.read_bytes()
        middle = len(good) // 2
        flipped = [good[:i] + bytes([good[i] ^ 1]) + good[i + 1 :] for i in range(len(good))]
        for bad in [*flipped, good[:-1], good[:middle], b"", good + b"\x00"]:
            path.write_bytes(bad)
            value = cache.get_json(kind, KEY) if kind == "answers" else cache.get_array(kind, KEY)
            if value is None:
                assert not path.exists()
            elif kind == "answers":  # a change of form alone (an escape in another case): the value is what was put
                assert value == {"texts": ["Gr\u00fc\u00dfe \u2028 \ud800", ""]}
            else:
                raise AssertionError(f"{kind}: a changed entry was read")
            path.write_bytes(good)


def test_an_entry_under_another_name_is_not_taken(tmp_path: Path) -> None:
    cache = filled(tmp_path)
    (path,) = (cache.folder / "answers").rglob("*.json")
    moved = cache.folder / "answers" / OTHER[:2] / f"{OTHER}.json"
    moved.parent.mkdir(exist_ok=True)
    path.rename(moved)
    assert cache.get_json("answers", OTHER) is None


def test_many_writers_of_one_entry_leave_a_whole_one(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    rows = np.random.default_rng(0).normal(size=(50, 64)).astype(np.float32)

    def work(i: int) -> bool:
        cache.put_array("embeddings", KEY, rows, [])
        found = cache.get_array("embeddings", KEY)
        return found is not None and bool((found[0] == rows).all())

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(100)))
    assert [path.name for path in (tmp_path / "embeddings").rglob("*.*")] == [f"{KEY}.safetensors"]


def test_size_and_clear(tmp_path: Path) -> None:
    cache = filled(tmp_path)
    (cache.folder / "mine.txt").write_text("kept")
    (cache.folder / "answers" / KEY[:2] / f".{KEY}.json.0123.tmp").write_text("left by a killed run")
    assert {kind: count for kind, (count, _) in cache.size().items()} == dict.fromkeys(KINDS, 1)
    assert all(size > 20 for _, size in cache.size().values())
    cache.clear()
    assert [path.name for path in cache.folder.iterdir()] == ["mine.txt"]
    assert sum(count for count, _ in cache.size().values()) == 0


def test_keys_differ_by_kind_part_and_value() -> None:
    keys = [key_of("answers", a=[1]), key_of("embeddings", a=[1]), key_of("answers", b=[1]), key_of("answers", a=["1"])]
    assert len(set(keys)) == 4
    assert key_of("answers", a=1, b=2) == key_of("answers", b=2, a=1)


def test_where_the_users_cache_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XPERT_CACHE", str(tmp_path / "own"))
    assert default_folder() == tmp_path / "own"
    cache = open_cache("default")
    assert cache is not None
    assert cache.folder == tmp_path / "own"
    assert not cache.folder.exists()  # made at the first entry
    monkeypatch.delenv("XPERT_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_folder() == tmp_path / "xpert"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert default_folder() == Path.home() / ".cache" / "xpert"
    assert open_cache(None) is None


def test_a_file_is_no_cache(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("x")
    with pytest.raises(SettingsError, match="expected a folder, found a file"):
        open_cache(tmp_path / "f")


def test_a_cache_that_cannot_be_written_stops_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "answers").write_text("a file where a folder should be")
    cache = Cache(tmp_path)
    for key in ("k1", "k2"):
        cache.put_json("answers", key, ["text"])
        assert cache.get_json("answers", key) is None
    assert capsys.readouterr().err.count("cannot be written") == 1
