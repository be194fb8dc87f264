"""The examples run as they stand. Both in processes of their own: a notebook's kernel is reached by sockets, which tests block."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import xpert
from xpert.evaluation.cast import OwnCast

EXAMPLES = Path(__file__).parents[2] / "examples"
EXECUTE = """
import sys
import nbclient, nbformat

notebook = nbformat.read(sys.argv[1], as_version=4)
nbclient.NotebookClient(notebook, timeout=1200, kernel_name="python3").execute(cwd=sys.argv[2])
nbformat.write(notebook, sys.argv[3])
"""


def _run(*arguments: str, cwd: Path) -> str:
    paths = [str(Path(xpert.__file__).parents[1]), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in paths if path)}
    done = subprocess.run(
        [sys.executable, *arguments],
        check=False,
        capture_output=True,
        text=True,
        cwd=cwd,
        env=environment,
        timeout=1500,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_custom_summarizer(tmp_path: Path) -> None:
    said = _run(str(EXAMPLES / "custom_summarizer.py"), cwd=tmp_path).splitlines()
    assert said[0] == "TrigramSummarizer keeps the contract"
    words = dict(line.split(": ", 1) for line in said[1:])
    assert words["clerk"].startswith("formal +")
    assert words["bard"].startswith("archaic +")
    assert words["best"] == "bard"
    assert list(tmp_path.iterdir()) == []


def test_own_pool(tmp_path: Path) -> None:
    said = _run(str(EXAMPLES / "own_pool.py"), "mine", cwd=tmp_path)
    assert said == "mine/pool.json\n"
    cast = OwnCast(tmp_path / "mine" / "pool.json")
    assert (cast.name, len(cast.models), {len(own) for own in cast.texts.values()}) == ("mine", 3, {60})


def test_quickstart_has_no_outputs_stored() -> None:
    cells = json.loads((EXAMPLES / "quickstart.ipynb").read_text(encoding="utf-8"))["cells"]
    assert [cell for cell in cells if cell.get("outputs") or cell.get("execution_count")] == []


def test_quickstart(tmp_path: Path) -> None:
    pytest.importorskip("nbclient", reason="the notebook needs the dev group")
    (tmp_path / "cwd").mkdir()
    _run(
        "-c",
        EXECUTE,
        str(EXAMPLES / "quickstart.ipynb"),
        str(tmp_path / "cwd"),
        str(tmp_path / "out.ipynb"),
        cwd=tmp_path,
    )
    cells = json.loads((tmp_path / "out.ipynb").read_text(encoding="utf-8"))["cells"]
    printed = "".join(text for cell in cells for out in cell.get("outputs", []) for text in out.get("text", []))
    said = {line.split(":")[0]: line.split(":", 1)[1].split() for line in printed.splitlines() if ":" in line}
    assert said["best"][0] == said["written in"][0]
    first = {
        line.split(" validation loss ")[0].strip(): float(line.split(" validation loss ")[1].split(" -> ")[0])
        for line in printed.splitlines()
        if " validation loss " in line
    }
    assert first["selected start"] < first["base"]
    assert list((tmp_path / "cwd").iterdir()) == []
