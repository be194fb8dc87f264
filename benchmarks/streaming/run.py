"""The streaming benchmark: every case in processes of its own, interleaved; goes on where it stopped. Needs Linux.

    python benchmarks/streaming/checkpoints.py FOLDER 1b 8b 1b-f32 8b-4layers-f32
    python benchmarks/streaming/run.py run FOLDER [--cases NAME ...] [--peer airllm=PYTHON ...]   # hours for all of them
    python benchmarks/streaming/run.py limits FOLDER                                              # smallest memory limits, by bisection
    python benchmarks/streaming/run.py table                                                      # result.json, charts, tables

A peer runs with the Python that ``--peer`` names, in an environment with the versions of its own; without, with this one. Figures lie
in ``out/streaming/runs.jsonl``, a line a run.
"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xpert.progress import say
from xpert.tensors.files import write_text

HERE = Path(__file__).resolve().parent
RUNS = Path("out/streaming/runs.jsonl")
CHARTS = Path("docs")


@dataclass(frozen=True, kw_only=True)
class Case:
    """What is compared: the same prompts, one run of each after the other, ``times`` times.

    ``who``: name in the table to (program of ``one.py``, arguments of its own).
    """

    checkpoint: str
    arguments: tuple[str, ...]
    who: Mapping[str, tuple[str, tuple[str, ...]]]
    times: int


def _case(checkpoint: str, arguments: str, who: Sequence[str], times: int) -> Case:
    return Case(checkpoint=checkpoint, arguments=tuple(arguments.split()), who={w: WHO[w] for w in who}, times=times)


WHO: dict[str, tuple[str, tuple[str, ...]]] = {
    "streamed": ("streamed", ()),
    "resident": ("resident", ()),
    "disk": ("disk", ()),
    "disk, one batch": ("disk", ("--batch", "1000")),
    "offload": ("offload", ()),
    "airllm": ("airllm", ()),
}
BUDGETS = ("0.5GB", "1.5GB", "2.5GB", "3.5GB", "5GB")
PROMPTS = (1, 2, 4, 8, 16)
F32 = "--dtype float32"
CASES: dict[str, Case] = {
    "1b-4-warm": _case("1b-f32", f"{F32} --prompts 4", ("streamed", "resident", "disk"), 5),
    "1b-50-warm": _case("1b-f32", f"{F32} --prompts 50", ("streamed", "resident"), 3),
    "8b-4layers-50-warm": _case("8b-4layers-f32", f"{F32} --prompts 50", ("streamed", "resident"), 2),
    "1b-50-one-batch": _case("1b-f32", f"{F32} --prompts 50", ("disk, one batch",), 1),
    "1b-4-cold": _case("1b-f32", f"{F32} --prompts 4 --cold", ("streamed", "resident", "disk"), 3),
    "8b-cold": _case("8b", f"{F32} --prompts 4 --cold", ("streamed", "disk"), 1),
    "8b-cold-short": _case("8b", "--prompts 4 --tokens 25 --cold", ("streamed", "resident", "disk"), 1),
    "first-use": _case("1b", f"{F32} --prompts 4 --cold", ("streamed", "disk", "offload", "airllm"), 2),
    "1b-50-limit": _case("1b-f32", f"{F32} --prompts 50 --limit 800", ("streamed", "disk"), 1),
    "1b-12-limit-single": _case(
        "1b-f32", f"{F32} --prompts 12 --batch 1 --limit 800", ("streamed", "disk", "offload", "resident"), 1
    ),
    "1b-4-converted": _case("1b", f"{F32} --prompts 4", ("streamed", "resident", "disk"), 1),
    "1b-50-ragged": _case("1b-f32", f"{F32} --prompts 50 --ragged", ("streamed", "resident"), 1),
    "budgets": Case(
        checkpoint="1b-f32",
        arguments=tuple(f"{F32} --prompts 4 --cold --calls 2".split()),
        who={
            "streamed": ("streamed", ()),
            **{f"streamed, {b}": ("streamed", ("--budget", b)) for b in BUDGETS},
            "resident": ("resident", ()),
        },
        times=1,
    ),
    **{
        f"waiting-{how}": Case(
            checkpoint="1b-f32",
            arguments=(*F32.split(), *(("--cold",) if how == "cold" else ())),
            who={f"{n} prompts": ("streamed", ("--prompts", str(n))) for n in PROMPTS},
            times=1,
        )
        for how in ("warm", "cold")
    },
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stage", choices=["run", "limits", "table"])
    parser.add_argument("checkpoints", type=Path, nargs="?")
    parser.add_argument("--cases", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--peer", action="append", default=[], metavar="PROGRAM=PYTHON")
    options = parser.parse_args()
    pythons = dict(text.split("=", 1) for text in options.peer)
    if options.stage == "table":
        table()
    elif options.checkpoints is None:
        parser.error("which folder has the checkpoints?")
    elif options.stage == "limits":
        limits(options.checkpoints, pythons)
    else:
        for name in options.cases:
            run(name, CASES[name], options.checkpoints, pythons)
    return 0


def run(name: str, case: Case, checkpoints: Path, pythons: Mapping[str, str]) -> None:
    """What is missing of a case, interleaved."""
    for number in range(case.times):
        for who, (program, own) in case.who.items():
            if sum((one["case"], one["who"]) == (name, who) and "error" not in one for one in runs()) > number:
                continue
            found = one_run(program, checkpoints / case.checkpoint, (*case.arguments, *own), pythons)
            keep({"case": name, "checkpoint": case.checkpoint, "number": number, **found, "who": who})
            say(f"{name}, {who}: {found.get('seconds', found.get('error'))}")


def one_run(program: str, folder: Path, arguments: Sequence[str], pythons: Mapping[str, str]) -> dict[str, Any]:
    """The figures of a run, or why there are none."""
    scratch = tempfile.mkdtemp(prefix="xpert-streaming-", dir=folder.parent)
    python = pythons.get(program, sys.executable)
    command = [python, str(HERE / "one.py"), program, str(folder), *arguments, "--scratch", scratch]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=1800, check=False)
    except subprocess.TimeoutExpired:
        return {"error": "not done after 1800 s"}
    finally:
        shutil.rmtree(scratch)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        killed = "killed by the system: out of memory" if done.returncode == -9 else f"status {done.returncode}"
        return {"error": lines[-1][:300] if lines and done.returncode != -9 else killed}
    return json.loads(done.stdout.splitlines()[-1])


def runs() -> list[dict[str, Any]]:
    """All runs so far."""
    return [json.loads(line) for line in RUNS.read_text(encoding="utf-8").splitlines()] if RUNS.is_file() else []


def keep(found: Mapping[str, Any]) -> None:
    RUNS.parent.mkdir(parents=True, exist_ok=True)
    with RUNS.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(found) + "\n")


def limits(checkpoints: Path, pythons: Mapping[str, str]) -> None:
    """The smallest memory limit under which a run ends within 1.1 of its time (cold, for what is read counts as its memory), to 10%."""
    case = CASES["1b-4-cold"]
    for who in case.who:  # of the resident one it is its weights
        times = [
            one["seconds"] for one in runs() if (one["case"], one["who"]) == ("1b-4-cold", who) and "error" not in one
        ]
        if not times or any((one["case"], one["who"]) == ("smallest-limit", who) for one in runs()):
            continue
        low, high = 200.0, 7000.0
        while high / low > 1.1:
            middle = (low * high) ** 0.5
            arguments = (*case.arguments, *case.who[who][1], "--limit", f"{middle:.0f}")
            found = one_run(case.who[who][0], checkpoints / case.checkpoint, arguments, pythons)
            enough = found.get("seconds", float("inf")) <= 1.1 * statistics.median(times)
            say(f"{who}, {middle:.0f} MB: {found.get('seconds', found.get('error'))}")
            low, high = (low, middle) if enough else (middle, high)
        keep({"case": "smallest-limit", "checkpoint": case.checkpoint, "who": who, "limit_mb": high})


def table() -> None:
    """``result.json``, the charts, and the tables on standard output."""
    found, file = runs(), HERE / "result.json"
    before = len(json.loads(file.read_text(encoding="utf-8"))["runs"]) if file.is_file() else 0
    if len(found) < before:
        sys.exit(f"{RUNS}: {len(found)} runs, {file} has {before}: run the missing cases, or remove it first")
    result = {
        "machine": f"{platform.machine()}, {processor()}",
        "summaries": [summary(case, who, found) for case, who in dict.fromkeys((r["case"], r["who"]) for r in found)],
        "runs": found,
    }
    write_text(file, json.dumps(result, indent=1) + "\n")
    for one in result["summaries"]:
        print(" | ".join(f"{key} {value}" for key, value in one.items()))
    charts(found)


def processor() -> str:
    """Its name and what matters here of its instructions."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    told = dict(line.split(":", 1) for line in lines if ":" in line)
    fields = {key.strip(): value.strip() for key, value in told.items()}
    known = [flag for flag in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if flag in fields.get("flags", "").split()]
    return f"{fields.get('model name', '')} ({', '.join(known)})"


