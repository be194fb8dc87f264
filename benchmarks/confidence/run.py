"""Is a selection that is "70% sure" right seven times of ten? Reliability of `Selection.confidence`.

    python benchmarks/confidence/run.py [--work out/confidence] [--source zoo planted] [--users 40] [--pool 60]

``planted``: places drawn at random, users anywhere (``anywhere``) or exactly where a model is (``at a model``). ``zoo``: the 28 shipped
models, explained once; users draw their pairs from texts of the corpus half that no model saw, all in their style or a share of them
(the others are default answers). Right: the model of the user's style (planted: nearest to the user's true place). Writes
``result.json`` beside this file: per group, users by confidence, with the mean confidence and the share that was right.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from xpert import Catalog, Explainer
from xpert.basis import SubvectorBasis
from xpert.confidence import nearest_shares
from xpert.embedding import embed_pairs, joined, open_summarizer
from xpert.evaluation.demo import base_answers
from xpert.progress import say
from xpert.selector import user_pairs
from xpert.space import distances
from xpert.tensors.files import write_text
from xpert.types import Array, Axis
from xpert.zoo import adapter_names
from xpert.zoo.corpus import DEFAULT, STYLES, examples

HERE = Path(__file__).resolve().parent
EDGES = (0.0, 0.3, 0.5, 0.7, 0.9, 0.99)
N_PAIRS = (5, 10, 20, 50)
SHARES = (1.0, 0.5, 0.3)
Outcome = tuple[float, bool]


def reliability(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Users by confidence; and the mean of both, and the mean squared difference of confidence and outcome."""
    confidence = np.array([sure for sure, _ in outcomes])
    right = np.array([float(good) for _, good in outcomes])
    bins = []
    for low, high in zip(EDGES, (*EDGES[1:], 1.01), strict=True):
        inside = (confidence >= low) & (confidence < high)
        if inside.any():
            told = {"from": low, "users": int(inside.sum()), "confidence": round(float(confidence[inside].mean()), 3)}
            bins.append({**told, "right": round(float(right[inside].mean()), 3)})
    means = {"confidence": confidence.mean(), "right": right.mean(), "brier": ((confidence - right) ** 2).mean()}
    return {"users": len(outcomes), **{name: round(float(mean), 4) for name, mean in means.items()}, "bins": bins}


def outcome(basis: SubvectorBasis, models: Array, rows: Array, target: int, n_probes: int) -> Outcome:
    best = int(distances(basis, models, rows.mean(axis=0)).argmin())
    shares = nearest_shares(basis, models, rows, n_probes=n_probes)
    assert shares is not None
    return float(shares[best]), best == target


def planted(n: int, noise: float, *, at_a_model: bool, users: int, seed: int = 0) -> Iterator[Outcome]:
    """Users of one random space after another: 20 axes that are not orthogonal, 8 models of 50 probes each."""
    rng = np.random.default_rng(seed)
    k, m, p = 20, 8, 50
    axes = tuple(Axis(word=str(i)) for i in range(k))
    for _ in range(users):
        vectors = rng.normal(size=(k, 30)).astype(np.float32)
        basis = SubvectorBasis(axes=axes, vectors=vectors, null=np.zeros(30, np.float32))
        scatter = noise * rng.uniform(0.3, 1.3, size=k)
        models = rng.normal(size=(m, k))
        user = models[rng.integers(m)] if at_a_model else rng.normal(size=k)
        seen = models + rng.normal(size=(m, k)) * scatter / np.sqrt(p)
        rows = user + rng.normal(size=(n, k)) * scatter
        target = int(distances(basis, models, user).argmin())
        yield outcome(basis, seen.astype(np.float32), rows.astype(np.float32), target, p)


