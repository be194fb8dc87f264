"""What it costs a selected start that users write in phrases which no model saw, and that they ask what no model was asked.

    python benchmarks/known_phrases/run.py [--styles NAME ...] [--work out/known_phrases]

The corpus has two halves of questions and two of phrases (`xpert.zoo.corpus`): models are trained on one of each, users are drawn from
the others. Here texts of all four combinations are scored by the base and by the adapters of their style (mean loss of 40 texts, in
nats a token, as exhaustive search scores them); and for users who write in the *models'* phrases about the users' questions both starts are
trained with the demo's settings up to the target of `xpert.evaluation.starts`. Nothing is selected: the start is the adapter of the
user's style. A run goes on where it stopped. Writes ``result.json`` beside this file.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from xpert.baselines.exhaustive import ExhaustiveBaseline
from xpert.baselines.pool import ModelPool
from xpert.evaluation.demo import DemoSettings
from xpert.evaluation.starts import compare_starts
from xpert.progress import say
from xpert.tensors.files import write_text
from xpert.types import Example
from xpert.zoo import pool_names
from xpert.zoo.corpus import STYLES, Side, side_questions, write

HERE = Path(__file__).resolve().parent
SHIPPED = [name.partition("@")[0] for name in pool_names(90)]
FRIENDLY = [style for style in SHIPPED if style.endswith("-friendly")]
SIMILARITIES = (100, 90, 50)
SIDES: tuple[Side, ...] = ("models", "users")


def texts(style: str, questions: Side, phrases: Side, n: int, seed: int) -> list[Example]:
    """Texts of a style about one half's questions, each another, in the phrases of a half."""
    asked = random.Random(style).sample(list(side_questions(questions)), n)
    return [
        Example(prompt=one.text, response=write(one, STYLES[style], side=phrases, seed=seed + number))
        for number, one in enumerate(asked)
    ]


def reference(style: str, similarity: int) -> str:
    """Of the shipped adapter."""
    return f"zoo:{style}" if similarity == 100 else f"zoo:{style}@{similarity}"


def losses(style: str) -> list[dict[str, Any]]:
    """Of the base and of each adapter, on each combination of questions and phrases."""
    adapters = {f"s = {s}": reference(style, s) for s in SIMILARITIES}
    search = ExhaustiveBaseline(ModelPool(base="zoo:base", models={"base": "zoo:base", **adapters}))
    rows: list[dict[str, Any]] = []
    for questions in SIDES:
        for phrases in SIDES:
            found = search.select(texts(style, questions, phrases, 40, 900_000)).ranking
            told = {name: round(loss, 3) for name, loss in sorted(found)}
            rows.append({"style": style, "questions": questions, "phrases": phrases, "nats_a_token": told})
    return rows


def starts(style: str, work: Path) -> list[dict[str, Any]]:
    """Steps to scratch's target of a user who writes in the models' phrases."""
    own = texts(style, "users", "models", 60, 800_000)
    trainer: Any = replace(DemoSettings().trainer, max_steps=400)
    rows: list[dict[str, Any]] = []
    for similarity in SIMILARITIES:
        report = compare_starts(
            "zoo:base",
            reference(style, similarity),
            own[:40],
            own[40:],
            out=work / style,
            trainer=trainer,
            resume=True,
            name=f"from-{similarity}",
        )
        told = {name: getattr(report, name) for name in ("steps_base", "steps_selected", "met_at_start")}
        rows.append({"style": style, "similarity": similarity, **told, "target_loss": round(report.target_loss, 3)})
        say(json.dumps(rows[-1]))
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--styles", nargs="+", default=FRIENDLY, choices=SHIPPED)
    parser.add_argument("--work", type=Path, default=Path("out/known_phrases"))
    options = parser.parse_args()
    result = {
        "losses": [row for style in options.styles for row in losses(style)],
        "starts": [row for style in options.styles for row in starts(style, options.work)],
    }
    write_text(HERE / "result.json", json.dumps(result, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
