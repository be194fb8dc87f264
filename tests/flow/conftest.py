"""Recorded models with planted styles, and a summarizer that can be named on the command line."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from xpert.registry import SUMMARIZERS
from xpert.testing.fakes import FakeSummarizer, fake_text

STYLES = ("friendly", "formal", "poetic")
PROMPTS = tuple(f"tell me about thing {i} and its parts" for i in range(40))
Write = Callable[[str, Sequence[object]], Path]


@pytest.fixture
def fake_scheme(monkeypatch: pytest.MonkeyPatch) -> str:
    """Makes ``fake:WIDTH-SEED`` a summarizer's name; gives one."""
    module: Any = ModuleType("fake_scheme_of_tests")

    def load(target: str, *, device: str | None = None, dtype: str | None = None) -> FakeSummarizer:
        width, seed = target.split("-")
        return FakeSummarizer(width=int(width), seed=int(seed))

    module.load = load
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(SUMMARIZERS.builtin, "fake", f"{module.__name__}:load")
    return "fake:24-0"


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes rows (or lines that are text already) to a file in the test's folder."""

    def to(name: str, rows: Sequence[object]) -> Path:
        lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
        path = tmp_path / name
        path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
        return path

    return to


@pytest.fixture
def pool(write: Write) -> dict[str, str]:
    """References of a recorded base and of a recorded model of each style."""
    return {
        name: f"answers:{write(f'{name}.jsonl', _rows(PROMPTS[:30], style, seed=i))}"
        for i, (name, style) in enumerate({"base": None, **{style: style for style in STYLES}}.items())
    }


@pytest.fixture
def me(write: Write) -> Path:
    """A poetic user's data."""
    return write("me.jsonl", _rows(PROMPTS[30:], "poetic", seed=99))


@pytest.fixture
def my_base_answers(write: Write) -> Path:
    """The base's answers to that user's prompts."""
    return write("my_base_answers.jsonl", _rows(PROMPTS[30:], None, seed=7))


def _rows(prompts: Sequence[str], style: str | None, *, seed: int) -> list[dict[str, str]]:
    return [{"prompt": prompt, "response": fake_text(prompt, style, seed=seed)} for prompt in prompts]
