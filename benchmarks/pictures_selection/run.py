"""Accuracy against similarity for pictures (the paper's Figure 18), words, and cost against the number of models.

    python benchmarks/pictures_selection/run.py accuracy [--draws 2] [--pools mixed baselines trained]
    python benchmarks/pictures_selection/run.py cost

Both write their part of ``result.json`` beside this file. The protocol stands in README.md. Trained pools at s below 100 are made by
``scripts/make_picture_zoo.py models --similarity s``; one that is missing is left out, and told. Pictures are kept in the work folder.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import torch  # noqa: E402
from methods import (  # noqa: E402
    BASELINES,
    RememberingEncoder,
    baseline,
    catalog_of,
    named_styles,
    right_by_axes,
    ways,
    wrong_by_baseline,
)
from pictures import User, base_answers, drawn_users, mixed_pool, trained_pool, training_pictures, users_of  # noqa: E402

import xpert  # noqa: E402
from xpert import embedding  # noqa: E402
from xpert.progress import say  # noqa: E402
from xpert.summarizers.image_encoder import ImageEncoderSummarizer  # noqa: E402
from xpert.tensors.files import write_text  # noqa: E402
from xpert.zoo.pictures import STYLES  # noqa: E402

SIMILARITIES = (90, 80, 70, 50, 30)
POOL_SIZES = (9, 18, 36)
KINDS = ("mixed", "baselines", "trained")


def pools(options: argparse.Namespace, kind: str, seed: int) -> dict[str, dict[str, str]]:
    """``kind s`` to a pool; trained ones only where all nine adapters are there."""
    if kind == "mixed":
        return {f"mixed {s}": mixed_pool(seed, s, options.work) for s in SIMILARITIES}
    found = {}
    for s in (100, *SIMILARITIES):
        weights = "pytorch_lora_weights.safetensors"
        if s == 100 or all((options.models / f"models-{s}" / style / weights).is_file() for style in STYLES):
            found[f"trained {s}"] = trained_pool(seed, s, options.models, options.work)
        else:
            say(f"no trained pool at {s}%: left out")
    return found


def measured_draw(
    options: argparse.Namespace, kind: str, seed: int, encoder: RememberingEncoder
) -> list[dict[str, Any]]:
    """A row a pool, method and condition: how many users there were, and which choices were wrong."""
    users = users_of(seed, options.work, per_style=options.users, n_pictures=options.pictures)
    if kind == "baselines":
        return baseline_rows(options, seed, users, encoder)
    base, rows = base_answers(seed, options.work), []
    for name, pool in pools(options, kind, seed).items():
        say(f"draw {seed}, {name}")
        for way in ways():
            catalog = catalog_of(way, base, pool, encoder, options.work / "cache", seed)
            row = {"draw": seed, "pool": name, "method": way.label, "users": len(users)}
            for paired in (True, False):
                for axes, wrong in right_by_axes(way, catalog, encoder, users, paired=paired).items():
                    condition = f"{axes}, {'paired' if paired else 'unpaired'}"
                    rows.append({**row, "condition": condition, "wrong": wrong})
            rows[-1]["named"] = named_styles(catalog)
    return rows


def baseline_rows(
    options: argparse.Namespace, seed: int, users: Sequence[User], encoder: RememberingEncoder
) -> list[dict[str, Any]]:
    """The same for the baselines, which compare training pictures."""
    rows = []
    for s in (100, *SIMILARITIES):
        say(f"draw {seed}, training pictures at {s}%")
        pictures = {style: training_pictures(style, s, options.training) for style in STYLES}
        for name in BASELINES:
            wrong = wrong_by_baseline(baseline(name, pictures, encoder), users)
            shown = {"draw": seed, "pool": f"training pictures {s}", "method": name, "condition": "-"}
            rows.append({**shown, "users": len(users), "wrong": wrong})
    return rows


def accuracy(options: argparse.Namespace) -> dict[str, Any]:
    measured_once()
    encoder, rows = RememberingEncoder(), []
    for seed in range(options.first_seed, options.first_seed + options.draws):
        for kind in options.pools:
            file = options.work / f"rows-{kind}-{seed}-{options.users}-{options.pictures}-{options.training}.json"
            if not file.is_file():
                write_text(file, json.dumps(measured_draw(options, kind, seed, encoder), indent=1) + "\n")
            rows += json.loads(file.read_text(encoding="utf-8"))
    keys = dict.fromkeys((row["method"], row["condition"], row["pool"]) for row in rows)
    table: dict[str, Any] = {}
    for method, condition, pool in keys:
        same = [r for r in rows if (r["method"], r["condition"], r["pool"]) == (method, condition, pool)]
        users = sum(row["users"] for row in same)
        right = 1 - sum(len(row["wrong"]) for row in same) / users
        error = math.sqrt(right * (1 - right) / users)
        table.setdefault(f"{method}; {condition}", {})[pool] = [round(100 * right, 1), round(100 * error, 1)]
    return {
        "percent_right": table,
        "users_a_draw": rows[0]["users"],
        "draws": options.draws,
        "pictures_a_user": options.pictures,
        "named": [
            {"draw": r["draw"], "pool": r["pool"], "method": r["method"], **r["named"]} for r in rows if "named" in r
        ],
        "wrong_at_50": [
            {"method": r["method"], "condition": r["condition"], "pool": r["pool"], "wrong": r["wrong"]}
            for r in rows
            if r["pool"].endswith(" 50") and r["wrong"] and r["condition"] in ("all, paired", "-")
        ],
    }


def measured_once() -> None:
    """From here on the quantities of the same pictures are measured once: they do not depend on the catalog."""
    measure = embedding.measure_named
    kept = lru_cache(1 << 12)(lambda pairs, names: measure(list(pairs), names))
    embedding.measure_named = lambda pairs, names: kept(tuple(pairs), tuple(names))


def cost(options: argparse.Namespace) -> dict[str, Any]:
    """Seconds on the device and bytes to it for one user, for pools of 9, 18 and 36 models (the nine under more names)."""
    torch.set_num_threads(1)
    seed = options.first_seed
    pictures_of_user = drawn_users(seed, per_style=1, n_pictures=options.pictures)[0][1]
    base, nine = base_answers(seed, options.work), trained_pool(seed, 100, options.models, options.work)
    pictures = {style: training_pictures(style, 100, options.training) for style in STYLES}
    way, found = ways()[0], {}
    for size in POOL_SIZES:
        names = {f"{style}-{copy}": style for copy in range(size // len(STYLES)) for style in STYLES}
        catalog = catalog_of(
            way, base, {name: nine[style] for name, style in names.items()}, RememberingEncoder(), None, seed
        )
        folder = options.work / f"catalog-{size}"
        catalog.save_pretrained(folder)
        device = [f for f in folder.iterdir() if f.name != "embeddings.safetensors" and not f.name.startswith("pairs")]
        adapter = 174_576
        images = {name: pictures[style] for name, style in names.items()}
        row: dict[str, Any] = {
            "xpert": {
                "seconds": timed(lambda folder=folder: select_cold(folder, pictures_of_user)),
                "bytes": sum(f.stat().st_size for f in device) + adapter,
            }
        }
        for name in ("fid", "kid", "clip-similarity"):
            method = BASELINES[name]
            row[name] = {
                "seconds": timed(
                    lambda method=method, images=images: select_baseline(method, images, pictures_of_user)
                ),
                "bytes": sum(len(uri) * 3 // 4 for uris in images.values() for uri in uris) + adapter,
            }
        found[str(size)] = row
        say(f"{size} models: {row}")
    return {"models": found, "training_pictures_a_model": options.training, "pictures_of_the_user": options.pictures}


def select_cold(folder: Path, examples: Sequence[xpert.Example]) -> None:
    """As a device does it: the catalog and the encoder are opened, and nothing is remembered."""
    xpert.Selector(xpert.Catalog.from_pretrained(folder)).select(examples)


def select_baseline(method: Any, pool: Mapping[str, Sequence[str]], examples: Sequence[xpert.Example]) -> None:
    encoder = ImageEncoderSummarizer("zoo:pictures-encoder")
    method(pool, encoder).select(examples)
    encoder.close()


def timed(work: Callable[[], None], repeats: int = 3) -> float:
    """The median of three, seconds."""
    seconds = []
    for _ in range(repeats):
        begun = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - begun)
    return round(statistics.median(seconds), 3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("accuracy", "cost"))
    parser.add_argument("--draws", type=int, default=2)
    parser.add_argument(
        "--first-seed", type=int, default=0, help="0 for what is reported; seed 7 was used to choose by"
    )
    parser.add_argument("--users", type=int, default=3, help="users a style in each draw")
    parser.add_argument("--pictures", type=int, default=50, help="pictures of a user")
    parser.add_argument("--training", type=int, default=400, help="training pictures of a model, for the baselines")
    parser.add_argument("--pools", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--models", type=Path, default=Path("out/zoo/pictures"))
    parser.add_argument("--work", type=Path, default=Path("out/pictures_selection"))
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    result = {"accuracy": accuracy, "cost": cost}[options.part](options)
    packages = ("numpy", "torch", "transformers", "diffusers", "torchmetrics")
    told = {
        "versions": {"python": platform.python_version(), **{p: version(p) for p in packages}},
        "cores": os.cpu_count(),
    }
    file = HERE / "result.json"
    before = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    write_text(file, json.dumps({**before, options.part: {**result, **told}}, indent=1) + "\n")


if __name__ == "__main__":
    main()
