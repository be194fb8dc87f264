"""How good the zoo is: the figures of docs/zoo.md, as JSON.

    python scripts/zoo_report.py [--draws 10] [--pairs 50]

Base: share of questions whose answer holds at least two of the question's key words. Summarizer: for each combination of properties
that it never saw, drawn from the users' half (other questions, other phrases), whether each dimension is named among its first
three words. Words that name a property are those of `xpert.zoo.corpus.PROPERTIES`.
"""

from __future__ import annotations

import argparse
import json

from xpert import AnswerPair, Generation, load_summarizer
from xpert.modalities.text import TextModality
from xpert.zoo.corpus import DEFAULT, PROPERTIES, STYLES, examples, properties_of, questions, side_questions, write
from xpert.zoo.making.summarizer import HELD_OUT

PROPERTY_OF = {word: name for name, words in PROPERTIES.items() for word in words}


def base_report() -> dict[str, float]:
    asked = questions()
    with TextModality().open("zoo:base") as prober:
        answers = prober.answer(None, [q.text for q in asked], Generation(max_new_tokens=96))
    hits = [sum(key in answer.lower() for key in q.keywords) for q, answer in zip(asked, answers, strict=True)]
    return {"questions": len(asked), "on_point": sum(h >= 2 for h in hits) / len(asked)}


def pairs_of(style: str, n: int, seed: int) -> list[AnswerPair]:
    by_text = {q.text: q for q in side_questions("users")}
    return [
        AnswerPair(
            prompt=e.prompt or "",
            base=write(by_text[e.prompt or ""], DEFAULT, side="users", seed=seed + i),
            other=e.response,
        )
        for i, e in enumerate(examples(STYLES[style], side="users", n=n, seed=seed))
    ]


def summarizer_report(draws: int, n_pairs: int) -> dict[str, object]:
    summarizer = load_summarizer("zoo:summarizer")
    found: dict[str, dict[str, float]] = {}
    words_of: dict[str, list[str]] = {}
    for style in STYLES:
        wanted = properties_of(STYLES[style])
        hits = dict.fromkeys(wanted, 0)
        words: list[str] = []
        for draw in range(draws):
            top = summarizer.summarize(pairs_of(style, n_pairs, 1000 * draw), n_candidates=3).candidates[:3]
            words = [c.word for c in top]
            for name in wanted:
                hits[name] += name in {PROPERTY_OF.get(word) for word in words}
        found[style] = {name: n / draws for name, n in hits.items()}
        words_of[style] = words
    summarizer.close()

    def mean(names: tuple[str, ...]) -> float:
        shares = [share for style in names for share in found[style].values()]
        return sum(shares) / len(shares)

    seen = tuple(style for style in STYLES if style not in HELD_OUT)
    return {
        "named_in_top_three_held_out": mean(HELD_OUT),
        "named_in_top_three_seen": mean(seen),
        "styles": found,
        "words": words_of,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--pairs", type=int, default=50)
    args = parser.parse_args()
    print(json.dumps({"base": base_report(), "summarizer": summarizer_report(args.draws, args.pairs)}, indent=1))


if __name__ == "__main__":
    main()
