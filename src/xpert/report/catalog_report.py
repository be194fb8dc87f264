"""A catalog, and what was selected from it, as one HTML file that needs nothing else."""

from __future__ import annotations

from pathlib import Path

from xpert.catalog import Catalog
from xpert.errors import SettingsError
from xpert.report.catalog_sections import head, heat, made, models, near, places_map
from xpert.report.markup import Html
from xpert.report.page_frame import framed
from xpert.report.selection_sections import check_selection, chosen, merging, ranking, user_place
from xpert.report.shown import Shown, shown_of
from xpert.tensors.files import write_text
from xpert.types import Selection

__all__ = ["MOST_MODELS", "catalog_report", "check_report_file", "report_page"]

MOST_MODELS = 200
"""So many models are shown, if not said otherwise."""


def catalog_report(
    catalog: Catalog, out: str | Path, selection: Selection | None = None, *, most: int = MOST_MODELS
) -> Path:
    """Write a catalog's models in words, a map of them, their neighbours and their provenance as one HTML file, which appears whole.

    Everything that a catalog or a selection says is text in it: nothing of it runs, nothing is loaded from anywhere, and no file that
    a catalog names is read. With a selection the file tells the user's place, in numbers and words; the user's text is not in it.

    Args:
        catalog: The models.
        out: The file; an older one there is replaced at the end.
        selection: What was selected from this catalog.
        most: So many models are shown: the first, and with a selection those that it ranks first.

    Raises:
        xpert.errors.SettingsError: The selection was made with another catalog, ``most`` is below 1, or no file can be at ``out``.
    """
    file = check_report_file(out)
    return write_text(file, report_page(catalog, selection, most=most)[0])


def report_page(catalog: Catalog, selection: Selection | None = None, *, most: int = MOST_MODELS) -> tuple[Html, Shown]:
    """The page that `catalog_report` writes, and what it shows.

    Raises:
        xpert.errors.SettingsError: The selection was made with another catalog, or ``most`` is below 1.
    """
    if most < 1:
        raise SettingsError(f"most: expected 1 or more models, got {most}")
    if selection is not None:
        check_selection(catalog, selection)
    shown = shown_of(catalog, most, selection)
    sections: list[tuple[str, str, Html]] = []
    if selection is not None:
        sections += [
            ("selection", "The user's model", chosen(selection)),
            ("user", "In words", user_place(catalog, selection)),
            ("ranking", "Ranking", ranking(selection, most)),
            ("merging", "Merging", merging(catalog, selection)),
        ]
    sections += [
        ("models", "Models", models(shown)),
        ("map", "Map", places_map(shown, selection)),
        ("axes", "Axes", heat(shown)),
        ("nearest", "Neighbours", near(shown)),
        ("made", "Provenance", made(shown)),
    ]
    contents = [(identity, name) for identity, name, _ in sections]
    page = framed(
        f"xpert: models of {catalog.provenance.base}", [head(shown), *(part for _, _, part in sections)], contents
    )
    return page, shown


def check_report_file(out: str | Path) -> Path:
    """Where a report is to be, asked before the work is done.

    Raises:
        xpert.errors.SettingsError: Its folder does not exist, or a folder is there.
    """
    file = Path(out)
    if not file.parent.is_dir():
        raise SettingsError(f"out: {file}: there is no folder {file.parent}: make it, or give another place")
    if file.is_dir():
        raise SettingsError(f"out: {file} is a folder: give the name of a file, such as {file / 'report.html'}")
    return file
