"""``xpert show``: a catalog, or one of its models, for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from xpert.cli.output import (
    LEFT_OUT,
    UNSURE,
    Outcome,
    catalog_json,
    explanation_json,
    explanation_table,
    figure,
    marked,
    plus_minus,
    table,
    top_words,
)
from xpert.errors import SettingsError
from xpert.figures import common_decimals, told_from_zero

if TYPE_CHECKING:
    from rich.console import RenderableType

    from xpert.catalog import Catalog

__all__ = ["show"]

_KINDS = ("word", "measured", "unnamed")


def show(
    catalog: Annotated[str, typer.Argument(metavar="CATALOG", help="The catalog: its folder, or its id on the Hub.")],
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="One of its models.", show_default="all of them")
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="List all axes of NAME, also the unnamed ones that are not told from 0.")
    ] = False,
) -> Outcome:
    """Show a catalog's models in words with numbers, or everything about one of them."""
    if every and name is None:
        raise SettingsError("--all: of which model? give its NAME after CATALOG")
    from xpert.catalog import Catalog

    opened = Catalog.from_pretrained(catalog)
    if name is None:
        return Outcome(document=catalog_json(opened), view=lambda: _all(opened))
    explanation, card = opened[name], opened.card(name)
    document = {
        "name": name,
        **explanation_json(explanation),
        "reference": card.reference,
        "kind": card.kind,
        "bytes": card.bytes,
        "licence": card.licence,
    }
    return Outcome(document=document, view=lambda: _one(opened, name, every=every))


def _all(catalog: Catalog) -> list[RenderableType]:
    header = catalog.provenance
    models = "1 model" if len(catalog) == 1 else f"{len(catalog)} models"
    return [
        f"{models} of {header.base}, explained by {header.summarizer} on {header.n_prompts} prompts.",
        explanation_table(catalog),
        "Shares are of the embedding's length: what words, then measured quantities, then unnamed directions span of it "
        "(at right angles, so it is their squares that add up to at most 100%).",
        f"{plus_minus()}: the standard error over the prompts. {LEFT_OUT}",
    ]


def _one(catalog: Catalog, name: str, *, every: bool) -> list[RenderableType]:
    from xpert.telling import kinds_told

    explanation, card = catalog[name], catalog.card(name)
    kinds = kinds_told(catalog.basis)
    axes = [(word, value, error) for (word, value), error in zip(explanation.words, explanation.stderr, strict=True)]
    listed = [axis for axis in axes if every or kinds[axis[0]] != "unnamed" or told_from_zero(axis[1], axis[2])]
    listed.sort(key=lambda axis: (_KINDS.index(kinds[axis[0]]), -abs(axis[1])))
    named = [axis for axis in axes if kinds[axis[0]] != "unnamed"]
    decimals = common_decimals(value for _, value, _ in listed)
    rows = [(marked(*axis), kinds[axis[0]], figure(axis[1], axis[2], decimals)) for axis in listed]
    facts = f"{card.kind} model {card.reference}, {card.bytes:,} bytes, licence {card.licence or 'not stated'}"
    shares = (
        f"named {explanation.named_share:.0%}, measured {explanation.measured_share:.0%}, "
        f"unnamed {explanation.unnamed_share:.0%} of the embedding's length (the squares add up to at most 100%), "
        f"residual {explanation.residual:.2f} by words"
    )
    parts: list[RenderableType] = [
        f"{name}: {facts}.",
        f"In words: {top_words([axis[:2] for axis in named], stderr=[axis[2] for axis in named])}.",
        f"{shares}.",
        table(["axis", "kind", "coefficient"], rows),
    ]
    if any(not told_from_zero(value, error) for _, value, error in listed):
        parts.append(UNSURE)
    if hidden := len(axes) - len(listed):
        what = "1 unnamed axis is" if hidden == 1 else f"{hidden} unnamed axes are"
        parts.append(f"{what} not told from 0 and not listed: --all lists all axes.")
    return parts
