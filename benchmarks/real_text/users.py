"""The users' side: who they are, what the base answers them, and which model is selected for each.

    python users.py answers DATA --base REF --out FILE --max-new-tokens N --temperature T
    python users.py select DATA --catalog CATALOG --base-answers FILE --out FILE

Each prints one JSON document. A user is 50 of a style's lines 501-1000: twenty a style, two shuffles of the lines cut in ten.
"""

from __future__ import annotations

import argparse
import json
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from start import HELD_OUT_FROM

from xpert import Catalog, Selector, Summarizer
from xpert.embedding import open_summarizer
from xpert.examples import load_examples
from xpert.modalities.text import TextModality
from xpert.tensors.files import write_text
from xpert.types import AnswerPair, Example, Generation, Summary

N_LINES = 50
SHUFFLES = 2
AXES = ("all", "named", "named+measured")


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A user: the style of all their texts, and which lines of the file those are."""

    style: str
    lines: tuple[int, ...]


class Remembering:
    """A summarizer that was asked everything at once: users share lines, and a row depends on its pair alone."""

    def __init__(self, summarizer: Summarizer, pairs: Sequence[AnswerPair]) -> None:
        known = list(dict.fromkeys(pairs))
        self._rows = dict(zip(known, summarizer.summarize(known).embeddings, strict=True))
        self.name, self.instruction, self.width = summarizer.name, summarizer.instruction, summarizer.width
        self.defaults = summarizer.defaults

    def summarize(self, pairs: Sequence[AnswerPair], *, n_candidates: int = 0) -> Summary:
        """The remembered rows; words are not asked of it."""
        return Summary(embeddings=np.stack([self._rows[pair] for pair in pairs]))

    def close(self) -> None:
        """There is nothing left to close."""


def styles(data: Path) -> list[str]:
    """The styles there are files of, the default apart."""
    return [file.stem for file in sorted(data.glob("*.jsonl")) if file.stem != "default"]


def draw_users(names: Sequence[str], n_lines: int, *, seed: int = 0) -> Iterator[User]:
    """Every user, style by style; within a shuffle no line serves two of them."""
    for style in names:
        for shuffle in range(SHUFFLES):
            order = list(range(HELD_OUT_FROM, n_lines))
            random.Random(f"{seed}/{style}/{shuffle}").shuffle(order)
            for first in range(0, len(order) - N_LINES + 1, N_LINES):
                yield User(style=style, lines=tuple(order[first : first + N_LINES]))


def answer(data: Path, base: str, out: Path, generation: Generation) -> dict[str, Any]:
    """Let the base answer the users' prompts, one line each, as ``xpert select --base`` does."""
    prompts = [example.prompt or "" for example in load_examples(data / "default.jsonl")[HELD_OUT_FROM:]]
    with TextModality().open(base) as prober:
        answers = prober.answer(None, prompts, generation)
    rows = [json.dumps({"prompt": p, "response": a}) for p, a in zip(prompts, answers, strict=True)]
    write_text(out, "\n".join(rows) + "\n")
    return {"answers": len(rows), "mean_words": round(sum(len(a.split()) for a in answers) / len(answers), 1)}


def select(data: Path, catalog: Catalog, own_answers: Sequence[Example]) -> dict[str, Any]:
    """Select for all users, by each choice of axes, with recorded and with the base model's own answers."""
    texts = {style: load_examples(data / f"{style}.jsonl") for style in styles(data)}
    recorded = load_examples(data / "default.jsonl")
    users = list(draw_users(list(texts), len(recorded)))
    bases = {"recorded": recorded, "generated": [*recorded[:HELD_OUT_FROM], *own_answers]}
    pairs = [
        AnswerPair(prompt=text.prompt or "", base=base[line].response, other=text.response)
        for base in bases.values()
        for own in texts.values()
        for line, text in enumerate(own)
        if line >= HELD_OUT_FROM
    ]
    with open_summarizer(catalog.provenance.summarizer) as opened:
        summarizer = Remembering(opened, pairs)
    figures: dict[str, Any] = {"users": len(users)}
    for name, base in bases.items():
        figures[name] = {axes: _accuracy(catalog, summarizer, users, texts, base, axes) for axes in AXES}
    return figures


def _accuracy(
    catalog: Catalog,
    summarizer: Summarizer,
    users: Sequence[User],
    texts: dict[str, list[Example]],
    base: Sequence[Example],
    axes: Any,
) -> dict[str, Any]:
    """Share of users whose own style is selected; for whom another was, which; how many were called a match."""
    selector = Selector(catalog, summarizer=summarizer, axes=axes)
    right, matched, wrong = 0, 0, Counter[str]()
    for user in users:
        own = [texts[user.style][line] for line in user.lines]
        selection = selector.select(own, [base[line] for line in user.lines])
        right += selection.best == user.style
        matched += selection.matched
        if selection.best != user.style:
            wrong[f"{user.style} -> {selection.best}"] += 1
    return {
        "accuracy": round(right / len(users), 4),
        "matched": round(matched / len(users), 4),
        "mistakes": dict(wrong.most_common()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    steps = parser.add_subparsers(dest="step", required=True)
    asked = steps.add_parser("answers")
    asked.add_argument("--base", required=True)
    asked.add_argument("--max-new-tokens", type=int, required=True)
    asked.add_argument("--temperature", type=float, required=True)
    chosen = steps.add_parser("select")
    chosen.add_argument("--catalog", required=True)
    chosen.add_argument("--base-answers", type=Path, required=True)
    for step in (asked, chosen):
        step.add_argument("data", type=Path)
        step.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    if given.step == "answers":
        generation = Generation(max_new_tokens=given.max_new_tokens, temperature=given.temperature, batch_size=64)
        figures = answer(given.data, given.base, given.out, generation)
    else:
        figures = select(given.data, Catalog.from_pretrained(given.catalog), load_examples(given.base_answers))
        write_text(given.out, json.dumps(figures, indent=1) + "\n")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
