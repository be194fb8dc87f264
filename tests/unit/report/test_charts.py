from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from xpert.errors import MissingDependencyError
from xpert.report import charts

BASE = [(0, 3.0), (10, 2.0), (20, 1.5), (30, 1.49)]
SELECTED = [(0, 1.8), (10, 1.4)]


def test_chart_is_a_png_and_the_same_twice(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    made = [
        charts.starts_chart(BASE, SELECTED, target_loss=1.5, selected="tutor", out=tmp_path / f"{i}.png")
        for i in range(2)
    ]
    content = made[0].read_bytes()
    assert content.startswith(b"\x89PNG")
    assert content == made[1].read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {"0.png", "1.png"}
    other = charts.starts_chart(BASE, SELECTED[:1], target_loss=1.5, selected="tutor", out=tmp_path / "2.png")
    assert other.read_bytes() != content


def test_without_matplotlib_the_error_names_the_extra(monkeypatch: Any, tmp_path: Path) -> None:
    monkeypatch.setattr(charts, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'xpert\[report\]'"):
        charts.starts_chart(BASE, SELECTED, target_loss=1.5, selected="tutor", out=tmp_path / "x.png")
    assert list(tmp_path.iterdir()) == []
