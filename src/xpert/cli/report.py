"""``xpert report``: a catalog, and what was selected from it, as one HTML file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xpert.cli.output import Outcome

if TYPE_CHECKING:
    from xpert.report.shown import Shown

__all__ = ["report"]


def report(
    catalog: Annotated[str, typer.Argument(metavar="CATALOG", help="The catalog: its folder, or its id on the Hub.")],
    *,
    out: Annotated[Path, typer.Option(metavar="FILE.html", help="The file; an older one is replaced.")],
    selection: Annotated[
        Path | None, typer.Option(metavar="FILE", help="What xpert select --json has printed.", show_default="none")
    ] = None,
    top: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="How many models are shown: the first, or those that the selection ranks first.",
            show_default="200",
        ),
    ] = None,
) -> Outcome:
    """Write what a catalog's models are in words and where they lie, and with a selection why which was chosen, for a browser.

    The file needs no network. With a selection it has the user's place in numbers and words, never the user's text.
    """
    from xpert.catalog import Catalog
    from xpert.report.catalog_report import MOST_MODELS, check_report_file, report_page
    from xpert.selection_io import load_selection
    from xpert.tensors.files import write_text

    file = check_report_file(out)
    chosen = None if selection is None else load_selection(selection)
    page, shown = report_page(Catalog.from_pretrained(catalog), chosen, most=top or MOST_MODELS)
    write_text(file, page)
    document: dict[str, Any] = {
        "out": str(file),
        "bytes": file.stat().st_size,
        "models": len(shown.catalog),
        "shown": len(shown.rows),
        "too_near": [[shown.names[one.row], shown.names[one.other]] for one in shown.too_near],
        "best": None if chosen is None else chosen.best,
    }
    return Outcome(document=document, view=lambda: [_told(document, shown)])


def _told(document: dict[str, Any], shown: Shown) -> str:
    part = "all" if shown.whole else f"{document['shown']:,} of"
    n = len(document["too_near"])
    near = f", {n} {'pair' if n == 1 else 'pairs'} of them too near to be told apart" if n else ""
    return f"{document['out']}: {document['bytes'] / 1000:.0f} kB, {part} {document['models']:,} models{near}. Open it in a browser."
