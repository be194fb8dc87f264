"""Does the selector know when nothing fits? Users of a catalog's styles, and users of styles that it does not have.

    XPERT_REAL_TEXT=DATA python benchmarks/abstention/run.py [--summarizer encoder:minilm] [--half report] [--draws 10]

The catalog: the six styles of ``DATA/style_qa`` as recorded models, 50 prompts. Users: 50 texts (and 20, 10, 5) on other prompts,
with the base's answers and without. Strangers: of the ten genres of ``DATA/genres``, without base answers. ``--half choose`` uses
prompts 1 to 500 and, in the genres' place, each style left out of its own catalog: by these the rule was chosen; what is reported
is prompts 501 to 1000. Adds its figures to ``result.json`` beside this file, under the half's and the summarizer's name.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from common.remembering import measure_once, remembering  # noqa: E402

from xpert import Catalog, Example, Explainer, Selection, Selector  # noqa: E402
from xpert.examples import load_answers  # noqa: E402
from xpert.progress import say  # noqa: E402
from xpert.tensors.files import write_text  # noqa: E402

N_PROMPTS, N_TEXTS = 50, (50, 20, 10, 5)
POOLS = {"choose": (0, 500, 120), "report": (500, 1000, 200)}
N_GENRE = 150
Texts = Mapping[str, Sequence[Example]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One user."""

    group: str
    kind: str
    selection: Selection


def read(folder: Path) -> Texts:
    return {file.stem: load_answers(file) for file in sorted(folder.glob("*.jsonl"))}


def explained(texts: Texts, styles: Sequence[str], asked: Sequence[int], seed: int, options: Any) -> Catalog:
    """A catalog of recorded models."""
    folder = options.work / "models"
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("default", *styles):
        lines = [{"prompt": texts[name][i].prompt, "response": texts[name][i].response} for i in asked]
        write_text(folder / f"{name}.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
    prompts = [str(texts["default"][i].prompt) for i in asked]
    explainer = Explainer(f"answers:{folder / 'default.jsonl'}", options.opened, prompts=prompts, seed=seed)
    return explainer.explain({style: f"answers:{folder / f'{style}.jsonl'}" for style in styles})


def selections(
    catalog: Catalog, texts: Texts, style: str, drawn: Sequence[int], options: Any
) -> Iterator[tuple[str, Selection]]:
    """A user of a style of ``style_qa`` by how many texts, with base answers and without."""
    selector = Selector(catalog, options.opened)
    for n in N_TEXTS:
        own = [texts[style][i] for i in drawn[:n]]
        yield f"{n} paired", selector.select(own, [texts["default"][i] for i in drawn[:n]])
        yield f"{n} unpaired", selector.select([Example(response=e.response) for e in own])


def outcomes(seed: int, options: Any) -> Iterator[Outcome]:
    """All users of one draw."""
    texts, genres = read(options.data / "style_qa"), read(options.data / "genres")
    styles = [name for name in texts if name != "default"]
    first, last, n = POOLS[options.half]
    pool = random.Random(f"abstention/{options.half}").sample(range(first, last), n)
    rng = random.Random(f"abstention/{options.half}/{seed}")
    rng.shuffle(pool)
    asked, others = pool[:N_PROMPTS], pool[N_PROMPTS:]
    catalog = explained(texts, styles, asked, seed, options)
    for style in styles:
        for _ in range(options.users):
            for kind, selection in selections(catalog, texts, style, rng.sample(others, max(N_TEXTS)), options):
                yield Outcome(group=style, kind=kind, selection=selection)
    if options.half == "choose":
        for style in styles:
            catalog = explained(texts, [name for name in styles if name != style], asked, seed, options)
            for kind, selection in selections(catalog, texts, style, rng.sample(others, max(N_TEXTS)), options):
                yield Outcome(group=f"not in the catalog: {style}", kind=kind, selection=selection)
        return
    selector = Selector(catalog, options.opened)
    for genre, passages in genres.items():
        kept = random.Random(f"abstention/{genre}").sample(passages, min(len(passages), N_GENRE))
        for _ in range(options.users):
            own = [Example(response=e.response) for e in rng.sample(kept, max(N_TEXTS))]
            for n_texts in N_TEXTS:
                selection = selector.select(own[:n_texts])
                yield Outcome(group=f"not in the catalog: {genre}", kind=f"{n_texts} unpaired", selection=selection)


def table(found: Sequence[Outcome]) -> dict[str, Any]:
    """Per number of texts and kind of reference: percent accepted, right (of all users) and refused, and likenesses."""
    rows: dict[str, Any] = {}
    for kind in dict.fromkeys(outcome.kind for outcome in found):
        own = [o for o in found if o.kind == kind and not o.group.startswith("not in")]
        strange = [o for o in found if o.kind == kind and o.group.startswith("not in")]
        rows[kind] = {
            "users of catalog styles": len(own),
            "accepted": percent(o.selection.matched for o in own),
            "right": percent(o.selection.best == o.group for o in own),
            "accepted and right": percent(o.selection.matched and o.selection.best == o.group for o in own),
            "likeness": spread(own),
        }
        if strange:
            groups = dict.fromkeys(o.group for o in strange)
            rows[kind] |= {
                "strangers": len(strange),
                "refused": percent(not o.selection.matched for o in strange),
                "strangers' likeness": spread(strange),
                "refused by group": {
                    g.partition(": ")[2]: percent(not o.selection.matched for o in strange if o.group == g)
                    for g in groups
                },
            }
    return rows


def percent(values: Iterator[bool] | Any) -> float:
    return round(100 * float(np.mean(list(values))), 1)


def spread(found: Sequence[Outcome]) -> list[float]:
    """5, 50 and 95% quantiles of the likeness."""
    return np.round(np.quantile([o.selection.likeness or 0.0 for o in found], [0.05, 0.5, 0.95]), 3).tolist()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--summarizer", default="encoder:minilm")
    parser.add_argument("--half", choices=list(POOLS), default="report")
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--users", type=int, default=2, help="users a style, and a genre, in each draw")
    parser.add_argument("--work", type=Path, default=Path("out/abstention"))
    options = parser.parse_args()
    options.data = Path(os.environ.get("XPERT_REAL_TEXT", ""))
    if not (options.data / "style_qa").is_dir() or not (options.data / "genres").is_dir():
        say("skipped: XPERT_REAL_TEXT names no folder with style_qa and genres in it")
        return 0
    options.work.mkdir(parents=True, exist_ok=True)
    name = options.summarizer.replace(":", "-").replace("/", "-")
    options.opened = remembering(options.summarizer, options.work / f"{name}.npz")
    options.work = options.work / f"{name}-{options.half}"
    measure_once()
    found: list[Outcome] = []
    for seed in range(options.draws):
        found += outcomes(seed, options)
        options.opened.store.save()
        say(f"draw {seed}: {json.dumps({k: (v['accepted'], v.get('refused')) for k, v in table(found).items()})}")
    limits = {o.selection.least_likeness or 0.0 for o in found}
    result = {
        "draws": options.draws,
        "least_likeness": [round(min(limits), 3), round(max(limits), 3)],
        **table(found),
        "versions": {
            "python": platform.python_version(),
            **{p: version(p) for p in ("numpy", "torch", "transformers")},
        },
    }
    file = HERE / "result.json"
    before = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    write_text(file, json.dumps({**before, f"{options.half}, {options.summarizer}": result}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
