"""Accuracy against similarity: how often the model of a user's style is chosen when only s% of its answers are in that style.

    XPERT_REAL_TEXT=DATA python benchmarks/similarity/run.py [--summarizer encoder:minilm] [--source style_qa] [--draws 20]

``--source style_qa`` reads the authors' published data (``DATA/style_qa``), ``--source zoo`` lets the zoo's models answer. The
protocol stands in README.md. Every draw is kept in the work folder: a second run goes on where the first stopped. Adds its
figures to ``result.json`` beside this file, under the source's and the summarizer's name.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import statistics
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from common.remembering import measure_once, remembering  # noqa: E402
from protocol import AXES, CONDITIONS, Cell, right_choices  # noqa: E402

from xpert.evaluation.mixtures import explained  # noqa: E402
from xpert.evaluation.sources import FolderAnswers, Source, ZooAnswers, fingerprint  # noqa: E402
from xpert.progress import say  # noqa: E402
from xpert.protocols import SubvectorSource, Summarizer  # noqa: E402
from xpert.references import describe  # noqa: E402
from xpert.registry import SUBVECTORS  # noqa: E402
from xpert.tensors.files import write_text  # noqa: E402

SIMILARITIES = (90, 70, 50, 30)


def measured_draw(
    source: Source, summarizer: Summarizer, options: argparse.Namespace, seed: int
) -> list[dict[str, Any]]:
    """All cells of a draw; those that lie in the work folder are read."""
    found: list[dict[str, Any]] = []
    draw = None
    subvectors: SubvectorSource | None = None
    for reordered in (False, True):
        for similarity in options.similarities:
            cell = Cell(seed=seed, similarity=similarity, reordered=reordered)
            file = options.work / f"users-{options.users}" / cell.file
            if not file.is_file():
                draw = draw or source.draw(seed, options.users)
                subvectors = subvectors or SUBVECTORS.get(summarizer.defaults.subvectors)()
                catalog = explained(
                    source,
                    draw,
                    summarizer,
                    similarity=similarity,
                    seed=seed,
                    reordered=reordered,
                    folder=options.work / "models",
                    subvectors=subvectors,
                )
                row = {
                    "similarity": similarity,
                    "reordered": reordered,
                    "users": len(draw.users),
                    "word_axes": len(catalog.basis.where(["word"])),
                    "right": right_choices(source, draw, cell, catalog, summarizer),
                }
                file.parent.mkdir(parents=True, exist_ok=True)
                write_text(file, json.dumps(row) + "\n")
                say(f"draw {seed}, {similarity}%{', reordered' if reordered else ''}: {row['right']['50 pairs']}")
            found.append(json.loads(file.read_text(encoding="utf-8")))
    return found


def table(rows: Sequence[Mapping[str, Any]], reordered: bool) -> dict[str, Any]:
    """Condition to axes to similarity to percent right, with its standard error over the draws."""
    found: dict[str, Any] = {}
    for condition in CONDITIONS:
        found[condition] = {axes: {} for axes in AXES}
        for axes in AXES:
            for s in dict.fromkeys(row["similarity"] for row in rows):
                shares = [
                    100 * row["right"][condition][axes] / row["users"]
                    for row in rows
                    if row["similarity"] == s and row["reordered"] == reordered
                ]
                error = statistics.stdev(shares) / math.sqrt(len(shares)) if len(shares) > 1 else 0.0
                found[condition][axes][str(s)] = [round(statistics.fmean(shares), 1), round(error, 1)]
    return found


def largest_change(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, float]:
    """Axes to the largest difference in percent right between two tables, over conditions and similarities."""
    return {
        axes: round(max(abs(v[0] - other[c][axes][s][0]) for c in one for s, v in one[c][axes].items()), 1)
        for axes in AXES
    }


def summarizer_name(summarizer: str) -> str:
    """A file name that changes with the weights of an LLM; an encoder is told by its name."""
    scheme, _, target = summarizer.partition(":")
    weights = "" if scheme == "encoder" else f"-{describe(target if scheme == 'hf' else summarizer).sha256[:8]}"
    return f"{summarizer.replace(':', '-').replace('/', '-')}{weights}"


def run(options: argparse.Namespace) -> dict[str, Any]:
    style_qa = options.source == "style_qa"
    source: Source = FolderAnswers(options.data / "style_qa") if style_qa else ZooAnswers(options.work / "zoo-answers")
    name = summarizer_name(options.summarizer)
    summarizer = remembering(options.summarizer, options.work / f"{name}.npz")
    options.work = options.work / f"{options.source}-{fingerprint(source)}-{name}"
    measure_once()
    seeds = range(options.first_seed, options.first_seed + options.draws)
    try:
        rows = [row for seed in seeds for row in measured_draw(source, summarizer, options, seed)]
    finally:
        summarizer.store.save()
        summarizer.close()
    same, reordered = table(rows, False), table(rows, True)
    return {
        "models": len(source.styles),
        "seeds": [seeds[0], seeds[-1]],
        "users_a_draw": rows[0]["users"],
        "word_axes": round(statistics.fmean(row["word_axes"] for row in rows), 1),
        "percent_right": same,
        "percent_right_reordered": reordered,
        "largest_change_by_reordering": largest_change(same, reordered),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--summarizer", default="encoder:minilm")
    parser.add_argument("--source", choices=("style_qa", "zoo"), default="style_qa")
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument(
        "--first-seed", type=int, default=0, help="0 for what is reported, 1000 and up to choose settings by"
    )
    parser.add_argument("--users", type=int, default=3, help="users a style in each draw")
    parser.add_argument("--similarities", type=int, nargs="+", default=list(SIMILARITIES))
    parser.add_argument("--work", type=Path, default=Path("out/similarity"))
    options = parser.parse_args()
    options.data = Path(os.environ.get("XPERT_REAL_TEXT", ""))
    if options.source == "style_qa" and not (options.data / "style_qa").is_dir():
        say("skipped: XPERT_REAL_TEXT names no folder with style_qa in it")
        return 0
    name = f"{options.source}, {options.summarizer}"
    options.work.mkdir(parents=True, exist_ok=True)
    result = run(options)
    say(json.dumps(result["percent_right"]["50 pairs"]))
    if options.first_seed == 0:
        packages = ("numpy", "torch", "transformers")
        result["versions"] = {"python": platform.python_version(), **{name: version(name) for name in packages}}
        file = HERE / "result.json"
        before = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
        write_text(file, json.dumps({**before, name: result}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
