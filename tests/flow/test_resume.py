"""An explain that is killed goes on where it was: the same catalog byte for byte, and nothing finished is computed again."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xpert.catalog import Catalog
from xpert.cli import main
from xpert.explainer import Explainer

Files = dict[str, bytes]
RUN = "import sys; from xpert.cli import main; sys.exit(main(sys.argv[1:]))"


@pytest.fixture(scope="session")
def quick_summarizer(tiny_summarizer: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny summarizer, which examines few words and writes short texts."""
    folder = tmp_path_factory.mktemp("quick") / "summarizer"
    shutil.copytree(tiny_summarizer, folder)
    asked = {
        "name": "quick",
        "compare": "Compare {a} and {b}",
        "write": "{word}: {prompt}",
        "meaning": "{word}",
        "max_new_tokens": 12,
        "max_candidates": 4,
    }
    (folder / "xpert_instruction.json").write_text(json.dumps(asked))
    return folder


@pytest.fixture
def given(tiny_base: Path, tiny_adapters: dict[str, Path], quick_summarizer: Path, tmp_path: Path) -> list[str]:
    """What is explained: three adapters by six prompts."""
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("".join(f"Tell me about thing {i}.\n" for i in range(6)))
    models = [part for name, folder in tiny_adapters.items() for part in ("--model", f"{name}={folder}")]
    asked = ["--summarizer", f"hf:{quick_summarizer}", "--prompts", str(prompts), "--max-new-tokens", "12"]
    return ["explain", "--base", str(tiny_base), *models, *asked]


def files(folder: Path) -> Files:
    """Every finished file under a folder; what a killed process left half-written has a name of its own."""
    found = [path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")]
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(found)}


def stamps(cache: Path) -> dict[str, int]:
    return {name: (cache / name).stat().st_mtime_ns for name in files(cache)}


