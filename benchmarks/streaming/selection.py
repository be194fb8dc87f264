"""Whether a streamed summarizer, and an int8 one, select what the resident one selects; prints JSON.

    python benchmarks/streaming/selection.py zoo                      # 28 models, one user of each style
    python benchmarks/streaming/selection.py 1b CHECKPOINTS/1b-f32    # three models and a user by `xpert select`, all of its JSON

Writes into ``out/streaming`` and ``selection.json`` beside this file.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from xpert.evaluation.demo import base_answers
from xpert.evaluation.demo_users import zoo_users
from xpert.explainer import Explainer
from xpert.selector import Selector
from xpert.streaming.quantize import quantize
from xpert.summarizers.hf import HFSummarizer
from xpert.summarizers.streamed import StreamedSummarizer
from xpert.tensors.files import write_text
from xpert.types import AnswerPair
from xpert.zoo.corpus import STYLES

HERE, OUT = Path(__file__).resolve().parent, Path("out/streaming")


def zoo() -> dict[str, Any]:
    """All models of the zoo; users who have texts that no model saw; the base's answers to their prompts."""
    models = {style: f"zoo:{style}" for style in STYLES}
    catalog = Explainer("zoo:base", "zoo:summarizer", cache=OUT / "cache").explain(models)
    users = zoo_users(per_style=1)
    said = base_answers(catalog, "zoo:base", [user.examples for user in users])
    quantize("zoo:summarizer", OUT / "int8")
    kinds = {
        "resident": HFSummarizer("zoo:summarizer"),
        "streamed": StreamedSummarizer("zoo:summarizer"),
        "streamed bfloat16": StreamedSummarizer("zoo:summarizer", dtype="bfloat16"),
        "streamed int8": StreamedSummarizer(OUT / "int8", dtype="bfloat16"),
    }
    chosen: dict[str, list[str]] = {}
    distances: dict[str, list[list[float]]] = {}
    rows: dict[str, Any] = {}
    read: dict[str, int] = {}
    for kind, summarizer in kinds.items():
        selector = Selector(catalog, summarizer)
        for user in users:
            selection = selector.select(user.examples, [said[example.prompt or ""] for example in user.examples])
            chosen.setdefault(kind, []).append(selection.best)
            distances.setdefault(kind, []).append([distance for _, distance in selection.ranking])
        pairs = [
            AnswerPair(prompt=str(e.prompt), base=said[str(e.prompt)], other=e.response)
            for u in users[:7]
            for e in u.examples
        ]
        before = summarizer.report.bytes_read if isinstance(summarizer, StreamedSummarizer) else 0
        rows[kind] = summarizer.summarize(pairs).embeddings
        if isinstance(summarizer, StreamedSummarizer):
            read[kind] = summarizer.report.bytes_read - before
        summarizer.close()
    return {
        "users": len(users),
        "right": {k: sum(n == u.style for n, u in zip(names, users, strict=True)) for k, names in chosen.items()},
        "same_as_resident": {
            k: sum(a == b for a, b in zip(names, chosen["resident"], strict=True)) for k, names in chosen.items()
        },
        "distances_equal": distances["streamed"] == distances["resident"],
        "int8_cosine_to_bfloat16": cosines(rows["streamed int8"], rows["streamed bfloat16"]),
        "int8_bytes_of_bfloat16": read["streamed int8"] / read["streamed bfloat16"],
    }


def cosines(a: Any, b: Any) -> Mapping[str, float]:
    """Least, median and the mean rows' cosine of rows ``(P, D)``."""
    each = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    mean = float(a.mean(0) @ b.mean(0) / np.linalg.norm(a.mean(0)) / np.linalg.norm(b.mean(0)))
    return {"least": float(each.min()), "median": float(np.median(each)), "of_means": mean}


def one_b(folder: str) -> dict[str, Any]:
    """A catalog explained by the resident model; then the command, resident and streamed."""
    names = list(STYLES)[:3]
    catalog = OUT / "catalog-1b"
    if not (catalog / "catalog.json").is_file():
        shutil.rmtree(catalog, ignore_errors=True)
        explainer = Explainer("zoo:base", f"hf:{folder}", n_prompts=6, subvectors="unembedded", cache=OUT / "cache")
        explainer.explain({name: f"zoo:{name}" for name in names}).save_pretrained(catalog)
    me = OUT / "me.jsonl"
    user = next(user for user in zoo_users(per_style=1, n_texts=6) if user.style == names[0])
    write_text(me, "".join(json.dumps({"prompt": e.prompt, "response": e.response}) + "\n" for e in user.examples))
    told = {kind: selected(catalog, me, f"{kind}:{folder}") for kind in ("hf", "streamed")}
    return {"same": told["hf"] == told["streamed"], "best": told["hf"]["best"], "texts": len(user.examples)}


def selected(catalog: Path, me: Path, summarizer: str) -> Any:
    command = [sys.executable, "-m", "xpert", "select", "--catalog", str(catalog), "--data", str(me), "--json"]
    done = subprocess.run([*command, "--summarizer", summarizer], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def main() -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    found = zoo() if sys.argv[1] == "zoo" else one_b(sys.argv[2])
    file = HERE / "selection.json"
    kept = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    write_text(file, json.dumps(kept | {sys.argv[1]: found}, indent=1) + "\n")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
