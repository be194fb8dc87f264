"""Are merged models where the weighted sum of their members' coordinates says? Zoo models are merged, probed and compared.

    python benchmarks/merging_starts/places.py [--merges 12] [--work out/merging_starts]

Uses the catalog that ``run.py`` keeps in the work folder, or makes it. Writes ``places.json`` beside this file.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from run import open_catalog

from xpert.evaluation.experiments.merged_places import MergedPlace, draw_merges, merged_places, merged_places_table
from xpert.progress import say
from xpert.tensors.files import write_text

HERE = Path(__file__).resolve().parent


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--merges", type=int, default=12)
    parser.add_argument("--work", type=Path, default=Path("out/merging_starts"))
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    catalog = open_catalog(options.work / "catalog")
    rows: list[MergedPlace] = []
    for weights in draw_merges(catalog.names, options.merges, 0):
        out = options.work / "merged"
        rows += merged_places(catalog, "zoo:summarizer", "zoo:base", [weights], out=out)
        say(f"{weights}: {rows[-1].within:.0%} of the axes within two standard errors")
    print(merged_places_table(rows))
    write_text(HERE / "places.json", json.dumps([row.to_dict() for row in rows], indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
