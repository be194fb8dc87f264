from __future__ import annotations

from pathlib import Path

import pytest

from xpert.report.contact_sheet import contact_sheet


def test_pictures_stand_in_their_columns(tmp_path: Path) -> None:
    Image = pytest.importorskip("PIL.Image")
    colours = {"one": ["red", "blue"], "two": ["lime"]}
    columns = {name: [Image.new("RGB", (128, 128), c) for c in listed] for name, listed in colours.items()}
    file = contact_sheet(columns, tmp_path / "new" / "sheet.png", side=20)
    with Image.open(file) as sheet:
        assert sheet.size == (48, 14 + 48)
        found = [sheet.getpixel(spot) for spot in ((10, 26), (10, 50), (34, 26), (34, 50))]
    assert found == [(255, 0, 0), (0, 0, 255), (0, 255, 0), (255, 255, 255)]
    assert [entry.name for entry in file.parent.iterdir()] == ["sheet.png"]
