"""``xpert show``: a catalog, or one of its models, for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from xpert.cli.output import Outcome, catalog_json, explanation_json, explanation_table, table

if TYPE_CHECKING:
    from rich.console import RenderableType

    from xpert.catalog import Catalog

__all__ = ["show"]


def show(
    catalog: Annotated[str, typer.Argument(metavar="CATALOG", help="The catalog: its folder, or its id on the Hub.")],
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="One of its models; all of them by default.")
    ] = None,
) -> Outcome:
    """Show a catalog's models in words with numbers, or everything about one of them."""
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
    return Outcome(document=document, view=lambda: _one(opened, name))


def _all(catalog: Catalog) -> list[RenderableType]:
    header = catalog.provenance
    return [
        f"{len(catalog)} models of {header.base}, explained by {header.summarizer} on {header.n_prompts} prompts.",
        explanation_table(catalog),
        "Shares are of the embedding's length: what words, then measured quantities, then unnamed directions span of it "
        "(at right angles, so it is their squares that add up to at most 100%).",
    ]


def _one(catalog: Catalog, name: str) -> list[RenderableType]:
    explanation, card = catalog[name], catalog.card(name)
    kinds = {axis.word: axis.kind for axis in catalog.basis.axes}
    rows = [(word, kinds[word], f"{value:+.3f}") for word, value in explanation.words]
    facts = f"{card.kind} model {card.reference}, {card.bytes:,} bytes, licence {card.licence or 'not stated'}"
    shares = (
        f"named {explanation.named_share:.0%}, measured {explanation.measured_share:.0%}, "
        f"unnamed {explanation.unnamed_share:.0%} of the embedding's length (the squares add up to at most 100%), "
        f"residual {explanation.residual:.2f} by words"
    )
    return [f"{name}: {facts}.", f"{shares}.", table(["axis", "kind", "#coefficient"], rows)]
