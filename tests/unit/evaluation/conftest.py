"""What the tests of the preset ``paper`` share: recorded answers in planted styles, and a Hub that is not there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from xpert.evaluation.paper import hub
from xpert.testing.fakes import fake_text

N_PROMPTS, N_ROWS = 130, 300


@pytest.fixture
def answers_folder(tmp_path: Path) -> Path:
    """A folder of answers to the same prompts, in no style and in two."""
    made = tmp_path / "recorded"
    made.mkdir()
    prompts = [f"what is known of subject {i}" for i in range(N_PROMPTS)]
    for style in (None, "friendly", "formal"):
        rows = [{"prompt": p, "response": fake_text(p, style, seed=1)} for p in prompts]
        (made / f"{style or 'default'}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return made


@pytest.fixture
def hub_reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Repositories in the order in which they are opened; the rows are planted, and nothing is downloaded."""
    opened: list[str] = []

    def load(repository: str, **_: Any) -> list[dict[str, Any]]:
        opened.append(repository)
        if repository == hub.hub_data("poetry").repository:
            labels = ("poetry", "lyrics", "tweets", "shakespeare")
            return [{"text": f"{label} number {i}", "label": label} for i in range(N_ROWS) for label in labels]
        return [{"instruction": f"{repository} {i}", "input": "", "output": f"it is {i}"} for i in range(N_ROWS)]

    monkeypatch.setattr(hub, "_loader", lambda: load)
    return opened
