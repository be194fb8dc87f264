"""The documents name what is there: a newcomer reads the product off the file list."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "xpert"
ROOMS = sorted(p.name for p in PACKAGE.glob("*.py")) + sorted(
    f"{p.parent.name}/" for p in PACKAGE.glob("*/__init__.py")
)


@pytest.mark.parametrize("room", ROOMS)
def test_every_room_is_in_the_architecture(room: str) -> None:
    rooms = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8").split("```")[3]
    assert re.search(rf"(?<![\w/]){re.escape(room)}", rooms)


def test_the_architecture_names_no_room_that_is_gone() -> None:
    rooms = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8").split("```")[3]
    named = set(re.findall(r"(?<![\w/])(?:[a-z_]+\.py|[a-z_]+/)(?!\w)", rooms)) - {"src/"}
    assert sorted(named - set(ROOMS)) == []


@pytest.mark.parametrize("file", sorted((ROOT / "docs" / "adr").glob("*.md")), ids=lambda file: file.stem)
def test_every_decision_is_on_the_site(file: Path) -> None:
    assert f"adr/{file.name}" in (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
