"""How long Algorithm 1 takes beside the two products that it cannot do without.

    python benchmarks/decompose_speed/run.py [--repeats 3] [--small]

1,000 embeddings and 2,000 candidate words of width 4,096. The yardstick is ``E V'`` and ``V V'`` in float32 (49 GFLOP, the second
as a plain product, with no use of its symmetry), timed right before and after each case in the same process; the ratio is
to the mean of both. CPU seconds of all threads are told beside wall seconds, since a shared machine stretches the latter.
Writes ``result.json`` beside this file.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from xpert.decompose import algorithm1
from xpert.progress import say
from xpert.tensors.files import write_text
from xpert.types import Array

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A problem and the options it is solved with."""

    vectors: Array
    embeddings: Array
    candidates: Sequence[Sequence[str]]
    options: dict[str, Any]


def cases(n_words: int, n_embeddings: int, width: int, seed: int = 0) -> dict[str, Callable[[], Case]]:
    rng = np.random.default_rng(seed)
    words = [f"w{i}" for i in range(n_words)]
    random = rng.standard_normal((n_words, width), dtype=np.float32)
    clumped = random[rng.integers(0, 40, n_words)] + 0.5 * random
    embeddings = rng.standard_normal((n_embeddings, width), dtype=np.float32)
    shuffled = [[words[i] for i in rng.permutation(n_words)] for _ in range(n_embeddings)]
    same = [words] * n_embeddings
    spread = np.stack([random[int(one[0][1:])] + 0.5 * random[int(one[1][1:])] for one in shuffled])
    paper = {"eps_orth": 0.1, "eps_dec": 0.2}

    def case(vectors: Array, e: Array, lists: Sequence[Sequence[str]], **options: Any) -> Callable[[], Case]:
        return lambda: Case(vectors=vectors, embeddings=e, candidates=lists, options={**paper, **options})

    return {
        "all accepted, least squares": case(random, embeddings, same, rule="least-squares"),
        "all accepted, projection": case(random, embeddings, same, rule="projection"),
        "few accepted, least squares": case(clumped, embeddings, same, rule="least-squares"),
        "few accepted, projection": case(clumped, embeddings, same, rule="projection"),
        "two words an embedding, own orders": case(random, spread, shuffled),
        "all accepted, by residual": case(random, embeddings, same, order="residual"),
        "all accepted, orthogonalised": case(random, embeddings, same, axes="orthogonalised"),
    }


def timed(work: Callable[[], Any]) -> tuple[float, float, Any]:
    """Wall seconds, CPU seconds of all threads, and the result."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    return time.perf_counter() - wall, time.process_time() - cpu, result


def products(case: Case) -> Callable[[], None]:
    transposed = case.vectors.copy().T  # another array, so that no symmetric product is taken

    def work() -> None:
        case.embeddings @ transposed
        case.vectors @ transposed

    return work


def measure(case: Case, repeats: int) -> dict[str, Any]:
    rows: list[dict[str, float]] = []
    yardstick = products(case)

    def work() -> Any:
        return algorithm1(
            case.embeddings,
            case.candidates,
            lambda words: case.vectors[[int(word[1:]) for word in words]],
            chunk=len(case.vectors),
            **case.options,
        )

    yardstick()
    found = work()  # both are warm
    for _ in range(repeats):
        before = timed(yardstick)
        wall, cpu, found = timed(work)
        after = timed(yardstick)
        rows.append(
            {
                "wall_s": wall,
                "cpu_s": cpu,
                "products_wall_s": (before[0] + after[0]) / 2,
                "products_cpu_s": (before[1] + after[1]) / 2,
            }
        )
    assert found is not None
    best = {key: min(row[key] for row in rows) for key in rows[0]}
    ratios = {
        f"ratio_{kind}": float(np.median([row[f"{kind}_s"] / row[f"products_{kind}_s"] for row in rows]))
        for kind in ("wall", "cpu")
    }
    figures = {key: round(value, 3) for key, value in {**best, **ratios}.items()}
    return {**figures, "accepted": len(found.words), "converged": sum(found.converged), "examined": found.n_examined}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", default="", help="cases whose name holds this")
    parser.add_argument("--small", action="store_true", help="a tenth of the size, nothing written")
    options = parser.parse_args()
    size = (200, 100, 410) if options.small else (2000, 1000, 4096)
    results: dict[str, Any] = {}
    for name, build in cases(*size).items():
        if options.only in name:
            results[name] = measure(build(), options.repeats)
            say(f"{name}: {json.dumps(results[name])}")
    if not options.small:
        result = {
            "size": dict(zip(("n_words", "n_embeddings", "width"), size, strict=True)),
            "repeats": options.repeats,
            "results": results,
            "versions": {name: version(name) for name in ("numpy", "scipy")},
            "machine": {
                "python": platform.python_version(),
                "processor": platform.machine(),
                "cores": os.cpu_count(),
                "threads": os.environ.get("OMP_NUM_THREADS", "all"),
            },
        }
        write_text(HERE / "result.json", json.dumps(result, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
