"""Learn what ``encoder:minilm`` says of style from the zoo's corpus and the texts written by hand; a minute on one core.

    python scripts/make_exemplars.py [--out FILE] [--report]

``--report`` also tells how often the words are right on texts that were left out: single properties (a quarter of the questions at a time),
combinations (a question at a time), and users' texts of the composed corpus.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from xpert import EncoderSummarizer
from xpert.measured import measure
from xpert.summarizers.exemplars import SHIPPED, Exemplars
from xpert.types import AnswerPair
from xpert.zoo.corpus import DEFAULT, STYLES, examples
from xpert.zoo.corpus.written import WrittenQuestion, written_questions
from xpert.zoo.making.exemplars import Rows, composed_rows, fit_exemplars, written_rows

HERE = Path(__file__).resolve().parents[1] / "src" / "xpert" / "summarizers"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=HERE / SHIPPED)
    parser.add_argument("--report", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    encoder = EncoderSummarizer("minilm", exemplars=False)
    composed = composed_rows(encoder)
    if args.report:
        print(json.dumps(report(encoder, composed), indent=2))
    learnt = fit_exemplars(composed.and_(written_rows(encoder)), encoder.weights_digest)
    print(learnt.save(args.out))


def named(
    encoder: EncoderSummarizer, learnt: Exemplars, pairs: Sequence[AnswerPair], properties: Sequence[str]
) -> float:
    """Share of the properties among the first three words."""
    hidden = encoder.summarize(pairs).embeddings.mean(axis=0, dtype=np.float64)
    said = learnt.rank(hidden, measure(pairs).mean(axis=0, dtype=np.float64))[:3]
    return float(np.mean([p in [candidate.word for candidate in said] for p in properties]))


def report(encoder: EncoderSummarizer, composed: Rows) -> dict[str, float]:
    """Shares of properties that are named by what was learnt without the texts that are judged."""
    every = written_questions()

    def without(left_out: Sequence[WrittenQuestion]) -> Exemplars:
        kept = [question for question in every if question not in left_out]
        return fit_exemplars(composed.and_(written_rows(encoder, kept)), encoder.weights_digest)

    single = [question for question in every if "expert" in question.styles]
    combined = [question for question in every if question not in single]
    alone: list[float] = []
    for part in range(4):
        left_out = single[part::4]
        learnt = without(left_out)
        alone += [named(encoder, learnt, [q.pair(p) for q in left_out], [p]) for p in left_out[0].styles]
    together = [
        named(encoder, without([question]), [question.pair(style)], style.split("-"))
        for question in combined
        for style in question.styles
    ]
    learnt, plain = without([]), examples(DEFAULT, side="users", n=20, seed=2)
    users: list[float] = []
    for name, style in STYLES.items():
        drawn = examples(style, side="users", n=20, seed=2)
        pairs = [AnswerPair(prompt="", base=a.response, other=b.response) for a, b in zip(plain, drawn, strict=True)]
        users.append(named(encoder, learnt, pairs, name.split("-")))
    return {
        "single properties": round(float(np.mean(alone)), 3),
        "combinations": round(float(np.mean(together)), 3),
        "users of the composed corpus": round(float(np.mean(users)), 3),
    }


if __name__ == "__main__":
    main()
