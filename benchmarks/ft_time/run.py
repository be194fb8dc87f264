"""Steps and seconds to the loss of training from scratch, from the base and from the selected model, at each similarity.

    python scripts/make_zoo.py pool --similarity S --styles NAME ...     # once for each S
    python benchmarks/ft_time/run.py select                              # which model each user gets
    python benchmarks/ft_time/run.py export                              # what the backend onnx trains from
    python benchmarks/ft_time/run.py train [--minutes 12]                # goes on where it stopped; timed, so alone on the machine
    python benchmarks/ft_time/run.py table                               # writes result.json beside this file

Pools are looked for in ``out/zoo/pool-<S>-1``; the styles are those that all of them have. ``--backend torch`` or ``--backend onnx``
trains by one backend; without it both take turns, start by start, so that what else the machine does falls upon both.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import torch

from xpert.evaluation.demo import DemoSettings
from xpert.evaluation.demo_users import Trainee, zoo_trainee
from xpert.evaluation.experiments.ft_time import (
    FtRow,
    by_similarity,
    exported_starts,
    ft_times,
    select_starts,
    to_table,
)
from xpert.evaluation.starts import ComparingTrainer
from xpert.progress import say
from xpert.tensors.files import write_text
from xpert.trainers.export import OnnxExporter
from xpert.trainers.onnx.trainer import OnnxTrainer
from xpert.trainers.torch import TorchTrainer
from xpert.zoo.corpus import STYLES

HERE = Path(__file__).resolve().parent
BACKENDS = ("torch", "onnx")
SIMILARITIES = (30, 50, 70, 80, 90)
SEED = 3
PACKAGES = ("torch", "transformers", "peft", "onnxruntime-training-cpu")

Pools = dict[int, dict[str, str]]


def pools(root: Path, similarities: Sequence[int]) -> Pools:
    folders = {s: root / f"pool-{s}-1" for s in similarities}
    shared = [style for style in STYLES if all((f / style / "adapter_config.json").is_file() for f in folders.values())]
    if not shared:
        told = ", ".join(map(str, similarities))
        sys.exit(
            f"{root}: no style that the pools {told} all have: make them with scripts/make_zoo.py pool --similarity S"
        )
    return {s: {style: str(folder / style) for style in shared} for s, folder in folders.items()}


def trainer_of(backend: str) -> ComparingTrainer:
    """The demo's settings, by either backend, on as many threads."""
    same = ("max_steps", "eval_every", "lr", "batch_size", "rank", "alpha", "target_modules")
    settings = {name: getattr(DemoSettings().trainer, name) for name in same}
    if backend == "torch":
        return TorchTrainer(**settings)
    return OnnxTrainer(**settings, threads=torch.get_num_threads(), inference_model=False)


def chosen_in(work: Path) -> Pools:
    file = work / "selected.json"
    if not file.is_file():
        sys.exit(f"{file} is not there: run the stage select first")
    return {int(s): names for s, names in json.loads(file.read_text(encoding="utf-8")).items()}


def exported(models: Pools, work: Path) -> tuple[str, Pools]:
    demo = DemoSettings().trainer
    exporter = OnnxExporter(**{name: getattr(demo, name) for name in ("rank", "alpha", "target_modules")})
    return exported_starts("zoo:base", models, chosen_in(work), exporter=exporter, out=work / "artifacts")


def train(models: Pools, users: Sequence[Trainee], work: Path, backends: Sequence[str], minutes: float) -> None:
    begun, chosen = time.monotonic(), chosen_in(work)
    starts = {name: exported(models, work) if name == "onnx" else ("zoo:base", models) for name in backends}
    runs = [
        ft_times(*starts[name], users, chosen, work=work / "models" / name, trainer=trainer_of(name))
        for name in backends
    ]
    rows: dict[str, list[FtRow]] = {name: [] for name in backends}
    for turn in zip(*runs, strict=True):
        for name, row in zip(backends, turn, strict=True):
            rows[name].append(row)
            write_text(rows_of(work, name), json.dumps([asdict(one) for one in rows[name]]) + "\n")
            say(
                f"{name}: {row.style}, s={row.similarity}, from {row.selected}: {row.steps_base} -> {row.steps_selected} steps, "
                f"{row.seconds_base:.1f} -> {row.seconds_selected:.1f} s"
            )
        if time.monotonic() - begun > 60 * minutes:
            say("time is up: the same command goes on")
            return
    say("all done")


def rows_of(work: Path, backend: str) -> Path:
    return work / f"rows-{backend}.json"


def table(work: Path, backends: Sequence[str]) -> None:
    rows = {
        name: [FtRow(**one) for one in json.loads(rows_of(work, name).read_text(encoding="utf-8"))] for name in backends
    }
    found = {name: by_similarity(some) for name, some in rows.items()}
    print(to_table(found))
    result = {
        "seed": SEED,
        "machine": machine(),
        "backends": {
            name: {
                "users": len({row.style for row in rows[name]}),
                "by_similarity": [asdict(one) for one in found[name]],
                "rows": [asdict(row) for row in rows[name]],
            }
            for name in backends
        },
    }
    write_text(HERE / "result.json", json.dumps(result, indent=1) + "\n")


def machine() -> Mapping[str, object]:
    return {
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        **{name: version(name) for name in PACKAGES},
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stage", choices=["select", "export", "train", "table"])
    parser.add_argument("--pools", type=Path, default=Path("out/zoo"))
    parser.add_argument("--work", type=Path, default=Path("out/ft_time"))
    parser.add_argument("--summarizer", default="encoder:minilm", help="who explains the pools")
    parser.add_argument("--similarities", type=int, nargs="+", default=SIMILARITIES, help="which pools, in percent")
    parser.add_argument("--backend", choices=BACKENDS, help="who trains; default: both in turn")
    parser.add_argument("--minutes", type=float, default=12.0, help="begin no further training after so many")
    options = parser.parse_args()
    models, work = pools(options.pools, options.similarities), options.work
    backends = BACKENDS if options.backend is None else (options.backend,)
    users = [zoo_trainee(style=style, seed=SEED) for style in models[options.similarities[0]]]
    work.mkdir(parents=True, exist_ok=True)
    if options.stage == "select":
        chosen = select_starts(models, users, base="zoo:base", summarizer=options.summarizer, cache=work / "cache")
        write_text(work / "selected.json", json.dumps(chosen, indent=1) + "\n")
        say(json.dumps(chosen))
    elif options.stage == "export":
        exported(models, work)
    elif options.stage == "train":
        train(models, users, work, backends, options.minutes)
    else:
        table(work, backends)
    return 0


if __name__ == "__main__":
    sys.exit(main())
