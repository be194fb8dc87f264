from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from xpert.evaluation.results import Chart, Series
from xpert.report import result_charts
from xpert.report.result_charts import line_chart

pytest.importorskip("matplotlib")


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The axes of every figure that was saved."""
    axes: list[Any] = []

    def save(figure: Any, out: Path) -> Path:
        axes.extend(figure.axes)
        return out

    monkeypatch.setattr(result_charts, "save_png", save)
    return axes


def chart(**values: Any) -> Chart:
    series = [
        Series(name="ours", x=[0, 1], y=[0.0, 2.0], low=[0.0, 1.0], high=[0.0, 3.0]),
        Series(name="theirs", x=[0, 1], y=[1.0, 4.0]),
    ]
    return Chart(title="t", x_label="x", y_label="y", series=series, **values)


def test_lines_join_their_points(drawn: list[Any], tmp_path: Path) -> None:
    line_chart(chart(), tmp_path / "a.png")
    lines = drawn[0].lines
    assert [line.get_linestyle() for line in lines] == ["-", "-"]
    assert lines[0].get_xydata().tolist() == [[0, 0], [1, 2]]
    assert [one.get_segments()[1].tolist() for one in drawn[0].collections] == [[[1, 1], [1, 3]]]


def test_over_names_points_stand_side_by_side(drawn: list[Any], tmp_path: Path) -> None:
    line_chart(chart(names=["first", "a-name-that-is-long"]), tmp_path / "a.png")
    ours, theirs = drawn[0].lines
    assert [ours.get_linestyle(), theirs.get_linestyle()] == ["None", "None"]
    assert ours.get_xdata().tolist() == [-0.125, 0.875]
    assert theirs.get_xdata().tolist() == [0.125, 1.125]
    assert drawn[0].get_xticks().tolist() == [0, 1]
    assert [one.get_text() for one in drawn[0].get_xticklabels()] == ["first", "a-name-that-\nis-long"]


def test_what_is_not_above_0_has_no_place_on_logarithmic_axes(drawn: list[Any], tmp_path: Path) -> None:
    line_chart(chart(log=True), tmp_path / "a.png")
    assert [line.get_xydata().tolist() for line in drawn[0].lines] == [[[1, 2]], [[1, 4]]]


def test_it_is_written_as_png(tmp_path: Path) -> None:
    assert line_chart(chart(names=["a", "b"]), tmp_path / "a.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
