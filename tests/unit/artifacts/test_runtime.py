from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from xpert.artifacts.runtime import runtime, training_build
from xpert.errors import MissingDependencyError

pytest.importorskip("onnxruntime", reason="needs the extra 'onnx'")

IMPORTS = """
import json, sys
from xpert.artifacts.runtime import runtime, training_build
training_build()
kept = [name for name in ("torch", "transformers", "onnx", "onnxruntime.training") if name in sys.modules]
print(json.dumps(kept))
"""

ANOTHER = """
import sys
sys.path.insert(0, sys.argv[1])
from xpert.artifacts.runtime import training_build
try:
    training_build()
except ImportError as error:
    print(error)
"""


def printed(code: str, *arguments: str) -> str:
    return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True).stdout


def test_the_runtime_comes_without_torch() -> None:
    assert json.loads(printed(IMPORTS)) == []


def test_the_training_build_trains() -> None:
    api = training_build()
    assert {"CheckpointState", "Module", "Optimizer"} <= set(dir(api))
    assert runtime().__version__.startswith("1.")


def test_plain_onnxruntime_in_its_place_is_told(tmp_path: Path) -> None:
    (tmp_path / "onnxruntime").mkdir()
    (tmp_path / "onnxruntime" / "__init__.py").write_text(
        "__version__ = '1.23.0'\ndef set_default_logger_severity(level): pass\n"
    )
    told = printed(ANOTHER, str(tmp_path))
    assert "found onnxruntime 1.23.0 without it" in told
    assert "pip install --force-reinstall onnxruntime-training-cpu==1.19.2" in told


def test_a_python_without_a_wheel_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(
        MissingDependencyError, match=r"wheels for Python 3\.8 to 3\.12 on Linux x86-64; this is Python 3"
    ):
        runtime()
