"""One measured run in a process of its own; prints one JSON line. Called by ``run.py``; needs Linux.

    python benchmarks/streaming/one.py WHO FOLDER --prompts 50 --tokens 200 [--ragged] [--batch 10] [--cold] [--budget 1GB] [--calls 2] [--limit 600]

WHO: resident, streamed, disk (Transformers, ``device_map={"": "disk"}``), offload (accelerate's ``disk_offload``), airllm.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import sys
import threading
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
import transformers.models.llama.modeling_llama as llama
from transformers import AutoModel

AutoModel._model_mapping[llama.LlamaConfig]  # imports what is imported at first use


PACKAGES = {"airllm": ("airllm",), "offload": ("accelerate",), "disk": ("accelerate",)}


def status() -> dict[str, int]:
    lines = (line.split() for line in Path("/proc/self/status").read_text().splitlines())
    return {words[0][:-1]: int(words[1]) for words in lines if words and words[0] in ("VmRSS:", "VmHWM:", "RssAnon:")}


class Peak:
    """Peak resident memory (the kernel's own mark) and peak anonymous memory (looked at 100 times a second), above what was there."""

    def __enter__(self) -> Peak:
        gc.collect()
        Path("/proc/self/clear_refs").write_text("5")
        self._before, self._anonymous, self._over = status(), 0, threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()
        return self

    def _look(self) -> None:
        while not self._over.wait(0.01):
            self._anonymous = max(self._anonymous, status()["RssAnon"])

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        now = status()
        self.resident_mb = (now["VmHWM"] - self._before["VmRSS"]) * 1024 / 1e6
        self.anonymous_mb = (max(self._anonymous, now["RssAnon"]) - self._before["RssAnon"]) * 1024 / 1e6


def rows_of(options: argparse.Namespace) -> list[list[int]]:
    generator = torch.Generator().manual_seed(1)
    lengths = [options.tokens] * options.prompts
    if options.ragged:
        lengths = torch.randint(
            options.tokens // 4, options.tokens + 1, (options.prompts,), generator=generator
        ).tolist()
    return [torch.randint(0, 128000, (n,), generator=generator).tolist() for n in sorted(lengths, reverse=True)]


def inputs_of(rows: list[list[int]]) -> dict[str, Any]:
    longest = max(map(len, rows))
    ids = torch.tensor([[0] * (longest - len(row)) + row for row in rows])
    mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows])
    return {"input_ids": ids, "attention_mask": mask, "position_ids": (mask.cumsum(1) - 1).clamp(min=0)}


def streamed(options: argparse.Namespace, batches: list[dict[str, Any]]) -> tuple[torch.Tensor, dict[str, Any]]:
    from xpert.streaming.budget import memory_bytes
    from xpert.streaming.model import StreamedModel
    from xpert.streaming.passes import Call

    budget = None if options.budget is None else memory_bytes(options.budget)
    begun = time.perf_counter()
    model = StreamedModel(
        Path(options.folder), device=torch.device("cpu"), dtype=getattr(torch, options.dtype), memory_budget=budget
    )
    loaded = time.perf_counter() - begun
    calls_s, results = [], []
    with torch.inference_mode():
        for number in range(options.calls):
            if number:
                prepare(options)
            begun = time.perf_counter()
            results = [result.last[:, -1] for result in model.run([Call(inputs=batch) for batch in batches])]
            calls_s.append(time.perf_counter() - begun)
    told = model.report
    extra = {
        "load_s": loaded,
        "calls_s": calls_s,
        "waited_share": told.waited_share,
        "read_mb": told.bytes_read / 1e6,
        "promised_mb": told.promised_bytes / 1e6,
        "own_peak_mb": told.peak_bytes / 1e6 if told.peak_bytes else None,
        "resident_layers": told.resident_layers,
        "passes": told.n_passes,
    }
    model.close()
    return torch.cat(results), extra


def with_transformers(
    options: argparse.Namespace, batches: list[dict[str, Any]]
) -> tuple[torch.Tensor, dict[str, Any]]:
    begun = time.perf_counter()
    where: dict[str, Any] = {}
    if options.who == "disk":
        where = {"device_map": {"": "disk"}, "offload_folder": options.scratch}
    model: Any = AutoModel.from_pretrained(options.folder, dtype=getattr(torch, options.dtype), **where).eval()
    if options.who == "offload":
        from accelerate import disk_offload

        disk_offload(model, options.scratch, execution_device=torch.device("cpu"))
    loaded = time.perf_counter() - begun
    calls_s, last = [], []
    with torch.inference_mode():
        for number in range(options.calls):
            if number:
                prepare(options)
            begun = time.perf_counter()
            last = [model(**batch, use_cache=False).last_hidden_state[:, -1].clone() for batch in batches]
            calls_s.append(time.perf_counter() - begun)
    return torch.cat(last), {"load_s": loaded, "calls_s": calls_s}


