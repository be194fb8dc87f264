"""Selecting among 10 to 1,000,000 models: opening, selecting, reading once, bytes, and what float16 and int8 cost.

    python benchmarks/pool_size/run.py [--models 1000000] [--axes 64] [--work out/pool_size] [--rounds 24]

Catalogs are made once and kept in the work folder (2 GB at a million models). Writes ``result.json`` beside this file and the chart
``docs/selecting-pool-size.png``. See ``README.md``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from worlds import World

from xpert.catalog import Catalog
from xpert.catalog_files import SERVER_FILES
from xpert.pool import BLOCK, PackedRows, nearest_rows
from xpert.progress import say
from xpert.report.experiment_charts import costs_chart
from xpert.selector import Selector
from xpert.space import distances
from xpert.tensors.files import write_text
from xpert.types import Coordinates

HERE = Path(__file__).resolve().parent
CHART = HERE.parents[1] / "docs/selecting-pool-size.png"
TOP = 5
LOOKED_UP = ("models.jsonl", "index.safetensors")
"""What a device needs only to look a chosen model up."""


def catalog_folder(work: Path, world: World, m: int, dtype: str) -> Path:
    """The folder of a catalog, written if it is not there; in float32 in the format that `save_pretrained` takes by itself."""
    folder = work / f"{m}-{dtype}"
    if not (folder / "hashes.json").is_file():
        say(f"writing {m} models in {dtype}")
        world.catalog(world.models(m)).save_pretrained(
            folder, server_files=False, pool=None if dtype == "float32" else dtype
        )
    return folder


def milliseconds(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return 1e3 * (time.perf_counter() - start)


class Reading:
    """Every coordinate touched once, block by block on as many threads as there are cores, for nothing but a sum or a maximum.

    Blocks are those of `nearest_rows`. Smaller numbers than float32 are read as int32, whose maximum is faster than theirs.
    """

    def __init__(self, stored: NDArray[Any]) -> None:
        read = np.asarray(stored)
        self._stored = read if read.dtype == np.float32 else read.view(np.int32)
        self._threads = ThreadPoolExecutor(os.cpu_count() or 1)

    def __call__(self, reduce: Callable[[NDArray[Any]], Any]) -> None:
        """Reduce every block."""
        step = 4 * BLOCK
        list(self._threads.map(lambda i: reduce(self._stored[i : i + step]), range(0, len(self._stored), step)))


def brute_force(catalog: Catalog, place: Coordinates) -> list[tuple[str, float]]:
    """The nearest by comparing with every model in float64, as small catalogs are."""
    z = catalog.coordinates
    parts = [distances(catalog.basis, z[i : i + BLOCK], place.values) for i in range(0, len(z), BLOCK)]
    far = np.concatenate(parts)
    order = np.argsort(far, kind="stable")[:TOP].tolist()
    return [(catalog.models[row].name, float(far[row])) for row in order]


def costs(folder: Path, users: Sequence[Coordinates], rounds: int) -> dict[str, Any]:
    """Milliseconds at one size: medians over rounds, in each of which everything is done once, in turning order."""
    opened = Catalog.from_pretrained(folder)  # the files are in memory from here on
    first: list[float] = []
    for _ in range(3):
        fresh = Selector(Catalog.from_pretrained(folder), top=TOP)
        first.append(milliseconds(lambda fresh=fresh: fresh.rank(users[0])))
    selector = Selector(opened, top=TOP)
    z = opened.coordinates
    reading = Reading(z.stored if isinstance(z, PackedRows) else z)
    same, brute = 0, list[float]()
    for user in users[:3]:
        ranking = selector.rank(user).ranking
        found: list[tuple[str, float]] = []
        brute.append(milliseconds(lambda user=user, found=found: found.extend(brute_force(opened, user))))
        same += list(ranking) == found
    work: dict[str, Callable[[Coordinates], Any]] = {
        "open": lambda _: Catalog.from_pretrained(folder),
        "warm": selector.rank,
        "sum": lambda _: reading(np.sum),
        "max": lambda _: reading(np.max),
    }
    taken: dict[str, list[float]] = {name: [] for name in work}
    for i in range(rounds):
        names = [*work][i % 4 :] + [*work][: i % 4]  # what comes first finds threads asleep
        for name in names:
            taken[name].append(milliseconds(lambda name=name, i=i: work[name](users[i % len(users)])))
    middle = {name: statistics.median(values) for name, values in taken.items()}
    read = min(("sum", "max"), key=middle.__getitem__)
    ratios = [warm / once for warm, once in zip(taken["warm"], taken[read], strict=True)]
    return {
        "models": len(opened),
        "open_ms": round(middle["open"], 3),
        "first_ms": round(statistics.median(first), 3),
        "warm_ms": round(middle["warm"], 3),
        "warm_ms_lowest_highest": [round(min(taken["warm"]), 3), round(max(taken["warm"]), 3)],
        "read_once_ms": round(middle[read], 3),
        "read_once_by": read,
        "warm_over_read_once": round(middle["warm"] / middle[read], 2),
        "warm_over_read_once_by_round": [round(q, 2) for q in np.quantile(ratios, [0.25, 0.5, 0.75]).tolist()],
        "brute_force_ms": round(statistics.median(brute), 3),
        "top_is_brute_force": f"{same} of {len(brute)}",
    }


def sizes(folder: Path) -> dict[str, int]:
    """Bytes on disk: what choosing takes, and what looking the chosen model up takes beside."""
    files = {file.name: file.stat().st_size for file in folder.iterdir() if file.name not in SERVER_FILES}
    later = sum(files[name] for name in LOOKED_UP)
    return {
        "to_choose": sum(files.values()) - later,
        "coordinates": files["coordinates.safetensors"],
        "to_look_up": later,
    }


def packing(exact: PackedRows, held: PackedRows, catalog: Catalog, users: Sequence[Coordinates]) -> dict[str, Any]:
    """What smaller numbers change: errors of coordinates and of distances, and of whom the choice differs."""
    largest, squares, total = np.zeros(exact.shape[1]), 0.0, 0.0
    biggest = np.zeros(exact.shape[1])
    for i in range(0, len(exact), BLOCK):
        one, other = exact[i : i + BLOCK], held[i : i + BLOCK]
        largest = np.maximum(largest, np.abs(one - other).max(axis=0))
        biggest = np.maximum(biggest, np.abs(one).max(axis=0))
        squares, total = squares + float(np.square(one - other).sum()), total + float(np.square(one).sum())
    moved, best, among = 0.0, 0, 0
    for user in users:
        rows, far = nearest_rows(catalog.basis, exact, user.values, TOP)
        others, _ = nearest_rows(catalog.basis, held, user.values, TOP)
        moved = max(moved, float(np.abs(distances(catalog.basis, held[rows], user.values) - far).max()))
        best, among = best + int(rows[0] == others[0]), among + len(set(rows.tolist()) & set(others.tolist()))
    return {
        "largest_error_over_axis_largest": float((largest / biggest).max()),
        "rms_error_over_rms": float(np.sqrt(squares / total)),
        "largest_change_of_a_distance_in_the_top": moved,
        "same_best": f"{best} of {len(users)}",
        "top_in_common": among / (TOP * len(users)),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=int, default=1_000_000)
    parser.add_argument("--axes", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=24)
    parser.add_argument("--users", type=int, default=50, help="users for whom float16 and int8 are compared")
    parser.add_argument("--work", type=Path, default=Path("out/pool_size"))
    parser.add_argument("--only-write", action="store_true", help="write the catalogs and measure nothing")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    world = World.drawn(options.axes)
    users = world.users(options.users)
    steps = [10**power for power in range(1, 10) if 10**power <= options.models]
    folders = {m: catalog_folder(options.work, world, m, "float32") for m in steps}
    smaller = {dtype: catalog_folder(options.work, world, steps[-1], dtype) for dtype in ("float16", "int8")}
    if options.only_write:
        return 0
    load = os.getloadavg()[0]
    curves: list[dict[str, Any]] = []
    for m in steps:
        curves.append(costs(folders[m], users, options.rounds))
        say(json.dumps(curves[-1]))
    whole = Catalog.from_pretrained(folders[steps[-1]])
    packed: dict[str, Any] = {"float32": sizes(folders[steps[-1]])}
    for dtype, folder in smaller.items():
        other = Catalog.from_pretrained(folder)
        assert isinstance(whole.coordinates, PackedRows)
        assert isinstance(other.coordinates, PackedRows)
        told = costs(folder, users, max(3, options.rounds // 3))
        packed[dtype] = {
            **sizes(folder),
            **{name: told[name] for name in ("warm_ms", "read_once_ms", "top_is_brute_force")},
            **packing(whole.coordinates, other.coordinates, whole, users),
        }
        say(f"{dtype}: {json.dumps(packed[dtype])}")
    result = {
        "axes": options.axes,
        "rounds": options.rounds,
        "curves": curves,
        "numbers": packed,
        "machine": {
            "cores": os.cpu_count(),
            "load_before": round(load, 1),
            "python": platform.python_version(),
            "numpy": version("numpy"),
        },
    }
    write_text(HERE / "result.json", json.dumps(result, indent=1) + "\n")
    costs_chart(curves, out=CHART)
    return 0


if __name__ == "__main__":
    sys.exit(main())
