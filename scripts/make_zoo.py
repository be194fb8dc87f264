"""Make the zoo, step by step; each command resumes where it was interrupted.

    python scripts/make_zoo.py tokenizer
    python scripts/make_zoo.py base [--like llama|qwen2|smollm]
    python scripts/make_zoo.py summarizer [--size small|medium|large]
    python scripts/make_zoo.py pool [--similarity 100] [--per-style 1] [--styles NAME ...]

Without ``--out`` the shipped weights are written (``src/xpert/zoo/weights``); pools at other similarities and with several models
a style, summarizers of other sizes, and bases like others go to ``out/zoo``. Checkpoints lie in ``out/zoo/work``.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch

from xpert.zoo import WEIGHTS
from xpert.zoo.making.base import BASES, BaseSettings, make_base
from xpert.zoo.making.summarizer import SIZES, SummarizerSettings, make_summarizer
from xpert.zoo.making.tokenizer import make_tokenizer

OUT = Path("out/zoo")


def load_tokenizer() -> object:
    from transformers import AutoTokenizer

    own = OUT / "tokenizer"
    return AutoTokenizer.from_pretrained(own if own.is_dir() else WEIGHTS / "base")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=["tokenizer", "base", "summarizer", "pool"])
    parser.add_argument("--out", type=Path, help="folder of the result")
    parser.add_argument("--like", choices=list(BASES), default="llama", help="whose architecture the base has")
    parser.add_argument("--size", choices=list(SIZES), default="medium")
    parser.add_argument(
        "--similarity", type=int, default=100, help="share of styled text in a model's training set, in percent"
    )
    parser.add_argument("--per-style", type=int, default=1, help="models a style, each trained on other questions")
    parser.add_argument(
        "--shard", type=int, nargs=2, default=(0, 1), metavar=("I", "N"), help="train every N-th model from I on"
    )
    parser.add_argument("--styles", nargs="+", metavar="NAME", help="only the models of these styles")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.step == "tokenizer":
        make_tokenizer(args.out or OUT / "tokenizer")
    elif args.step == "base":
        mark = "" if args.like == "llama" else f"-{args.like}"
        shipped = OUT / f"base{mark}" if mark else WEIGHTS / "base"
        settings = BaseSettings(shape=BASES[args.like])
        print(json.dumps(make_base(load_tokenizer(), args.out or shipped, OUT / f"work/base{mark}", settings)))
    elif args.step == "summarizer":
        shipped = WEIGHTS / "summarizer" if args.size == "medium" else OUT / f"summarizer-{args.size}"
        settings = SummarizerSettings(size=args.size)
        work = OUT / f"work/summarizer-{args.size}"
        print(json.dumps(make_summarizer(load_tokenizer(), args.out or shipped, work, settings)))
    else:
        from xpert.zoo.making.pools import PoolSettings, make_pool

        shipped = (
            WEIGHTS
            if (args.similarity, args.per_style) == (100, 1)
            else OUT / f"pool-{args.similarity}-{args.per_style}"
        )
        settings = PoolSettings(similarity=args.similarity / 100, per_style=args.per_style)
        print(
            json.dumps(
                make_pool("zoo:base", args.out or shipped, settings, shard=tuple(args.shard), styles=args.styles)
            )
        )


if __name__ == "__main__":
    main()
