"""A training step and the memory of its process: torch with PEFT against ONNX Runtime without torch, on the same batches.

    python benchmarks/onnx_training/run.py [tiny] [50m] [--rounds 3] [--steps 12] [--threads 1]

Each side runs in a process of its own, in turn, several rounds. Writes ``result.json`` beside this file. See ``README.md``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

HERE = Path(__file__).resolve().parent
LENGTH, BATCH, RANK = 128, 4, 16
PACKAGES = ("torch", "transformers", "peft", "onnxruntime-training-cpu", "numpy")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("sizes", nargs="*", default=["tiny", "50m"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    file = HERE / "result.json"
    result: dict[str, Any] = json.loads(file.read_text()) if file.is_file() else {}
    with TemporaryDirectory() as work:
        for size in given.sizes:
            result[size] = measured(size, Path(work), given)
            print(json.dumps({size: result[size]}, indent=1))
    result["setting"] = {
        "batch": BATCH,
        "tokens": LENGTH,
        "rank": RANK,
        "steps": given.steps,
        "rounds": given.rounds,
        "threads": given.threads,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "python": platform.python_version(),
        "versions": {package: version(package) for package in PACKAGES},
    }
    file.write_text(json.dumps(result, indent=1) + "\n")


def measured(size: str, work: Path, given: argparse.Namespace) -> dict[str, Any]:
    """Both sides in turn; ratios are of medians over the rounds."""
    prepared = json.loads(side("prepare", size, work, given))
    rounds: dict[str, list[dict[str, Any]]] = {"torch": [], "onnx": []}
    for _ in range(given.rounds):
        for name, runs in rounds.items():
            runs.append(json.loads(side(name, size, work, given)))
    told: dict[str, Any] = {"parameters": prepared["parameters"]}
    for name, runs in rounds.items():
        told[name] = {
            "step_ms": [round(run["step_ms"], 2) for run in runs],
            "peak_mb": [round(run["peak_mb"], 1) for run in runs],
        }
        for key in ("step_ms", "peak_mb"):
            told[name][f"median_{key}"] = statistics.median(told[name][key])
    told["steps_are_faster_by"] = round(told["torch"]["median_step_ms"] / told["onnx"]["median_step_ms"], 2)
    told["memory_ratio"] = round(told["onnx"]["median_peak_mb"] / told["torch"]["median_peak_mb"], 2)
    pairs = zip(rounds["torch"][0]["losses"], rounds["onnx"][0]["losses"], strict=True)
    told["largest_difference_of_a_loss"] = max(abs(a - b) for a, b in pairs)
    return told


def side(name: str, size: str, work: Path, given: argparse.Namespace) -> str:
    """A process of its own; its last line."""
    settings = {"OMP_NUM_THREADS": str(given.threads), "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, __file__, "--one", name, size, str(work), str(given.steps), str(given.threads)]
    done = subprocess.run(command, env={**os.environ, **settings}, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[-1]


def one(name: str, size: str, work: Path, steps: int, threads: int) -> dict[str, Any]:
    """What one process does."""
    start, artifacts = work / f"{size}-model", work / f"{size}-artifacts"
    if name == "prepare":
        return prepare(size, start, artifacts)
    times: list[float] = []

    def told(event: Any) -> None:
        if event.kind == "step":
            times.append(event.seconds)

    common = {"max_steps": steps, "lr": 1e-3, "batch_size": BATCH, "eval_fraction": 0.0, "callbacks": [told]}
    examples = [json.loads(line) for line in (work / f"{size}-data.jsonl").read_text().splitlines()]
    import xpert

    rows = [xpert.Example(**one) for one in examples]
    if name == "torch":
        import torch

        torch.set_num_threads(threads)
        trainer: Any = xpert.TorchTrainer(**common, rank=RANK, max_length=LENGTH, device="cpu")
        report = trainer.fit(start, rows, out=work / f"{size}-torch-{os.getpid()}")
    else:
        trainer = xpert.OnnxTrainer(**common, threads=threads, inference_model=False)
        report = trainer.fit(artifacts, rows, out=work / f"{size}-onnx-{os.getpid()}")
    each = [after - before for before, after in pairwise(times)]  # the first warms up
    return {
        "step_ms": 1000 * statistics.median(each),
        "peak_mb": peak_mb(),
        "losses": [loss for _, loss in report.losses],
    }


def prepare(size: str, start: Path, artifacts: Path) -> dict[str, Any]:
    """Model, artifacts and data: rows of exactly `LENGTH` tokens."""
    import shutil

    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    from xpert import OnnxExporter, zoo

    base = zoo.path("base")
    if size == "tiny":
        shutil.copytree(base, start)
    else:
        torch.manual_seed(0)
        config = LlamaConfig(
            vocab_size=32000, hidden_size=512, intermediate_size=1376, num_hidden_layers=8, num_attention_heads=8,
            num_key_value_heads=8, max_position_embeddings=1024, pad_token_id=0, eos_token_id=1, bos_token_id=None,
        )  # fmt: skip
        LlamaForCausalLM(config).save_pretrained(start)
        AutoTokenizer.from_pretrained(base).save_pretrained(start)
    OnnxExporter(rank=RANK, max_length=LENGTH).export(start, artifacts)
    text = "the quick brown fox jumps over the lazy dog and the small cat sleeps in the warm sun. "
    lines = [json.dumps({"response": f"{number} {text * 40}"}) for number in range(4 * BATCH)]
    (start.parent / f"{size}-data.jsonl").write_text("\n".join(lines))
    model = LlamaForCausalLM.from_pretrained(start)
    return {"parameters": sum(p.numel() for p in model.parameters())}


def peak_mb() -> float:
    """Peak resident memory of this process, without its parent's, in MB."""
    text = Path("/proc/self/status").read_text()
    return int(text.split("VmHWM:")[1].split()[0]) * 1024 / 1e6


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        kind, size, work, steps, threads = sys.argv[2:]
        print(json.dumps(one(kind, size, Path(work), int(steps), int(threads))))
    else:
        main()
