"""Tune a prompt for an LLM summarizer, so that `prompt-tuned` sub-vectors work with it; minutes for a small one.

    python scripts/tune_prompt.py                                   # zoo:summarizer; the file goes into its folder
    python scripts/tune_prompt.py --summarizer hf:FOLDER --base REF --words FILE

Base and summarizer write texts for every word (kept in ``--data``, so that a second run starts from them); some words are held out, and
their error is told at the end.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

import torch

from xpert import load_summarizer
from xpert.evaluation.prompt_tuning import (
    ContrastiveData,
    contrastive_data,
    digest_of,
    held_out_words,
    noise_floor,
    score,
    tuned_on,
)
from xpert.subvectors.prompt_tuned import PROMPT_FILE
from xpert.subvectors.prompt_tuning import TuningSettings, predicted
from xpert.zoo.corpus import PROPERTIES


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--summarizer", default="zoo:summarizer", metavar="REF")
    parser.add_argument("--name", help="the summarizer's name in the file; default: its reference")
    parser.add_argument("--base", default="zoo:base", metavar="REF", help="answers the prompts in no style")
    parser.add_argument("--words", type=Path, metavar="FILE", help="synonyms a line; default: the zoo's adjectives")
    parser.add_argument("--n-prompts", type=int, default=48, help="texts a word")
    parser.add_argument("--n-samples", type=int, default=200)
    parser.add_argument("--n-tokens", type=int, default=25)
    parser.add_argument("--steps", type=int, default=TuningSettings().steps)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data", type=Path, default=Path("out/prompt_tuning/texts.safetensors"))
    parser.add_argument("--out", type=Path, help=f"default: {PROMPT_FILE} in the summarizer's folder")
    args = parser.parse_args()
    torch.set_num_threads(1)
    families = PROPERTIES if args.words is None else families_of(args.words)
    held_out = held_out_words(families, seed=args.seed)
    summarizer = load_summarizer(args.summarizer, **({"name": args.name} if args.name else {}))
    data = texts(summarizer, args.base, families, args)
    settings = TuningSettings(n_tokens=args.n_tokens, steps=args.steps, seed=args.seed)
    tuned = tuned_on(summarizer, data, held_out, n_samples=args.n_samples, settings=settings)
    space = summarizer.prompt_space()
    figures = score(predicted(space, tuned, held_out) - data.null, data, held_out, families)
    out = tuned.save(args.out or space.folder / PROMPT_FILE)
    floor = noise_floor(data, held_out)
    print(json.dumps({"out": str(out), **asdict(tuned.training), **figures, "halves_of_texts": floor}, indent=2))


def families_of(file: Path) -> dict[str, tuple[str, ...]]:
    """Words that mean the same stand on one line; the first one names the line."""
    lines = [tuple(line.split()) for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    return {words[0]: words for words in lines}


def texts(
    summarizer: object, base: str, families: dict[str, tuple[str, ...]], args: argparse.Namespace
) -> ContrastiveData:
    """The texts of a run before, if they are this summarizer's and of these words; else they are written."""
    words = tuple(word for family in families.values() for word in family)
    if args.data.is_file():
        data = ContrastiveData.load(args.data)
        if (data.summarizer, data.words, data.rows.shape[1]) == (digest_of(summarizer), words, args.n_prompts):
            return data
    args.data.parent.mkdir(parents=True, exist_ok=True)
    data = contrastive_data(summarizer, base, words, n_prompts=args.n_prompts, seed=args.seed)
    data.save(args.data)
    return data


if __name__ == "__main__":
    main()
