"""Task arithmetic on models of the Llama-3.2-1B shape: xpert beside mergekit, in turn, in one run.

    python benchmarks/merging/checkpoints.py FOLDER
    python benchmarks/merging/run.py FOLDER --mergekit ENV/bin/mergekit-yaml [--rounds 2] [--counts 2 4 8]

Both run as commands of their own, imports included, on the same files; mergekit in an environment of its own (it is LGPL and pins
its dependencies). A run reads all files once before the clock starts, so that both find them in the system's cache as far as it
reaches. Peak memory is the process's largest resident set (``ru_maxrss``). With ``--counts`` it is also measured how xpert's peak
grows with the number of models (of which several are the same files). Writes ``result.json`` beside this file.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import torch

from xpert.progress import say
from xpert.tensors.checkpoint import open_checkpoint
from xpert.tensors.files import write_text
from xpert.weights import weight_files

HERE = Path(__file__).resolve().parent
WEIGHTS = (0.5, 0.3, 0.4)
OURS = """
import sys
from xpert.mergers.base import Member
from xpert.mergers.linear import LinearMerger
base, out, *models = sys.argv[1:]
members = [Member(name=f"m{i}", reference=m.rpartition("=")[0], weight=float(m.rpartition("=")[2])) for i, m in enumerate(models)]
LinearMerger().merge(base, members, out)
"""


def measured(command: Sequence[str], out: Path) -> tuple[float, float]:
    """Seconds, and megabytes of the largest resident set, of a command that writes a folder."""
    shutil.rmtree(out, ignore_errors=True)
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    told = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    if os.waitstatus_to_exitcode(status) != 0:
        raise SystemExit(f"{command[0]} failed:\n{told[-2000:]}")
    return seconds, usage.ru_maxrss / 1024


def ours(folder: Path, out: Path, n: int) -> tuple[float, float]:
    models = [f"{folder / f'model{i % 3}'}={WEIGHTS[i % 3] / max(1, n / 3)}" for i in range(n)]
    return measured([sys.executable, "-c", OURS, str(folder / "base"), str(out), *models], out)


def theirs(mergekit: Path, folder: Path, out: Path) -> tuple[float, float]:
    """Mergekit's own lazy way: tensors are read as they are needed; float32, as xpert computes."""
    lines = ["merge_method: task_arithmetic", f"base_model: {folder / 'base'}", "dtype: float32", "out_dtype: bfloat16"]
    lines += ["parameters:", "  normalize: false", "models:"]
    for i, weight in enumerate(WEIGHTS):
        lines += [f"  - model: {folder / f'model{i}'}", "    parameters:", f"      weight: {weight}"]
    recipe = out.with_suffix(".yaml")
    recipe.write_text("\n".join([*lines, ""]))
    flags = ["--lazy-unpickle", "--no-copy-tokenizer", "--no-write-model-card", "--quiet"]
    return measured([str(mergekit), str(recipe), str(out), *flags], out)


def compare(one: Path, other: Path, *, step: int = 1 << 22) -> dict[str, Any]:
    """How far two results lie apart: by norm, and at most, in steps of bfloat16 at the size of the weights (0.02 on average)."""
    with open_checkpoint(weight_files(one)) as a, open_checkpoint(weight_files(other)) as b:
        names = a.shapes.keys() & b.shapes.keys()
        worst, equal, total, apart, norm = 0.0, 0, 0, 0.0, 0.0
        for name in sorted(names):
            rows = a.shapes[name][0]
            size = max(1, step // max(a.n_elements(name) // rows, 1))
            for start in range(0, rows, size):
                x, y = (c.rows(name, start, min(start + size, rows)).float() for c in (a, b))
                scale = 2.0 ** (x.abs().clamp_min(0.02).log2().floor() - 7)
                worst = max(worst, float(((x - y).abs() / scale).max()))
                equal, total = equal + int((x == y).sum()), total + x.numel()
                apart, norm = apart + float((x - y).double().square().sum()), norm + float(x.double().square().sum())
        return {
            "tensors": len(names),
            "missing": len(a.shapes.keys() ^ b.shapes.keys()),
            "equal": equal / total,
            "relative_distance": (apart / norm) ** 0.5,
            "worst_steps": worst,
        }


def read_once(folder: Path) -> None:
    for file in sorted(folder.glob("*/*.safetensors")):
        with open(file, "rb") as stream:
            while stream.read(1 << 24):
                pass


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--mergekit", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--counts", type=int, nargs="*", default=[2, 4, 8])
    options = parser.parse_args()
    folder, outs = options.folder, [options.folder / "out-xpert", options.folder / "out-mergekit"]
    rows: list[dict[str, float]] = []
    for _ in range(options.rounds):
        read_once(folder)
        x_seconds, x_mb = ours(folder, outs[0], 3)
        read_once(folder)
        m_seconds, m_mb = theirs(options.mergekit, folder, outs[1])
        rows.append({"xpert_s": x_seconds, "mergekit_s": m_seconds, "xpert_mb": x_mb, "mergekit_mb": m_mb})
        say(json.dumps(rows[-1]))
    growth = {
        str(n): dict(zip(("seconds", "peak_mb"), ours(folder, folder / "out-count", n), strict=True))
        for n in options.counts
    }
    say(json.dumps(growth))
    shutil.rmtree(folder / "out-count", ignore_errors=True)
    same = compare(*outs)  # last: a process that is started from a large one counts its memory as its own
    say(json.dumps(same))
    shutil.rmtree(outs[1])
    shutil.rmtree(outs[0])
    version = subprocess.run(
        [
            str(options.mergekit.parent / "python"),
            "-c",
            "import importlib.metadata as m; print(m.version('mergekit'), m.version('torch'))",
        ],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    result = {
        "rounds": rows,
        "time_ratio": median(r["xpert_s"] / r["mergekit_s"] for r in rows),
        "memory_ratio": median(r["xpert_mb"] / r["mergekit_mb"] for r in rows),
        "same": same,
        "models": growth,
        "versions": {
            "mergekit": version[0],
            "mergekit_torch": version[1],
            "torch": torch.__version__,
            "python": platform.python_version(),
            "safetensors": importlib.metadata.version("safetensors"),
        },
        "cores": os.cpu_count(),
    }
    write_text(HERE / "result.json", json.dumps(result, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
