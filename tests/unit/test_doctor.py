from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from xpert import __version__
from xpert.cli import main
from xpert.doctor import examine


def test_examine_names_this_version_and_the_machine() -> None:
    health = examine()
    assert health.versions["xpert"] == __version__
    assert health.threads >= 1
    assert health.memory_mb is None or health.memory_mb > 100


def test_doctor_without_a_catalog(capsys: Any) -> None:
    assert main(["doctor", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["problems"] == []
    assert document["versions"]["xpert"] == __version__
    assert main(["doctor"]) == 0
    assert __version__ in capsys.readouterr().out


def test_a_missing_catalog_is_a_problem(tmp_path: Path, capsys: Any) -> None:
    assert main(["doctor", str(tmp_path / "none"), "--json"]) == 2
    out, err = capsys.readouterr()
    assert len(json.loads(out)["problems"]) == 1
    assert len(err.splitlines()) == 1
    assert err.count(str(tmp_path / "none")) == 1
