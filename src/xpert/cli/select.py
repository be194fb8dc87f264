"""``xpert select``: personal data and a catalog in, the nearest model out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xpert.cli.options import CatalogOption, DataOption, DeviceOption, DtypeOption
from xpert.cli.output import Outcome, table, top_words
from xpert.errors import DataError, SettingsError
from xpert.figures import percent

if TYPE_CHECKING:
    from rich.console import RenderableType

    from xpert.catalog import Catalog
    from xpert.protocols import Summarizer
    from xpert.types import Example, Selection

__all__ = ["select"]


def select(
    *,
    catalog: CatalogOption,
    data: DataOption,
    summarizer: Annotated[
        str | None, typer.Option(metavar="REF", help="The summarizer.", show_default="the catalog's own")
    ] = None,
    base: Annotated[
        str | None,
        typer.Option(
            metavar="REF",
            help="A base model that answers the data's prompts, for comparison.",
            show_default="the catalog's stored answers serve",
        ),
    ] = None,
    base_answers: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="The base model's answers to the data's prompts, in their order.",
            show_default="the catalog's stored answers serve",
        ),
    ] = None,
    axes: Annotated[
        str, typer.Option(metavar="all|named|named+measured", help="Which axes of the catalog are compared.")
    ] = "all",
    memory_budget: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE",
            help="Memory that a summarizer streamed:REF may use, such as 1.5GB.",
            show_default="as little as reads each weight once",
        ),
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="How many models the table shows; --json has them all.")] = 5,
    device: DeviceOption = None,
    dtype: DtypeOption = None,
) -> Outcome:
    """Find the model whose explanation is nearest to the user's own data, texts or images; nothing leaves this machine.

    Without --base and --base-answers the catalog's stored base answers serve as an unpaired reference.
    """
    if base is not None and base_answers is not None:
        raise typer.BadParameter("give --base or --base-answers, not both")
    from xpert.catalog import Catalog
    from xpert.examples import load_base_answers, load_examples
    from xpert.selection_io import selection_to_json
    from xpert.selector import Selector

    examples = load_examples(data)
    options: dict[str, Any] = {"axes": axes, "device": device, "dtype": dtype}
    opened = Catalog.from_pretrained(catalog)
    within = None
    if memory_budget is not None:
        within = summarizer_within(
            opened, summarizer or opened.provenance.summarizer, memory_budget, device=device, dtype=dtype
        )
    selector = Selector(opened, summarizer=within or summarizer, **options)
    answers = None if base_answers is None else load_base_answers(base_answers, len(examples))
    if base is not None:
        answers = answers_of_base(opened, base, data, examples, device=device, dtype=dtype)
    try:
        selection = selector.select(examples, answers)
    finally:
        if within is not None:
            within.close()
    return Outcome(document=selection_to_json(selection), view=lambda: _view(selection, top))


def summarizer_within(
    catalog: Catalog, name: str, memory_budget: str, *, device: str | None, dtype: str | None
) -> Summarizer:
    """A streamed summarizer that asks what the catalog's was asked, within a memory budget.

    Raises:
        xpert.errors.SettingsError: Another kind of summarizer, or a budget that is no size.
    """
    from xpert.summarizers import load_summarizer

    if not name.startswith("streamed:"):
        raise SettingsError(f"memory_budget: expected a summarizer streamed:REF, got {name!r}: leave one of them out")
    wording = catalog.provenance.wording
    return load_summarizer(name, device=device, dtype=dtype, instruction=wording, memory_budget=memory_budget)


def answers_of_base(
    catalog: Catalog, base: str, data: Path, examples: Sequence[Example], *, device: str | None, dtype: str | None
) -> list[str]:
    """The base's answers to the examples' prompts, generated as the catalog's own were.

    Raises:
        xpert.errors.DataError: An example has no prompt.
    """
    from xpert.modalities import load_modality

    prompts = [example.prompt for example in examples if example.prompt]
    if missing := len(examples) - len(prompts):
        raise DataError(
            f"{data}: {missing} of {len(examples)} examples have no prompt for --base to answer: leave --base out"
        )
    modality = load_modality(catalog.provenance.modality, catalog.provenance.settings)
    different = list(dict.fromkeys(prompts))
    with modality.open(base, device=device, dtype=dtype) as prober:
        answers = prober.answer(None, different, catalog.provenance.generation)
    return [dict(zip(different, answers, strict=True))[prompt] for prompt in prompts]


def _view(selection: Selection, top: int) -> list[RenderableType]:
    shares = selection.probabilities
    sure = () if shares is None else ("#nearest in",)
    rows = [
        (name, f"{distance:.3f}", *(() if shares is None else (percent(shares[i]),)))
        for i, (name, distance) in enumerate(selection.ranking[:top])
    ]
    distance = selection.ranking[0][1]
    told = f"distance {distance:.3f}, within the match threshold {selection.threshold:.3f}."
    if not selection.matched:
        told = (
            f"distance {distance:.3f}. It is the nearest of these, but no match (threshold {selection.threshold:.3f}): "
            "merge several models (xpert merge), or start from the base."
        )
    return [
        f"Best: {selection.best}{_sureness(selection)}, {told}",
        f"Your text in words: {top_words(selection.words, 6, selection.stderr)}.",
        table(["model", "#distance", *sure], rows),
    ]


def _sureness(selection: Selection) -> str:
    """Such as `` (97% sure; next: poet 3%)``; nothing where one pair or one model leaves nothing to be sure of."""
    if selection.probabilities is None or len(selection.ranking) < 2:
        return ""
    others = zip(selection.ranking[1:], selection.probabilities[1:], strict=True)
    (name, _), share = max(others, key=lambda other: other[1])
    following = f"; next: {name} {percent(share)}" if share > 0 else ""
    return f" ({percent(selection.probabilities[0])} sure{following})"
