"""Recorded real text through the real encoder: which style is a user's, by which axes and which rule.

    XPERT_REAL_TEXT=DATA python benchmarks/recorded_style_qa/run.py [--work out/recorded_style_qa] [--seeds 5]

Reads the authors' published data (``DATA/style_qa``). Models are lines 1-500 of each style (recorded; base: ``default``), 50
prompts; users are 50 of lines 501-1000 with the base's answers, twenty a style. Each text is encoded once and kept in the work
folder. Writes ``result.json`` beside this file: shares of users whose style was chosen, over the seeds.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from common.remembering import RememberingEncoder  # noqa: E402

from xpert import Catalog, Example, Explainer, Selector  # noqa: E402
from xpert.examples import load_examples  # noqa: E402
from xpert.progress import say  # noqa: E402
from xpert.tensors.files import write_text  # noqa: E402

N_MODEL_LINES, N_USER_LINES, USERS_A_STYLE = 500, 50, 20
AXES = ("all", "named+measured", "named")
METRICS = ("direction", "embedding", "coordinates")
VARIANTS: Mapping[str, Mapping[str, Any]] = {
    "default": {},
    "described words": {"subvectors": "described"},
    "eps_orth=0.1": {"eps_orth": 0.1},
    "eps_orth=0.2": {"eps_orth": 0.2},
    "eps_orth=0.3": {"eps_orth": 0.3},
    "eps_orth=0.5": {"eps_orth": 0.5},
    "projection": {"coefficients": "projection"},
    "order=residual": {"candidate_order": "residual"},
    "no measured axes": {"measured_weight": 0.0},
    "measured_weight=0.25": {"measured_weight": 0.25},
    "measured_weight=1": {"measured_weight": 1.0},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A user's texts and the base's answers to the same prompts."""

    style: str
    examples: tuple[Example, ...]
    base: tuple[Example, ...]


def users(texts: Mapping[str, Sequence[Example]], seed: int) -> Iterator[User]:
    rng = random.Random(f"users/{seed}")
    for style in texts:
        for _ in range(USERS_A_STYLE if style != "default" else 0):
            lines = sorted(rng.sample(range(N_MODEL_LINES, len(texts[style])), N_USER_LINES))
            yield User(
                style=style,
                examples=tuple(texts[style][i] for i in lines),
                base=tuple(texts["default"][i] for i in lines),
            )


def accuracies(catalog: Catalog, encoder: RememberingEncoder, drawn: Sequence[User]) -> dict[str, float]:
    """Share of users whose style was chosen, by axes and metric; and by the measured axes alone."""
    selectors = {
        f"{axes}, {metric}": Selector(catalog, encoder, axes=axes, metric=metric)
        for axes in AXES
        for metric in METRICS
        if axes != "named+measured" or catalog.provenance.measured
    }
    right = dict.fromkeys(selectors, 0)
    measured_right = 0
    measured = catalog.basis.where(["measured"])
    for user in drawn:
        place = next(iter(selectors.values())).locate(user.examples, user.base)
        for name, selector in selectors.items():
            right[name] += selector.rank(place).best == user.style
        if measured:
            apart = np.linalg.norm(catalog.coordinates[:, measured] - place.values[measured], axis=1)
            measured_right += catalog.names[int(apart.argmin())] == user.style
    found = {name: count / len(drawn) for name, count in right.items()}
    return {**found, **({"measured alone, coordinates": measured_right / len(drawn)} if measured else {})}


def explained(
    variant: Mapping[str, Any], encoder: RememberingEncoder, folder: Path, styles: Sequence[str], seed: int
) -> Catalog:
    explainer = Explainer(f"answers:{folder / 'default.jsonl'}", encoder, seed=seed, **variant)
    return explainer.explain({style: f"answers:{folder / f'{style}.jsonl'}" for style in styles})


def run(data: Path, work: Path, n_seeds: int) -> dict[str, Any]:
    folder = work / "models"
    folder.mkdir(parents=True, exist_ok=True)
    texts: dict[str, list[Example]] = {}
    for file in sorted((data / "style_qa").glob("*.jsonl")):
        texts[file.stem] = load_examples(file)
        lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
        write_text(folder / file.name, "".join(lines[:N_MODEL_LINES]))
    styles = [style for style in texts if style != "default"]
    encoder = RememberingEncoder("minilm", work / "encoded.npz")
    n_known = len(encoder.store)
    results: dict[str, Any] = {}
    words: dict[str, Any] = {}
    for name, variant in VARIANTS.items():
        rows: list[dict[str, float]] = []
        for seed in range(n_seeds):
            catalog = explained(variant, encoder, folder, styles, seed)
            rows.append(
                {
                    "word axes": float(len(catalog.basis.where(["word"]))),
                    "residual": float(np.mean([catalog[style].residual for style in styles])),
                    **accuracies(catalog, encoder, list(users(texts, seed))),
                }
            )
            if name == "default" and seed == 0:
                words = {style: [[w, round(v, 2)] for w, v in catalog[style].words[:8]] for style in styles}
        results[name] = {
            key: {"mean": round(float(np.mean(column)), 4), "worst" if "," in key else "least": round(min(column), 4)}
            for key in rows[0]
            for column in [[row[key] for row in rows]]
        }
        say(f"{name}: {json.dumps(results[name])}")
    encoder.store.save()
    return {
        "models": styles,
        "n_users": len(styles) * USERS_A_STYLE,
        "seeds": n_seeds,
        "results": results,
        "words": words,
        "texts_encoded_before": n_known,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("out/recorded_style_qa"))
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    data = os.environ.get("XPERT_REAL_TEXT")
    if not data or not (Path(data) / "style_qa").is_dir():
        say("skipped: XPERT_REAL_TEXT names no folder with style_qa in it")
        return 0
    began = time.monotonic()
    result = run(Path(data), options.work, options.seeds)
    packages = ("numpy", "torch", "transformers", "sentence-transformers")
    result["versions"] = {name: version(name) for name in packages}
    result["machine"] = {"python": platform.python_version(), "processor": platform.machine(), "cores": os.cpu_count()}
    result["seconds"] = round(time.monotonic() - began)
    write_text(HERE / "result.json", json.dumps(result, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
