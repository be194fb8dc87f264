"""One summarizer reads the same questions in a process of its own, so that its peak of memory is its own: ``python -m``, one JSON line out.

What a summarizer imports and what matrix products lay out at their first use is there before: the zoo's reads a question first, in the
same way.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from xpert.streaming.report import Report, resident_bytes
from xpert.summarizers import load_summarizer
from xpert.types import AnswerPair, Array
from xpert.weights import weight_files

__all__ = ["main", "read"]


def read(way: str, reference: str, pairs: list[AnswerPair]) -> tuple[Array, dict[str, Any]]:
    """Embeddings ``(P, D)`` and what they took, loading included.

    Args:
        way: ``hf``, read whole and held, or ``streamed``.
        reference: The model.
        pairs: ``P`` pairs.
    """
    told = Report(before=resident_bytes())
    begun = time.perf_counter()
    with told.watching():
        summarizer: Any = load_summarizer(f"{way}:{reference}", device="cpu", dtype="float32")
        found = summarizer.summarize(pairs).embeddings
    seconds = time.perf_counter() - begun
    own = getattr(summarizer, "report", None)
    summarizer.close()
    return found, {
        "seconds": seconds,
        "peak_bytes": told.peak_bytes,
        "promised_bytes": None if own is None else own.promised_bytes,
        "waited_s": None if own is None else own.waited_s,
        "bytes_read": own.bytes_read if own else None,
    }


def main() -> None:
    """Read, write the embeddings beside, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("way", choices=("hf", "streamed"))
    parser.add_argument("model", type=Path)
    parser.add_argument("pairs", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    pairs = [AnswerPair(**one) for one in json.loads(options.pairs.read_text(encoding="utf-8"))]
    read(options.way, "zoo:summarizer", pairs[:1])
    found, told = read(options.way, str(options.model), pairs)
    np.save(options.out, found, allow_pickle=False)
    if told["bytes_read"] is None:
        told["bytes_read"] = sum((options.model / file).stat().st_size for file in weight_files(options.model))
    print(json.dumps(told))


if __name__ == "__main__":
    main()
