"""The aspect ``domain`` by an encoder: which words of the shipped list it gives to ten genres of real text.

    XPERT_REAL_TEXT=DATA python benchmarks/words/genres.py [--n 40]

Each pair is a passage of the genre beside one of another genre, drawn with a seed. Prints the first words a genre; nothing is
scored, as no list of accepted words was written down before.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
from pathlib import Path

from xpert import AnswerPair, EncoderSummarizer, load_examples
from xpert.progress import say


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=40, help="pairs a genre")
    options = parser.parse_args()
    folder = Path(os.environ.get("XPERT_REAL_TEXT") or "nowhere") / "genres"
    if not folder.is_dir():
        say("skipped: XPERT_REAL_TEXT names no folder with genres in it")
        return 0
    texts = {
        file.stem: [example.response for example in load_examples(file)] for file in sorted(folder.glob("*.jsonl"))
    }
    encoder = EncoderSummarizer("minilm", instruction="domain")
    for genre, passages in texts.items():
        rng = random.Random(f"genres/{genre}")
        others = [text for name, listed in texts.items() if name != genre for text in listed[: options.n]]
        pairs = [AnswerPair(prompt="", base=rng.choice(others), other=text) for text in passages[: options.n]]
        found = encoder.summarize(pairs, n_candidates=5).candidates
        print(f"{genre}: {', '.join(f'{c.word} {c.score:.2f}' for c in found)}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
