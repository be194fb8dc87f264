"""Jobs: one process each, some at a time; what is done is not done again, unless it or something before it has changed."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xpert.errors import XpertError
from xpert.progress import say
from xpert.tensors.files import write_text

XPERT = (sys.executable, "-c", "import sys; from xpert.cli import main; sys.exit(main())")
"""The command line, as the console script runs it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One process.

    Attributes:
        name: Unique; its result is kept in ``WORK/jobs/NAME.json``, what it says in ``NAME.log``.
        command: What is run; it prints one JSON document.
        out: What it makes: a folder or a file.
        after: Jobs whose results it reads.
    """

    name: str
    command: tuple[str, ...]
    out: Path
    after: tuple[Job, ...] = ()

    @property
    def key(self) -> str:
        """A hash over its own command and those before it."""
        text = json.dumps([self.command, [job.key for job in self.after]])
        return hashlib.sha256(text.encode()).hexdigest()


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_jobs(jobs: Sequence[Job], work: Path) -> dict[str, dict[str, Any]]:
    """Run jobs that do not need each other, as many side by side as there are cores, each on its share of them.

    Returns:
        Per job, ``seconds`` of wall clock, when it ``ended`` (seconds since the epoch), and its ``output``.

    Raises:
        xpert.errors.XpertError: A job failed; the others of its kind are finished first.
    """
    at_once = min(len(jobs), cores())
    threads = max(1, cores() // at_once)
    (work / "jobs").mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(at_once) as pool:
        results = list(pool.map(lambda job: _run(job, work / "jobs", threads), jobs))
    ended = [(work / "jobs" / f"{job.name}.json").stat().st_mtime for job in jobs]
    return {job.name: {**result, "ended": end} for job, result, end in zip(jobs, results, ended, strict=True)}


def wall_clock(results: Mapping[str, Mapping[str, Any]]) -> float:
    """Seconds from the first start to the last end of jobs of one stage, whenever it was that they ran."""
    begun = min(result["ended"] - result["seconds"] for result in results.values())
    return max(result["ended"] for result in results.values()) - begun


def _run(job: Job, folder: Path, threads: int) -> dict[str, Any]:
    record, key, log = folder / f"{job.name}.json", folder / f"{job.name}.key", folder / f"{job.name}.log"
    begun_before = key.is_file() and key.read_text(encoding="utf-8") == job.key
    if begun_before and record.is_file() and job.out.exists():
        say(f"{job.name}: done before")
        return json.loads(record.read_text(encoding="utf-8"))
    if not begun_before:  # what another run left is not ours to go on with
        record.unlink(missing_ok=True)
        _remove(job.out)
    write_text(key, job.key)
    say(f"{job.name}: started")
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "TOKENIZERS_PARALLELISM": "false"}
    begun = time.perf_counter()
    with open(log, "w", encoding="utf-8") as errors:
        done = subprocess.run(
            job.command, stdout=subprocess.PIPE, stderr=errors, env=environment, text=True, check=False
        )
    seconds = time.perf_counter() - begun
    if done.returncode:
        last = log.read_text(encoding="utf-8").strip().splitlines()[-1:] or ["no message"]
        raise XpertError(f"{job.name} failed with exit code {done.returncode}: {last[0]} (all of it in {log})")
    result = {"seconds": round(seconds, 1), "threads": threads, "output": json.loads(done.stdout)}
    write_text(record, json.dumps(result, indent=1))
    say(f"{job.name}: {seconds:.0f} s")
    return result


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