def summary(case: str, who: str, found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Median and range of a case's runs by one."""
    own = [one for one in found if (one["case"], one["who"]) == (case, who)]
    good = [one for one in own if "seconds" in one]
    told: dict[str, Any] = {"case": case, "who": who, "runs": len(good)}
    if not good:
        return told | {key: own[0][key] for key in ("error", "limit_mb") if key in own[0]}
    seconds = [one["seconds"] for one in good]
    told |= {"seconds": round(statistics.median(seconds), 2), "range": [round(min(seconds), 2), round(max(seconds), 2)]}
    for key in ("resident_mb", "anonymous_mb", "promised_mb", "waited_share"):
        if key in good[0]:
            told[key] = round(statistics.median(one[key] for one in good), 6 if key == "waited_share" else 0)
    told["last_call_s"] = (
        round(statistics.median(one["calls_s"][-1] for one in good), 2) if "calls_s" in good[0] else None
    )
    return told


def charts(found: Sequence[Mapping[str, Any]]) -> None:
    """Memory, and what is read, against the budget; waiting against the number of prompts."""
    from xpert.evaluation.results import Chart, Series
    from xpert.report.result_charts import line_chart

    budgets = [one for b in BUDGETS for one in found if (one["case"], one["who"]) == ("budgets", f"streamed, {b}")]
    if len(budgets) == len(BUDGETS):
        x = [float(b.removesuffix("GB")) for b in BUDGETS]
        series = [
            Series(name="budget", x=x, y=x),
            Series(name="promised", x=x, y=[one["promised_mb"] / 1000 for one in budgets]),
            Series(name="peak, measured", x=x, y=[one["resident_mb"] / 1000 for one in budgets]),
            Series(name="read from the disk in two calls", x=x, y=[one["read_mb"] / 1000 for one in budgets]),
        ]
        title = "memory_budget: what it takes and what it saves (1B, float32)"
        line_chart(
            Chart(title=title, x_label="budget, GB", y_label="GB", series=series), CHARTS / "streaming-budget.png"
        )
    numbers = list(PROMPTS)
    waits = {h: [summary(f"waiting-{h}", f"{n} prompts", found) for n in numbers] for h in ("warm", "cold")}
    if all(one["runs"] for own in waits.values() for one in own):
        series = [
            Series(name=f"{how} page cache", x=numbers, y=[100 * one["waited_share"] for one in own])
            for how, own in waits.items()
        ]
        chart = Chart(
            title="Waiting for reads", x_label="prompts of 200 tokens", y_label="percent of the time", series=series
        )
        line_chart(chart, CHARTS / "streaming-waiting.png")


if __name__ == "__main__":
    sys.exit(main())
