"""Which way to decompose: coefficients x order x axes x threshold, by selection and by words.

    XPERT_REAL_TEXT=DATA python benchmarks/decomposition_study/run.py --work WORK [--draws 5]

``WORK`` holds ``encoded.npz`` of ``benchmarks/recorded_style_qa``; the zoo's embeddings are made there once. Models and users are
means over 50 (zoo: 20) pairs drawn by a seed, models and users on different questions. Writes ``result.json`` beside this file.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from worlds import World, accepted_words, real_text, zoo

from xpert.decompose import algorithm1, coefficients, naming_weights, relative_residual
from xpert.progress import say
from xpert.tensors.files import write_text

HERE = Path(__file__).resolve().parent
METHODS = [("least-squares", "found"), ("projection", "found"), ("least-squares", "orthogonalised")]
ORDERS = ("given", "residual")
Lister = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def least_squares(vectors: np.ndarray, e: np.ndarray, z: np.ndarray) -> np.ndarray:
    return np.abs(z) * np.linalg.norm(vectors, axis=1)


def largest_positive(vectors: np.ndarray, e: np.ndarray, z: np.ndarray) -> np.ndarray:
    return z * np.linalg.norm(vectors, axis=1)


def cosine(vectors: np.ndarray, e: np.ndarray, z: np.ndarray) -> np.ndarray:
    return vectors @ e / np.linalg.norm(vectors, axis=1)


def nonnegative(vectors: np.ndarray, e: np.ndarray, z: np.ndarray) -> np.ndarray:
    return naming_weights(vectors, vectors @ e) * np.linalg.norm(vectors, axis=1)


LISTS: Mapping[str, Lister] = {
    "size of coefficient": least_squares,
    "coefficient": largest_positive,
    "cosine": cosine,
    "non-negative": nonnegative,
}


def named(top: Sequence[str], properties: Sequence[str], accepted: Mapping[str, Sequence[str]]) -> list[bool]:
    """Per dimension, whether one of the words names it."""
    return [any(word in accepted[name] for word in top) for name in properties]


def right(basis: np.ndarray, models: np.ndarray, users: np.ndarray, rule: str) -> tuple[float, float]:
    """Share of users nearest to their style's model: by directions in the span, and by coefficients."""
    zm, zu = (coefficients(basis, rows, rule) for rows in (models, users))  # type: ignore[arg-type]
    found: list[float] = []
    for directions in (True, False):
        a, b = (zm @ basis, zu @ basis) if directions else (zm, zu)
        if directions:
            a, b = (x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12) for x in (a, b))
        apart = ((b[:, None] - a[None]) ** 2).sum(axis=2)
        found.append(float((apart.argmin(axis=1) == np.arange(len(users)) % len(models)).mean()))
    return found[0], found[1]


def decomposed(
    world: World, accepted: Mapping[str, Sequence[str]], options: Mapping[str, Any], *, n_pairs: int, draws: int
) -> dict[str, Any]:
    """One way to decompose, over draws of models and users."""
    index = {word: i for i, word in enumerate(world.words)}
    unit = world.vectors / np.linalg.norm(world.vectors, axis=1, keepdims=True)
    rows: list[dict[str, Any]] = []
    for seed in range(draws):
        rng = np.random.default_rng(seed)
        some = rng.permutation(world.models.shape[1])[:n_pairs]
        models = world.models[:, some].mean(axis=1).astype(np.float64)
        users = np.concatenate(
            [world.users[:, rng.permutation(world.users.shape[1])[:n_pairs]].mean(axis=1) for _ in range(10)]
        ).astype(np.float64)
        listed = world.candidates or [[world.words[i] for i in np.argsort(-(unit @ e))[:128]] for e in models]
        found = algorithm1(
            models, listed, lambda words: world.vectors[[index[w] for w in words]], chunk=1000, **options
        )
        basis = found.vectors.astype(np.float64)
        shown = world.vectors[[index[w] for w in found.words]].astype(np.float64)
        by_direction, by_coefficients = right(basis, models, users, options["rule"])
        hits: dict[str, list[bool]] = {name: [] for name in LISTS}
        for m, e in enumerate(models):
            z = coefficients(basis, e, options["rule"])
            for name, scores in LISTS.items():
                top = [found.words[i] for i in np.argsort(-scores(shown, e, z), kind="stable")[:3]]
                hits[name] += named(top, world.properties[m], accepted)
        rows.append(
            {
                "n_axes": len(found.words),
                "examined": found.n_examined,
                "residual": np.mean([relative_residual(basis, e, options["rule"]) for e in models]),
                "right by direction": by_direction,
                "right by coefficients": by_coefficients,
                **{f"named, {name}": np.mean(hit) for name, hit in hits.items()},
            }
        )
    return {key: round(float(np.mean([row[key] for row in rows])), 3) for key in rows[0]}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--accepted", type=Path, default=HERE.parent / "words" / "accepted.json")
    parser.add_argument("--draws", type=int, default=5)
    options = parser.parse_args()
    data = os.environ.get("XPERT_REAL_TEXT")
    accepted = accepted_words(options.accepted)
    results: dict[str, Any] = {}
    worlds: dict[str, tuple[World, Sequence[float], int]] = {"zoo": (zoo(options.work), (0.1, 0.5, 0.7, 0.9), 20)}
    if data and (Path(data) / "style_qa").is_dir():
        worlds["real text"] = (real_text(Path(data), options.work), (0.1, 0.25, 0.5), 50)
    else:
        say("real text left out: XPERT_REAL_TEXT names no folder with style_qa in it")
    for where, (world, thresholds, n_pairs) in worlds.items():
        for (rule, axes), order, eps in product(METHODS, ORDERS, thresholds):
            ways = {"rule": rule, "axes": axes, "order": order, "eps_orth": eps, "eps_dec": 0.2}
            found = decomposed(world, accepted, ways, n_pairs=n_pairs, draws=options.draws)
            results.setdefault(where, []).append({**ways, **found})
            say(f"{where}: {json.dumps(results[where][-1])}")
        for eps_dec in (0.05, 0.4, 0.6):
            eps = 0.7 if where == "zoo" else 0.25
            ways = {"rule": "least-squares", "axes": "found", "order": "given", "eps_orth": eps, "eps_dec": eps_dec}
            found = decomposed(world, accepted, ways, n_pairs=n_pairs, draws=options.draws)
            results[where].append({**ways, **found})
    length = worlds["real text"][0].length.round(2).tolist() if "real text" in worlds else None  # type: ignore[union-attr]
    result = {
        "draws": options.draws,
        "results": results,
        "log_length_ratio": dict(zip(worlds["real text"][0].styles, length, strict=True)) if length else None,
        "versions": {name: version(name) for name in ("numpy", "scipy", "torch", "transformers")},
    }
    write_text(HERE / "result.json", json.dumps(result, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
