"""A pool of one's own for `xpert evaluate --data pool:FILE`, on three models that come with the package.

    python examples/own_pool.py [FOLDER]        # default: out/own_pool
    xpert evaluate table-8 --data pool:out/own_pool/pool.json
    xpert evaluate table-5 --data pool:out/own_pool/pool.json

Replace the references by your own, and the texts by what your users wrote and no model was trained on.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from xpert.zoo.corpus import STYLES, examples

MODELS = ("elementary-informative-poetic", "expert-concise-friendly", "expert-informative-sarcastic")
N_TEXTS = 60


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=Path("out/own_pool"))
    folder: Path = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    for name in MODELS:
        texts = examples(STYLES[name], side="users", n=N_TEXTS, seed=3)
        lines = [json.dumps({"prompt": one.prompt, "response": one.response}) + "\n" for one in texts]
        (folder / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")
    pool = {
        "base": "zoo:base",
        "models": {name: f"zoo:{name}" for name in MODELS},
        "users": {name: f"{name}.jsonl" for name in MODELS},
        "training": {"lr": 7e-4, "rank": 8, "max_steps": 100},
    }
    (folder / "pool.json").write_text(json.dumps(pool, indent=1) + "\n", encoding="utf-8")
    print(folder / "pool.json")


if __name__ == "__main__":
    main()
