from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("PIL")

from xpert.errors import DataError
from xpert.examples import load_answers, load_base_answers, load_examples
from xpert.image_folders import read_image_folder
from xpert.images import image_uri
from xpert.references import describe
from xpert.testing.fake_images import fake_picture


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two pictures, one in a sub-folder, and what looks like one."""
    (tmp_path / "more").mkdir()
    fake_picture("a fox").save(tmp_path / "fox.png")
    fake_picture("a house").save(tmp_path / "more" / "house.jpg")
    return tmp_path


def rows(file: Path, *values: Any) -> Path:
    file.write_text("".join((v if isinstance(v, str) else json.dumps(v)) + "\n" for v in values), encoding="utf-8")
    return file


def test_images_with_texts_beside_them(folder: Path) -> None:
    (folder / "fox.txt").write_text("a red fox\n", encoding="utf-8")
    found = load_examples(folder)
    assert [(e.prompt, Path(e.response).name) for e in found] == [("a red fox", "fox.png"), (None, "house.jpg")]
    assert all(Path(e.response).is_absolute() for e in found)


@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_a_list_of_images_counts_alone(kind: str, folder: Path) -> None:
    if kind == "jsonl":
        rows(folder / "metadata.jsonl", {"file_name": "more/house.jpg", "text": "a house, small"}, "")
    else:
        rows(folder / "metadata.csv", "file_name,text", 'more/house.jpg,"a house, small"')
    assert [(e.prompt, Path(e.response).name) for e in load_examples(folder)] == [("a house, small", "house.jpg")]


def test_another_column_of_captions(folder: Path) -> None:
    rows(folder / "metadata.jsonl", {"file_name": "fox.png", "text": "one", "german": "ein Fuchs"})
    assert read_image_folder(folder, captions="german")[0].caption == "ein Fuchs"
    with pytest.raises(DataError, match="line 1: no column 'french'"):
        read_image_folder(folder, captions="french")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ({"text": "x"}, "line 2: 'file_name' is missing"),
        ({"file_name": "lost.png"}, r"line 2: no such image: .*lost\.png"),
        ({"file_name": "fox.png", "text": " "}, "line 2: the caption is empty"),
        ("{", "line 2: not JSON"),
        ("[]", "line 2: expected a JSON object"),
    ],
)
def test_broken_lists_name_the_line(line: Any, message: str, folder: Path) -> None:
    rows(folder / "metadata.jsonl", {"file_name": "fox.png"}, line)
    with pytest.raises(DataError, match=message):
        load_examples(folder)


def test_folders_without_images_and_empty_captions(folder: Path, tmp_path_factory: Any) -> None:
    with pytest.raises(DataError, match="a folder without images"):
        load_examples(tmp_path_factory.mktemp("empty"))
    (folder / "fox.txt").write_text("")
    with pytest.raises(DataError, match=r"fox\.txt: empty"):
        load_examples(folder)


def test_lines_with_images(folder: Path) -> None:
    uri = image_uri(fake_picture("a boat"))
    lines = [{"prompt": "a fox", "image": "fox.png"}, {"image": uri}, {"text": "house", "image": "more/house.jpg"}]
    found = load_examples(rows(folder / "me.jsonl", *lines))
    assert [e.prompt for e in found] == ["a fox", None, "house"]
    assert [e.response for e in found] == [str(folder / "fox.png"), uri, str(folder / "more" / "house.jpg")]
    assert load_examples([{"image": fake_picture("a boat"), "text": "a boat"}])[0].response == uri
    assert load_base_answers(rows(folder / "base.jsonl", {"image": "fox.png"}), 1) == [str(folder / "fox.png")]


@pytest.mark.parametrize(
    ("image", "message"),
    [
        ("lost.png", r"line 2: no such image: .*lost\.png"),
        ("broken.png", "line 2: .*not an image that can be read"),
        ("tiny.png", "line 2: .*4 x 4 pixels"),
        (7, "line 2: expected 'image' to be a text"),
        ("data:image/png;base64,!", "line 2: .*not base64"),
    ],
)
def test_images_that_cannot_be_used_name_file_and_line(image: Any, message: str, folder: Path) -> None:
    (folder / "broken.png").write_bytes((folder / "fox.png").read_bytes()[:60])
    fake_picture("x").resize((4, 4)).save(folder / "tiny.png")
    file = rows(folder / "me.jsonl", {"prompt": "a fox", "image": "fox.png"}, {"prompt": "x", "image": image})
    with pytest.raises(DataError, match=rf"me\.jsonl, {message}"):
        load_examples(file)


def test_recorded_images_and_their_digest(folder: Path) -> None:
    lines = [{"prompt": "a fox", "image": "fox.png", "image2": "more/house.jpg"}, {"prompt": "b", "image": "fox.png"}]
    file = rows(folder / "model.jsonl", *lines)
    first, second = load_answers(file)
    assert first.response2 == str(folder / "more" / "house.jpg")
    assert second.response2 is None
    before = describe(f"answers:{file}")
    assert before.bytes == sum(p.stat().st_size for p in (file, folder / "fox.png", folder / "more" / "house.jpg"))
    fake_picture("another fox").save(folder / "fox.png")
    assert describe(f"answers:{file}").sha256 != before.sha256


def test_recorded_images_and_texts_do_not_mix(folder: Path) -> None:
    file = rows(folder / "model.jsonl", {"prompt": "a", "image": "fox.png"}, {"prompt": "b", "response": "text"})
    with pytest.raises(DataError, match="line 2: images and texts in one file"):
        load_answers(file)
    with pytest.raises(DataError, match="line 1: no such image"):
        load_answers(rows(folder / "lost.jsonl", {"prompt": "a", "image": "lost.png"}))