def airllm(options: argparse.Namespace, batches: list[dict[str, Any]]) -> tuple[torch.Tensor, dict[str, Any]]:
    from airllm import AutoModel as Airllm

    begun = time.perf_counter()
    model: Any = Airllm.from_pretrained(
        options.folder, device="cpu", dtype=getattr(torch, options.dtype), layer_shards_saving_path=options.scratch
    )
    loaded = time.perf_counter() - begun
    last = []
    with torch.inference_mode():
        for batch in batches:
            out = model(input_ids=batch["input_ids"], use_cache=False)
            last.append(out.logits[:, -1])
    return torch.cat(last), {"load_s": loaded}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("who", choices=("resident", "streamed", "disk", "offload", "airllm"))
    parser.add_argument("folder")
    parser.add_argument("--prompts", type=int, default=50)
    parser.add_argument("--tokens", type=int, default=200)
    parser.add_argument("--batch", type=int, default=10)
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--budget")
    parser.add_argument("--scratch", default="/tmp/xpert-streaming-scratch")
    parser.add_argument("--ragged", action="store_true")
    parser.add_argument("--cold", action="store_true", help="drop the files from the page cache before each call")
    parser.add_argument("--calls", type=int, default=1, help="the same prompts so many times, the model loaded once")
    parser.add_argument(
        "--limit", type=float, help="memory above the imports, page cache included, in MB (a control group)"
    )
    options = parser.parse_args()
    torch.set_num_threads(2)
    if options.who == "streamed":
        __import__("xpert.streaming.model")
    if options.who == "airllm":
        __import__("airllm")
    if options.who in ("disk", "offload"):
        __import__("accelerate")
    rows = rows_of(options)
    batches = [inputs_of(rows[i : i + options.batch]) for i in range(0, len(rows), options.batch)]
    warm_up()
    prepare(options)
    if options.limit is not None:
        limit_memory(options.limit)
    with Peak() as peak:
        begun = time.perf_counter()
        run = {"streamed": streamed, "airllm": airllm}.get(options.who, with_transformers)
        last, extra = run(options, batches)
        seconds = time.perf_counter() - begun
    print(
        json.dumps(
            {
                "who": options.who,
                "seconds": seconds,
                "resident_mb": peak.resident_mb,
                "anonymous_mb": peak.anonymous_mb,
                "sum": float(last.double().abs().sum()),
                **extra,
                "versions": {name: version(name) for name in ("torch", "transformers", *PACKAGES.get(options.who, ()))},
            }
        ),
        file=sys.__stdout__,
    )


def warm_up() -> None:
    """What matrix products allocate at their first use belongs to the imports."""
    for dtype in (torch.bfloat16, torch.float32):
        a = torch.ones(64, 64, dtype=dtype)
        torch.nn.functional.scaled_dot_product_attention(a[None, None], a[None, None], a[None, None])
        (a @ a).float().sum()


def prepare(options: argparse.Namespace) -> None:
    """The files in the page cache, or out of it; under a limit always out, so that what comes in is counted there."""
    cold = options.cold or options.limit is not None
    for file in Path(options.folder).glob("*.safetensors"):
        forget(file) if cold else touch(file)


def limit_memory(megabytes: float) -> None:
    """Put this process into a control group of its own; what it has so far stays with the old one."""
    group = Path("/sys/fs/cgroup/memory") / f"xpert-{os.getpid()}"
    group.mkdir()
    (group / "memory.limit_in_bytes").write_text(str(int(megabytes * 1e6)))
    (group / "cgroup.procs").write_text(str(os.getpid()))


def forget(file: Path) -> None:
    number = os.open(file, os.O_RDONLY)
    os.fsync(number)
    os.posix_fadvise(number, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(number)


def touch(file: Path) -> None:
    """Read it, so that it is in the page cache."""
    with open(file, "rb", buffering=0) as stream:
        block = bytearray(16 << 20)
        while stream.readinto(block):
            pass


if __name__ == "__main__":
    main()
