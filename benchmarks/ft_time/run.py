"""Steps and seconds to the loss of training from scratch, from the base and from the selected model, at each similarity.

    python scripts/make_zoo.py pool --similarity S --styles NAME ...     # once for each S
    python benchmarks/ft_time/run.py select                              # which model each user gets
    python benchmarks/ft_time/run.py train [--minutes 12]                # goes on where it stopped; timed, so alone on the machine
    python benchmarks/ft_time/run.py table                               # writes result.json beside this file

Pools are looked for in ``out/zoo/pool-<S>-1``; the styles are those that all of them have.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict
from pathlib import Path

import torch

from xpert.evaluation.demo import DemoSettings
from xpert.evaluation.demo_users import Trainee, zoo_trainee
from xpert.evaluation.experiments.ft_time import FtRow, by_similarity, ft_times, select_starts, to_table
from xpert.progress import say
from xpert.tensors.files import write_text
from xpert.zoo.corpus import STYLES

HERE = Path(__file__).resolve().parent
SIMILARITIES = (30, 50, 70, 80, 90)
SEED = 3


def pools(root: Path) -> dict[int, dict[str, str]]:
    folders = {s: root / f"pool-{s}-1" for s in SIMILARITIES}
    shared = [style for style in STYLES if all((f / style / "adapter_config.json").is_file() for f in folders.values())]
    if not shared:
        sys.exit(f"{root}: no style that all pools have: make them with scripts/make_zoo.py pool --similarity S")
    return {s: {style: str(folder / style) for style in shared} for s, folder in folders.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stage", choices=["select", "train", "table"])
    parser.add_argument("--pools", type=Path, default=Path("out/zoo"))
    parser.add_argument("--work", type=Path, default=Path("out/ft_time"))
    parser.add_argument("--summarizer", default="encoder:minilm", help="who explains the pools")
    parser.add_argument("--minutes", type=float, default=12.0, help="begin no further training after so many")
    options = parser.parse_args()
    models, work = pools(options.pools), options.work
    users = [zoo_trainee(style=style, seed=SEED) for style in models[SIMILARITIES[0]]]
    work.mkdir(parents=True, exist_ok=True)
    if options.stage == "select":
        chosen = select_starts(models, users, base="zoo:base", summarizer=options.summarizer, cache=work / "cache")
        write_text(work / "selected.json", json.dumps(chosen, indent=1) + "\n")
        say(json.dumps(chosen))
    elif options.stage == "train":
        train(models, users, work, options.minutes)
    else:
        table(work)
    return 0


def train(models: dict[int, dict[str, str]], users: list[Trainee], work: Path, minutes: float) -> None:
    begun = time.monotonic()
    selected = json.loads((work / "selected.json").read_text(encoding="utf-8"))
    chosen = {int(s): names for s, names in selected.items()}
    rows: list[FtRow] = []
    for row in ft_times("zoo:base", models, users, chosen, work=work / "models", trainer=DemoSettings().trainer):
        rows.append(row)
        write_text(work / "rows.json", json.dumps([asdict(one) for one in rows]) + "\n")
        say(
            f"{row.style}, s={row.similarity}, from {row.selected}: {row.steps_base} -> {row.steps_selected} steps, "
            f"{row.seconds_base:.1f} -> {row.seconds_selected:.1f} s"
        )
        if time.monotonic() - begun > 60 * minutes:
            say("time is up: the same command goes on")
            return
    say("all done")


def table(work: Path) -> None:
    rows = [FtRow(**one) for one in json.loads((work / "rows.json").read_text(encoding="utf-8"))]
    found = by_similarity(rows)
    print(to_table(found))
    result = {
        "users": len({row.style for row in rows}),
        "seed": SEED,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "by_similarity": [asdict(one) for one in found],
        "rows": [asdict(row) for row in rows],
    }
    write_text(HERE / "result.json", json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
