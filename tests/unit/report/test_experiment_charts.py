from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from xpert.report.experiment_charts import axes_chart, costs_chart, prompts_chart


@dataclass(frozen=True)
class Point:
    n_prompts: int
    centred: float
    predicted: float


@dataclass(frozen=True)
class Named:
    name: str


@dataclass(frozen=True)
class Size:
    settings: Named
    n_models: int
    n_subvectors: tuple[int, ...]
    n_examined: tuple[int, ...]


def test_figure_7_is_a_png_that_follows_its_rows(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    points = [Point(5, 0.1, 0.11), Point(50, 0.01, 0.011), Point(200, 0.0, 0.0)]
    one = prompts_chart({"a": points}, out=tmp_path / "1.png").read_bytes()
    assert one.startswith(b"\x89PNG")
    assert prompts_chart({"a": points}, out=tmp_path / "2.png").read_bytes() == one
    assert (
        prompts_chart({"a": points[:2]}, out=tmp_path / "3.png").read_bytes() == one
    )  # no error, no place on a log axis
    assert prompts_chart({"a": points[:1]}, out=tmp_path / "4.png").read_bytes() != one


def test_table_2_is_a_png_with_a_line_a_setting(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    rows = [Size(Named("own"), 4, (3, 5), (9, 9)), Size(Named("own"), 8, (6,), (12,))]
    one = axes_chart({"a": rows}, out=tmp_path / "1.png").read_bytes()
    assert one.startswith(b"\x89PNG")
    more = [*rows, Size(Named("paper"), 4, (1,), (9,)), Size(Named("paper"), 8, (1,), (12,))]
    assert axes_chart({"a": more}, out=tmp_path / "2.png").read_bytes() != one
    assert {path.name for path in tmp_path.iterdir()} == {"1.png", "2.png"}


def test_costs_is_a_png_that_follows_its_rows(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    names = ("open_ms", "first_ms", "warm_ms", "read_once_ms", "brute_force_ms")
    rows = [{"models": m, **{name: (i + 1) * m / 100 for i, name in enumerate(names)}} for m in (10, 100)]
    one = costs_chart(rows, out=tmp_path / "1.png").read_bytes()
    assert one.startswith(b"\x89PNG")
    for name in names:
        changed = [rows[0], {**rows[1], name: 7.7}]
        assert costs_chart(changed, out=tmp_path / "2.png").read_bytes() != one, name
