"""Personal text stays where the user puts it: no socket is asked for, and no file outside the results holds a word of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from xpert.explainer import Explainer
from xpert.types import Generation

MARKER = "zyqxwv"
RUN = Path(__file__).with_name("personal_run.py")


def digest(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def leaks(root: Path, *, kept: tuple[Path, ...]) -> list[str]:
    """Files under ``root`` that hold the marker in content or name, but those in the folders where it may be."""
    marker = MARKER.encode()
    return [
        str(path.relative_to(root))
        for path in sorted(root.rglob("*"))
        if path.is_file()
        and not any(folder in path.parents for folder in kept)
        and (MARKER in path.name or marker in path.read_bytes())
    ]


@pytest.fixture
def world(tmp_path: Path) -> dict[str, Path]:
    """A home, a folder for temporary files, a working folder, the user's data and the results, all under one root."""
    folders = {name: tmp_path / name for name in ("home", "tmp", "cwd", "personal", "results")}
    for folder in folders.values():
        folder.mkdir()
    rows = [
        {
            "prompt": f"What did {MARKER} tell you on day {i}?",
            "response": f"My secret {MARKER} number {i} is safe. {'Ah. ' * i}",
        }
        for i in range(6)
    ]
    data = folders["personal"] / "me.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return folders | {"root": tmp_path, "data": data}


@pytest.fixture
def catalog(tiny_base: Path, tiny_adapters: dict[str, Path], tiny_summarizer: Path, world: dict[str, Path]) -> Path:
    explainer = Explainer(
        str(tiny_base),
        f"hf:{tiny_summarizer}",
        prompts=[f"Tell me about thing {i}." for i in range(4)],
        generation=Generation(max_new_tokens=16),
        max_candidates=4,
    )
    made = explainer.explain({name: str(folder) for name, folder in tiny_adapters.items()})
    return made.save_pretrained(world["root"] / "catalog")


def run(world: dict[str, Path], *arguments: object) -> dict[str, Any]:
    environment = {
        **os.environ,
        "HOME": str(world["home"]),
        "USERPROFILE": str(world["home"]),
        "TMPDIR": str(world["tmp"]),
        "PYTHONDONTWRITEBYTECODE": "1",
        "OMP_NUM_THREADS": "1",
        "XPERT_CACHE": str(world["home"] / "xpert-cache"),
    }
    for name in ("XDG_CACHE_HOME", "HF_HOME", "TORCH_HOME", "HF_HUB_CACHE", "TRANSFORMERS_CACHE"):
        environment.pop(name, None)
    environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    done = subprocess.run(
        [sys.executable, str(RUN), *map(str, arguments)],
        capture_output=True,
        check=False,
        text=True,
        cwd=world["cwd"],
        env=environment,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


def test_personal_text_leaves_no_trace(world: dict[str, Path], catalog: Path, tiny_base: Path) -> None:
    before = digest(catalog)
    said = run(world, catalog, world["data"], tiny_base, world["results"])

    kept = (world["personal"], world["results"])
    assert said["attempts"] == []
    assert said["written"] == []
    assert leaks(world["root"], kept=kept) == []
    assert digest(catalog) == before
    assert [path.name for path in world["personal"].iterdir()] == ["me.jsonl"]
    assert not (
        world["home"] / "xpert-cache"
    ).exists()  # no cache: not even of what the base answers to personal prompts
    assert leaks(world["results"], kept=()) == []  # models and reports, but no copy of the data
    for way in ("python", "cli"):
        assert (world["results"] / way / "mine" / "adapter_config.json").is_file()

    cache = world["home"] / ".cache" / "xpert"  # the search itself must find what somebody might cache
    cache.mkdir(parents=True)
    (cache / "pairs.bin").write_bytes(b"\x00\x01" + MARKER.encode() + b"\xff")
    (world["tmp"] / f"{MARKER}.txt").write_text("")
    assert leaks(world["root"], kept=kept) == ["home/.cache/xpert/pairs.bin", f"tmp/{MARKER}.txt"]
