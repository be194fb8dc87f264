"""``xpert merge``: a selection in, one start model out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xpert.cli.options import CatalogOption
from xpert.cli.output import Outcome, table, top_words, words_json
from xpert.errors import SettingsError
from xpert.report.plans import why_one, why_several

if TYPE_CHECKING:
    from rich.console import RenderableType

    from xpert.types import MergePlan

__all__ = ["merge"]


def merge(
    *,
    catalog: CatalogOption,
    selection: Annotated[Path, typer.Option(metavar="FILE", help="What xpert select --json has printed.")],
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="The folder of the result: new, empty, or an earlier merge's.")
    ],
    max_models: Annotated[int, typer.Option(min=1, help="How many models may be merged at most.")] = 3,
    method: Annotated[str, typer.Option(metavar="NAME", help="linear (exact), ties or dare.")] = "linear",
    rank: Annotated[
        int | None, typer.Option(min=1, help="linear: compress a merged adapter to this rank; the error is told.")
    ] = None,
    density: Annotated[
        float | None, typer.Option(help="ties, dare: share of each change that is kept (0.2, 0.5).")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="dare: draws what is dropped (0).")] = None,
    enter: Annotated[
        str | None, typer.Option(metavar="NAME", help="Enter the result into the catalog under this name, unprobed.")
    ] = None,
) -> Outcome:
    """Merge the models that come nearest to the user together, each with its weight, into one start model."""
    from xpert.catalog import Catalog
    from xpert.merged_entry import with_merged
    from xpert.merger import Merger
    from xpert.mergers.choose import merge_method
    from xpert.selection_io import load_selection

    chosen = load_selection(selection)
    opened, how = Catalog.from_pretrained(catalog), merge_method(method, rank=rank, density=density, seed=seed)
    merger = Merger(opened, how, max_models=max_models)
    plan = merger.plan(chosen)
    if enter is not None and enter in opened:
        raise SettingsError(f"--enter: the catalog has a model {enter!r} already: give another name")
    folder = merger.merge(plan, out)
    if enter is not None:
        with_merged(opened, plan, folder, enter).save_pretrained(catalog)
    document = {
        "weights": dict(plan.weights),
        "distance_before": plan.distance_before,
        "distance_after": plan.distance_after,
        "gains": list(plan.gains),
        "needed": list(plan.needed),
        "considered": plan.considered,
        "brings": {name: words_json(changes) for name, changes in plan.brings.items()},
        "words": words_json(plan.words),
        "out": str(folder),
        "method": method,
        "entered": enter,
    }
    return Outcome(document=document, view=lambda: _view(plan, max_models, folder, enter))


def _view(plan: MergePlan, max_models: int, folder: Path, enter: str | None) -> list[RenderableType]:
    rows = [
        (name, f"{weight:.3f}", *([top_words(plan.brings[name])] if plan.brings else []))
        for name, weight in plan.weights.items()
    ]
    return [
        table(["model", "#weight", *(["brings the sum"] if plan.brings else [])], rows),
        f"Distance from your text: {plan.distance_before:.3f} of its length with the best single model, "
        f"{plan.distance_after:.3f} {'merged' if plan.helps else 'with its weight'}. In words: {top_words(plan.words)}.",
        *(why_several(plan) if plan.helps else [why_one(plan, max_models)]),
        f"The start model is in {folder}." + (f" The catalog has it as {enter}." if enter is not None else ""),
    ]
