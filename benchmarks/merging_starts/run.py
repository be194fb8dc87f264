"""Figure 16 on the zoo: users who write in 1, 2 or 3 styles; steps to the target from scratch, the best single model, a merge.

    python benchmarks/merging_starts/run.py [--seeds 1 2 3] [--styles 1 2 3] [--work out/merging_starts] [--done]

A run goes on where it stopped: the catalog and each user's row are kept in the work folder. ``--done`` runs nobody and takes the
users who are there. Writes ``result.json`` beside this file, after each user.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from importlib.metadata import version
from pathlib import Path

from xpert.catalog import Catalog
from xpert.evaluation.demo import DemoSettings, base_answers
from xpert.evaluation.experiments.merging_starts import MixedStarts, mixed_starts, mixed_starts_table, mixed_trainee
from xpert.explainer import Explainer
from xpert.progress import say
from xpert.tensors.files import write_text
from xpert.zoo import adapter_names

HERE = Path(__file__).resolve().parent


def open_catalog(folder: Path) -> Catalog:
    """The shipped models in words; explained once."""
    if not (folder / "xpert.json").is_file():
        explainer = Explainer("zoo:base", "zoo:summarizer", n_prompts=50, seed=0, cache=folder.with_name("cache"))
        explainer.explain({name: f"zoo:{name}" for name in adapter_names()}).save_pretrained(folder)
    return Catalog.from_pretrained(folder)


def one(catalog: Catalog, n_styles: int, seed: int, options: argparse.Namespace) -> MixedStarts:
    """One user's row, from the work folder if it is there."""
    file = row_file(options, n_styles, seed)
    if not file.is_file():
        user = mixed_trainee(n_styles, seed)
        answers = base_answers(catalog, "zoo:base", [user.training])
        row = mixed_starts(
            user,
            catalog=catalog,
            summarizer="zoo:summarizer",
            base="zoo:base",
            base_answers=[answers[example.prompt or ""] for example in user.training],
            out=options.work / "models",
            trainer=DemoSettings().trainer,
            rank=8,
        )
        write_text(file, json.dumps(row.to_dict()) + "\n")
    return MixedStarts.from_dict(json.loads(file.read_text(encoding="utf-8")))


def row_file(options: argparse.Namespace, n_styles: int, seed: int) -> Path:
    return options.work / f"{n_styles}-{seed}.json"


def write_result(rows: list[MixedStarts]) -> None:
    packages = ("torch", "transformers", "peft")
    result = {
        "users": [row.to_dict() for row in rows],
        "machine": {
            "cores": os.cpu_count(),
            "python": platform.python_version(),
            **{name: version(name) for name in packages},
        },
    }
    write_text(HERE / "result.json", json.dumps(result, indent=1) + "\n")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4])
    parser.add_argument("--styles", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--work", type=Path, default=Path("out/merging_starts"))
    parser.add_argument("--done", action="store_true")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    catalog = open_catalog(options.work / "catalog")
    rows: list[MixedStarts] = []
    for seed in options.seeds:
        for n_styles in options.styles:
            if options.done and not row_file(options, n_styles, seed).is_file():
                continue
            rows.append(one(catalog, n_styles, seed, options))
            say(f"{n_styles} styles, seed {seed}: {rows[-1].steps}")
            write_result(rows)
    print(mixed_starts_table(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
