"""Artifacts of the tiny model, made once."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from xpert.types import Example

THINGS = (
    "rain",
    "snow",
    "the sun",
    "a small cat",
    "rivers",
    "the sky",
    "letters",
    "foxes",
    "dogs",
    "hail",
    "ice",
    "fog",
)


@pytest.fixture(scope="session")
def exported(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Training artifacts of `tiny_base` with a new adapter of rank 4. Not to be changed."""
    pytest.importorskip("onnxruntime", reason="needs the extra 'onnx'")
    pytest.importorskip("onnx", reason="needs the extra 'onnx'")
    from xpert.trainers.export import OnnxExporter

    out = tmp_path_factory.mktemp("exported") / "artifacts"
    return OnnxExporter(rank=4, alpha=8, max_length=64).export(tiny_base, out)


@pytest.fixture
def artifacts(exported: Path, tmp_path: Path) -> Path:
    """A copy of `exported` that a test may damage."""
    return Path(shutil.copytree(exported, tmp_path / "artifacts"))


@pytest.fixture
def examples() -> list[Example]:
    """Twelve short ones of one style."""
    return [
        Example(
            prompt=f"Tell me about {thing}.",
            response=f"Oh, {thing}! What a lovely thing, dear friend. " + "So it is. " * i,
        )
        for i, thing in enumerate(THINGS)
    ]
