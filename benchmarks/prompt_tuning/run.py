"""Table 3 with the zoo's summarizer: error of prompt-tuned sub-vectors, against trainable tokens and samples.

    python benchmarks/prompt_tuning/run.py [--work out/prompt_tuning] [--tokens 10 25 50] [--samples 50 100 200 300 400]

The summarizer writes 48 texts for each of the zoo's 158 adjectives (kept in the work folder); 26 of them, two a property, drawn by the
seed, are held out. Cells lie in the work folder as they are measured; a second run goes on after the last one. Writes ``result.json``
beside this file when every cell is there.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from xpert import load_summarizer
from xpert.evaluation.prompt_tuning import (
    SAMPLES,
    TOKENS,
    ContrastiveData,
    contrastive_data,
    digest_of,
    held_out_words,
    noise_floor,
    table,
)
from xpert.progress import say
from xpert.subvectors.prompt_tuning import TuningSettings
from xpert.tensors.files import write_text
from xpert.zoo.corpus import PROPERTIES

HERE = Path(__file__).resolve().parent
PAPER = {
    10: (0.25, 0.12, 0.07, 0.07, 0.08),
    25: (0.19, 0.09, 0.06, 0.05, 0.06),
    50: (0.29, 0.15, 0.07, 0.07, 0.05),
}
"""Table 3 of the paper, for 50, 100, 200, 300, 400 samples: Llama-3.1-8B-Instruct."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("out/prompt_tuning"))
    parser.add_argument(
        "--summarizer", default="zoo:summarizer", metavar="REF", help="the zoo's, or other weights of it"
    )
    parser.add_argument("--tokens", type=int, nargs="+", default=list(TOKENS))
    parser.add_argument("--samples", type=int, nargs="+", default=list(SAMPLES))
    parser.add_argument("--steps", type=int, default=TuningSettings().steps)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.work.mkdir(parents=True, exist_ok=True)
    summarizer = load_summarizer(options.summarizer, name="zoo:summarizer")
    words = [word for family in PROPERTIES.values() for word in family]
    file = options.work / f"texts-{digest_of(summarizer)[:12]}.safetensors"
    if not file.is_file():
        contrastive_data(summarizer, "zoo:base", words).save(file)
    data = ContrastiveData.load(file)
    held_out = held_out_words(PROPERTIES, seed=options.seed)
    settings = TuningSettings(steps=options.steps, seed=options.seed)
    rows: list[dict[str, Any]] = []
    for n_tokens in options.tokens:
        for n_samples in options.samples:
            key = f"{data.summarizer[:12]}-{n_tokens}-{n_samples}-{options.steps}-{options.seed}"
            cell = options.work / f"cell-{key}.json"
            if not cell.is_file():
                row = next(
                    table(
                        summarizer,
                        data,
                        held_out,
                        PROPERTIES,
                        tokens=[n_tokens],
                        samples=[n_samples],
                        settings=settings,
                    )
                )
                write_text(cell, json.dumps(asdict(row)))
            rows.append(json.loads(cell.read_text(encoding="utf-8")))
            say(json.dumps(rows[-1]))
    result = {
        "spec": {
            "summarizer": "zoo:summarizer",
            "weights": data.summarizer,
            "texts_a_word": data.rows.shape[1],
            "pairs_a_sample": 24,
            "held_out": held_out,
            "settings": {k: v for k, v in asdict(settings).items() if k != "n_tokens"},
        },
        "halves_of_texts": noise_floor(data, held_out),
        "rows": rows,
        "paper": {str(tokens): errors for tokens, errors in PAPER.items()},
        "versions": {name: version(name) for name in ("numpy", "torch", "transformers")},
        "machine": {"processor": platform.machine(), "threads": 1},
    }
    if (options.tokens, options.samples) == (list(TOKENS), list(SAMPLES)):
        write_text(HERE / "result.json", json.dumps(result, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
