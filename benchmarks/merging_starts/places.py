"""Are merged models where the weighted sum of their members' coordinates says? Zoo models are merged, probed and compared.

    python benchmarks/merging_starts/places.py [--merges 12] [--pairs 0] [--work out/merging_starts]

With ``--pairs N`` the merges are of two models in equal parts instead, N each of models that share two, one and none of their three
properties. Uses the catalog that ``run.py`` keeps in the work folder, or makes it. Writes ``places.json`` or ``pairs.json`` beside this file.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from run import open_catalog

from xpert.evaluation.experiments.merged_places import (
    MergedPlace,
    draw_merges,
    draw_pairs,
    merged_places,
    merged_places_table,
)
from xpert.progress import say
from xpert.tensors.files import write_text

HERE = Path(__file__).resolve().parent


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--merges", type=int, default=12)
    parser.add_argument("--pairs", type=int, default=0)
    parser.add_argument("--work", type=Path, default=Path("out/merging_starts"))
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    catalog = open_catalog(options.work / "catalog")
    rows: list[MergedPlace] = []
    pairs = draw_pairs(catalog.names, options.pairs, 0) if options.pairs else {}
    shared = [n for n, merges in pairs.items() for _ in merges]
    merges = [one for some in pairs.values() for one in some] or draw_merges(catalog.names, options.merges, 0)
    for weights in merges:
        out = options.work / "merged"
        rows += merged_places(catalog, "zoo:summarizer", "zoo:base", [weights], out=out)
        say(f"{weights}: {rows[-1].within:.0%} of the axes within two standard errors")
    print(merged_places_table(rows, shared or None, "properties shared" if shared else "members"))
    told = [row.to_dict() | ({"shared": shared[i]} if shared else {}) for i, row in enumerate(rows)]
    write_text(HERE / ("pairs.json" if shared else "places.json"), json.dumps(told, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
