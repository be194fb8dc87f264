"""``xpert merge``: a selection in, one start model out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from xpert.cli.options import CatalogOption
from xpert.cli.output import Outcome, table, top_words, words_json

__all__ = ["merge"]


def merge(
    catalog: CatalogOption,
    selection: Annotated[Path, typer.Option(metavar="FILE", help="What xpert select --json has printed.")],
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="The folder of the result: new, empty, or an earlier merge's.")
    ],
    max_models: Annotated[int, typer.Option(min=1, help="How many models may be merged at most.")] = 3,
) -> Outcome:
    """Merge the models that come nearest to the user together, each with its weight, into one start model."""
    from xpert.catalog import Catalog
    from xpert.merger import Merger
    from xpert.selection_io import load_selection

    chosen = load_selection(selection)
    merger = Merger(Catalog.from_pretrained(catalog), max_models=max_models)
    plan = merger.plan(chosen)
    folder = merger.merge(plan, out)
    document = {
        "weights": dict(plan.weights),
        "distance_before": plan.distance_before,
        "distance_after": plan.distance_after,
        "words": words_json(plan.words),
        "out": str(folder),
    }
    rows = [(name, f"{weight:.3f}") for name, weight in plan.weights.items()]
    return Outcome(
        document=document,
        view=lambda: [
            table(["model", "#weight"], rows),
            f"Distance from your text: {plan.distance_before:.3f} of its length with the best single model, "
            f"{plan.distance_after:.3f} merged. In words: {top_words(plan.words)}.",
            f"The start model is in {folder}.",
        ],
    )
