"""How much sooner a selected picture model reaches what training from the base reaches: several styles, pools of several similarities.

    python benchmarks/pictures_starts/run.py [--styles neon pastel comic] [--similarities 100 70 50]

For each style one user whose pictures no model saw. The start is selected from the pool's catalog before anything is trained; then both are
counted as `xpert.evaluation.starts` says. Writes ``result.json`` beside this file; finished cells in the work folder are not computed again.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "pictures_selection"))

import torch  # noqa: E402
from methods import RememberingEncoder, catalog_of, ways  # noqa: E402
from pictures import BASE, base_answers, trained_pool  # noqa: E402

import xpert  # noqa: E402
from xpert.evaluation.demo_pictures import picture_trainee  # noqa: E402
from xpert.evaluation.demo_zoos import picture_zoo  # noqa: E402
from xpert.evaluation.starts import compare_starts  # noqa: E402
from xpert.progress import say  # noqa: E402
from xpert.tensors.files import write_text  # noqa: E402


def cell(style: str, similarity: int, options: argparse.Namespace) -> dict[str, Any]:
    """One user, one pool: what was selected, and both starts to the same loss."""
    user = picture_trainee(style=style, seed=options.seed)
    encoder, base = RememberingEncoder(), base_answers(0, options.pictures)
    pool = trained_pool(0, similarity, options.models, options.pictures)
    catalog = catalog_of(ways()[0], base, pool, encoder, None, 0)
    selection = xpert.Selector(catalog, encoder).select(user.training)
    encoder.close()
    adapters = options.models / f"models-{similarity}"
    start = f"zoo:pictures-{selection.best}" if similarity == 100 else str(adapters / selection.best)
    report = compare_starts(
        BASE,
        start,
        user.training,
        user.validation,
        out=options.work / f"{style}-{similarity}",
        trainer=picture_zoo(options.seed).settings.trainer,
    )
    told = {k: v for k, v in report.to_dict().items() if not k.startswith(("out_", "seconds"))}
    return {"style": style, "similarity": similarity, "selected": selection.best, **told}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--styles", nargs="+", default=["neon", "pastel", "comic"])
    parser.add_argument("--similarities", type=int, nargs="+", default=[100, 70, 50])
    parser.add_argument("--seed", type=int, default=1, help="of the users; 0 is the demo's")
    parser.add_argument("--models", type=Path, default=Path("out/zoo/pictures"))
    parser.add_argument("--pictures", type=Path, default=Path("out/pictures_selection"))
    parser.add_argument("--work", type=Path, default=Path("out/pictures_starts"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for style in options.styles:
        for similarity in options.similarities:
            file = options.work / f"{style}-{similarity}-{options.seed}.json"
            if not file.is_file():
                file.parent.mkdir(parents=True, exist_ok=True)
                write_text(file, json.dumps(cell(style, similarity, options)) + "\n")
            row = json.loads(file.read_text(encoding="utf-8"))
            say(f"{style}, {similarity}%: {row['steps_base']} / {row['steps_selected']} from {row['selected']}")
            rows.append(row)
    packages = ("torch", "diffusers", "peft")
    versions = {"python": platform.python_version(), **{name: version(name) for name in packages}}
    result = {"cells": rows, "versions": versions, "cores": os.cpu_count()}
    write_text(HERE / "result.json", json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
