"""How many training steps the zoo's models save their users: every style, several users each.

    python benchmarks/zoo_starts/run.py [--seeds 1 2 3] [--styles NAME ...] [--models DIR] [--work out/zoo_starts]

For each seed and style a user of that style is drawn from the half of the corpus that no model saw, and fine-tuned twice with the
demo's own settings: from the base, and from the model of the style (which the demo selects). Both are counted up to the target of
`xpert.evaluation.starts`. A run goes on where it stopped. Writes ``result.json`` beside this file.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
from pathlib import Path
from typing import Any

from xpert.evaluation.demo import DemoSettings
from xpert.evaluation.demo_users import zoo_trainee
from xpert.evaluation.starts import compare_starts
from xpert.progress import say
from xpert.tensors.files import write_text
from xpert.zoo.corpus import STYLES

HERE = Path(__file__).resolve().parent


def one(style: str, seed: int, models: str, work: Path) -> dict[str, Any]:
    """Both starts of one user; kept as JSON in the work folder."""
    file = work / f"{style}-{seed}.json"
    if not file.is_file():
        user = zoo_trainee(style=style, seed=seed)
        folder = work / "models"
        report = compare_starts(
            "zoo:base", f"{models}{style}", user.training, user.validation, out=folder, trainer=DemoSettings().trainer
        )
        shutil.rmtree(folder)
        kept = {name: value for name, value in report.to_dict().items() if not name.startswith("out_")}
        write_text(file, json.dumps({"style": style, "seed": seed, **kept}) + "\n")
    return json.loads(file.read_text(encoding="utf-8"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--styles", nargs="+", default=list(STYLES))
    parser.add_argument("--models", type=Path, help="a folder of adapters; default: the shipped ones")
    parser.add_argument("--work", type=Path, default=Path("out/zoo_starts"))
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    models = "zoo:" if options.models is None else f"{options.models}/"
    rows: list[dict[str, Any]] = []
    for seed in options.seeds:
        for style in options.styles:
            row = one(style, seed, models, options.work)
            rows.append({key: row[key] for key in ("style", "seed", "steps_base", "steps_selected", "step_ratio")})
            say(f"{style}, seed {seed}: {row['steps_base']} -> {row['steps_selected']} ({row['step_ratio']})")
    reached = sorted(row["step_ratio"] for row in rows if row["step_ratio"] is not None)
    result = {
        "users": len(rows),
        "reached": len(reached),
        "at_most_half": sum(ratio <= 0.5 for ratio in reached) / len(rows),
        "median_ratio": statistics.median(reached),
        "quartiles": [round(q, 3) for q in statistics.quantiles(reached, n=4)] if len(reached) > 1 else reached,
        "range": [reached[0], reached[-1]],
        "rows": rows,
    }
    say(json.dumps({key: value for key, value in result.items() if key != "rows"}))
    if options.models is None:
        write_text(HERE / "result.json", json.dumps(result, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