def start(given: list[str], cache: Path, out: Path) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    said = [sys.executable, "-c", RUN, *given, "--cache", str(cache), "--out", str(out)]
    return subprocess.Popen(said, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def killed(given: list[str], cache: Path, out: Path, *, new: int, delay_s: float) -> bool:
    """Run until so many entries are new, wait a moment, kill; whether it was killed before it was done."""
    before = len(files(cache)) if cache.exists() else 0
    process = start(given, cache, out)
    deadline = time.monotonic() + 300
    while process.poll() is None and time.monotonic() < deadline:
        if cache.exists() and sum(1 for p in cache.glob("*/*/[!.]*")) >= before + new:
            break
        time.sleep(0.001)
    time.sleep(delay_s)
    process.kill()
    return process.wait() != 0


def undisturbed(given: list[str], folder: Path, capsys: Any) -> tuple[Files, Files]:
    assert main([*given, "--cache", str(folder / "cache"), "--out", str(folder / "catalog")]) == 0
    capsys.readouterr()
    return files(folder / "catalog"), files(folder / "cache")


def only_work_in_progress_was_done_again(before: dict[str, int], after: dict[str, int]) -> None:
    """No answer and no embedding that was there is written again; sub-vectors only of the words in work (8 at most)."""
    again = [name for name, stamp in before.items() if after[name] != stamp]
    assert [name for name in again if not name.startswith("subvectors")] == []
    assert len(again) < 8


def test_a_killed_run_goes_on_and_a_repeated_one_computes_nothing(
    given: list[str], tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog, entries = undisturbed(given, tmp_path / "whole", capsys)
    cache, out = tmp_path / "cache", tmp_path / "out"
    assert killed(given, cache, out, new=5, delay_s=0.0)
    assert not out.exists()
    before = stamps(cache)
    assert 5 <= len(before) < len(entries)
    again = [*given, "--cache", str(cache), "--out", str(out)]
    assert main(again) == 0
    assert files(out) == catalog
    assert files(cache) == entries
    only_work_in_progress_was_done_again(before, stamps(cache))

    from xpert.modalities.text.prober import TextProber
    from xpert.summarizers.hf import HFSummarizer

    def stop(*arguments: Any, **options: Any) -> None:
        raise AssertionError("computed again")

    for owner, name in [(TextProber, "answer"), (HFSummarizer, "summarize"), (HFSummarizer, "write_all")]:
        monkeypatch.setattr(owner, name, stop)
    if hasattr(TextProber, "answer_many"):
        monkeypatch.setattr(TextProber, "answer_many", stop)
    shutil.rmtree(out)
    assert main(again) == 0
    assert files(out) == catalog


@pytest.mark.slow
def test_kills_at_random_moments(given: list[str], tmp_path: Path, capsys: Any) -> None:
    catalog, entries = undisturbed(given, tmp_path / "whole", capsys)
    rng = random.Random()  # another moment in every run of the tests; the outcome may not depend on it
    cache, out = tmp_path / "cache", tmp_path / "out"
    before: dict[str, int] = {}
    for _ in range(6):
        if not killed(given, cache, out, new=rng.randint(1, 5), delay_s=rng.random() * 0.05):
            break
        if out.exists():  # killed after the catalog was in place
            break
        now = stamps(cache)
        only_work_in_progress_was_done_again(before, now)
        before = now
    assert main([*given, "--cache", str(cache), "--out", str(out)]) == 0
    assert files(out) == catalog
    assert files(cache) == entries


def test_a_damaged_entry_is_computed_again(given: list[str], tmp_path: Path, capsys: Any) -> None:
    catalog, entries = undisturbed(given, tmp_path / "whole", capsys)
    cache = tmp_path / "whole" / "cache"
    for kind in ("answers", "embeddings", "subvectors"):
        path = sorted((cache / kind).rglob("*.*"))[0]
        path.write_bytes(path.read_bytes()[:-9])
    assert main([*given, "--cache", str(cache), "--out", str(tmp_path / "out")]) == 0
    assert files(tmp_path / "out") == catalog
    assert files(cache) == entries


def test_without_a_cache_the_catalog_is_the_same_and_nothing_stays(
    given: list[str], tmp_path: Path, capsys: Any
) -> None:
    catalog, entries = undisturbed(given, tmp_path / "whole", capsys)
    used = Path(os.environ["XPERT_CACHE"])
    assert main([*given, "--no-cache", "--out", str(tmp_path / "bare")]) == 0
    assert files(tmp_path / "bare") == catalog
    assert not used.exists()
    assert main([*given, "--out", str(tmp_path / "usual")]) == 0
    assert files(used) == entries
    assert main([*given, "--no-cache", "--cache", str(used), "--out", str(tmp_path / "x")]) == 2
    capsys.readouterr()
    assert main(["doctor", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["cache"]["entries"] == len(entries)
    assert main(["doctor", "--clear-cache", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["cache"] == {"folder": str(used), "entries": 0, "mb": 0.0}


def test_tiny_models_grow_to_what_explaining_all_gives(
    tiny_base: Path, tiny_adapters: dict[str, Path], quick_summarizer: Path, tmp_path: Path
) -> None:
    models = {name: str(folder) for name, folder in tiny_adapters.items()}
    first, *others = models
    options: dict[str, Any] = {"prompts": [f"Tell me about thing {i}." for i in range(5)], "eps_orth": 0.5}
    explainer = Explainer(str(tiny_base), f"hf:{quick_summarizer}", **options)
    whole = explainer.explain(models)
    folder = explainer.explain({first: models[first]}).save_pretrained(tmp_path / "catalog")
    for name in others:
        opened = Catalog.from_pretrained(folder)
        Explainer.for_catalog(opened).extend(opened, {name: models[name]}).save_pretrained(folder)
    grown = Catalog.from_pretrained(folder)
    assert (grown.basis.axes, grown.names) == (whole.basis.axes, whole.names)
    assert grown.embeddings is not None
    for one, other in [
        (grown.basis.vectors, whole.basis.vectors),
        (grown.coordinates, whole.coordinates),
        (grown.stderr, whole.stderr),
        (grown.embeddings, whole.embeddings),
    ]:
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
    assert grown.provenance.match_thresholds == pytest.approx(whole.provenance.match_thresholds, rel=1e-4)
