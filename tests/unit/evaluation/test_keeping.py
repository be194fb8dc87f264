"""What is kept is made once, and a failure leaves nothing that looks done."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from xpert.evaluation.keeping import kept


def test_a_value_is_made_once(tmp_path: Path) -> None:
    made: list[int] = []

    def make() -> dict[str, Any]:
        made.append(1)
        return {"right": [True, False], "steps": None}

    file = tmp_path / "of" / "a" / "cell.json"
    first = kept(file, make)
    assert first == kept(file, make) == {"right": [True, False], "steps": None}
    assert made == [1]


def test_a_failure_leaves_nothing(tmp_path: Path) -> None:
    file = tmp_path / "cell.json"
    with pytest.raises(ZeroDivisionError):
        kept(file, lambda: 1 / 0)
    with pytest.raises(TypeError):
        kept(file, object)
    assert list(tmp_path.iterdir()) == []
    assert kept(file, lambda: 3) == 3