def zoo_rows(work: Path, pool: int) -> tuple[Catalog, Mapping[str, Array]]:
    """The zoo's catalog, and of each style (and ``default``) the coordinates of ``pool`` pairs of users; kept in the work folder."""
    folder, file = work / "catalog", work / f"rows-{pool}.npz"
    if not folder.is_dir():
        say("explaining the zoo's models")
        Explainer("zoo:base", "zoo:summarizer").explain({n: f"zoo:{n}" for n in adapter_names()}).save_pretrained(
            folder
        )
    catalog = Catalog.from_pretrained(folder)
    if not file.is_file():
        say("summarizing the users' texts")
        made, rows = catalog.provenance, {}
        styles = {**{name: STYLES[name] for name in catalog.names}, "default": DEFAULT}
        texts = {name: examples(style, side="users", n=pool, seed=7) for name, style in styles.items()}
        answers = base_answers(catalog, "zoo:base", texts.values())
        with open_summarizer("zoo:summarizer") as summarizer:
            for name, own in texts.items():
                pairs = user_pairs(own, [answers[example.prompt or ""] for example in own], (), seed=0)
                null = catalog.basis.null[: made.width]
                embedded = embed_pairs(summarizer, pairs, null=null, measured=made.measured)
                rows[name] = catalog.basis.project(joined(embedded, made.measured_scale))
        np.savez(file, **rows)
    with np.load(file, allow_pickle=False) as saved:
        return catalog, {name: saved[name] for name in saved.files}


def zoo(catalog: Catalog, rows: Mapping[str, Array], n: int, share: float, *, users: int) -> Iterator[Outcome]:
    """Users of every style: ``n`` pairs drawn from the pool without repetition, a share of them in the style."""
    rng = np.random.default_rng([n, int(100 * share)])
    for target, style in enumerate(catalog.names):
        for _ in range(users):
            order = rng.permutation(len(rows[style]))[:n]  # prompt i is the same in every style: no prompt twice
            styled = order[: round(share * n)]
            drawn = np.concatenate([rows[style][styled], rows["default"][order[len(styled) :]]])
            yield outcome(catalog.basis, catalog.coordinates, drawn, target, catalog.provenance.n_prompts)


def milliseconds() -> float:
    """Processor time of one call for 28 models x 50 pairs x 100 axes x 384 wide: the best of 5."""
    rng = np.random.default_rng(0)
    axes = tuple(Axis(word=str(i)) for i in range(100))
    vectors = rng.normal(size=(100, 384)).astype(np.float32)
    basis = SubvectorBasis(axes=axes, vectors=vectors, null=np.zeros(384, np.float32))
    taken = []
    for _ in range(5):
        began = time.process_time()
        nearest_shares(basis, rng.normal(size=(28, 100)), rng.normal(size=(50, 100)), n_probes=50)
        taken.append(1000 * (time.process_time() - began))
    return round(min(taken), 2)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("out/confidence"))
    parser.add_argument("--source", nargs="+", choices=["planted", "zoo"], default=["planted", "zoo"])
    parser.add_argument("--users", type=int, default=40, help="users a style; 20 times as many planted ones a group")
    parser.add_argument("--pool", type=int, default=60, help="texts a style that the zoo's users draw from")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    result: dict[str, Any] = {"milliseconds": milliseconds()}
    if "planted" in options.source:
        for n, noise in ((3, 1.0), (5, 2.0), (20, 3.0), (50, 4.0)):
            for where in ("anywhere", "at a model"):
                drawn = planted(n, noise, at_a_model=where == "at a model", users=20 * options.users)
                result[f"planted, {where}, {n} pairs, noise {noise:g}"] = reliability(list(drawn))
    if "zoo" in options.source:
        catalog, rows = zoo_rows(options.work, options.pool)
        for n in N_PAIRS:
            for share in SHARES:
                outcomes = list(zoo(catalog, rows, n, share, users=options.users))
                result[f"zoo, {share:.0%} styled, {n} pairs"] = reliability(outcomes)
    result["machine"] = {"python": platform.python_version(), "processor": platform.machine(), "cores": os.cpu_count()}
    result["numpy"] = np.__version__
    write_text(HERE / "result.json", json.dumps(result, indent=1) + "\n")
    print(json.dumps({name: value for name, value in result.items() if isinstance(value, dict)}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
