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
    only_base: Annotated[
        list[str] | None, typer.Option(metavar="REF", help="Only models of this base; may be given several times.")
    ] = None,
    only_kind: Annotated[
        list[str] | None, typer.Option(metavar="KIND", help="Only full, adapter, pipeline or recorded models.")
    ] = None,
    only_licence: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Only models under this licence, as they state it.")
    ] = None,
    min_mb: Annotated[float | None, typer.Option(min=0, help="Only models of at least so many MB.")] = None,
    max_mb: Annotated[float | None, typer.Option(min=0, help="Only models of at most so many MB.")] = None,
    device: DeviceOption = None,
    dtype: DtypeOption = None,
) -> Outcome:
    """Find the model whose explanation is nearest to the user's own data, texts or images; nothing leaves this machine.

    Without --base and --base-answers the catalog's stored base answers serve as an unpaired reference.
    """
    if base is not None and base_answers is not None:
        raise typer.BadParameter("give --base or --base-answers, not both")
    from xpert.catalog import Catalog
    from xpert.constraints import Constraints
    from xpert.examples import load_base_answers, load_examples
    from xpert.selection_io import selection_to_json
    from xpert.selector import Selector

    examples = load_examples(data)
    given = Constraints(
        bases=only_base, kinds=only_kind, licences=only_licence, min_bytes=_bytes(min_mb), max_bytes=_bytes(max_mb)
    )
    options: dict[str, Any] = {"axes": axes, "device": device, "dtype": dtype}
    if given != Constraints():
        options["constraints"] = given
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
        xpert.errors.SummarizerError: Another model than the catalog's.
    """
    from xpert.selector import check_same_model
    from xpert.summarizers import load_summarizer

    if not name.startswith("streamed:"):
        raise SettingsError(f"memory_budget: expected a summarizer streamed:REF, got {name!r}: leave one of them out")
    wording = catalog.provenance.wording
    within = load_summarizer(name, device=device, dtype=dtype, instruction=wording, memory_budget=memory_budget)
    try:
        check_same_model(within, catalog.provenance.summarizer)
    except BaseException:
        within.close()
        raise
    return within


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
    return [
        f"Best: {selection.best}{_sureness(selection)}, {_nearness(selection)}",
        f"Your text in words: {top_words(selection.words, 6, selection.stderr)}.",
        *_why(selection),
        table(["model", "#distance", *sure], rows),
    ]


def _nearness(selection: Selection) -> str:
    """How near the best model is, whether that is a match, and what to do where it is none."""
    told, limit = f"distance {selection.ranking[0][1]:.3f}", f"match threshold {selection.threshold:.3f}"
    if selection.likeness is not None and selection.least_likeness is not None:
        told = f"likeness {selection.likeness:.2f}"
        limit = f"least for a match: {selection.least_likeness:.2f}"
    if selection.strength is not None:
        told += f", your style {selection.strength:.1f} times as strong"
    if selection.matched:
        return f"{told}. A match ({limit})."
    return (
        f"{told}. It is the nearest of these, but no match ({limit}): "
        "merge several models (xpert merge), or start from the base."
    )


def _why(selection: Selection) -> list[str]:
    """Which axes spoke for the choice, why not the next, what no model has, and what was left out; only what is known."""
    from xpert.summarizers.words import isolated

    def listed(parts: Sequence[tuple[str, float]]) -> str:
        return ", ".join(isolated(word) for word, _ in parts)

    lines: list[str] = []
    if selection.reasons:
        lines.append(f"What speaks for {selection.best}: {listed(selection.reasons)}.")
    if selection.over_next and len(selection.ranking) > 1:
        lines.append(f"Nearer than {selection.ranking[1][0]} by: {listed(selection.over_next)}.")
    if selection.missing:
        lines.append(f"In your text, but in no sum of these models: {', '.join(map(isolated, selection.missing))}.")
    if selection.excluded:
        lines.append(
            f"Left out by your conditions: {selection.excluded} of {selection.excluded + len(selection.ranking)} models."
        )
    return lines


def _bytes(megabytes: float | None) -> int | None:
    return None if megabytes is None else round(megabytes * 1e6)


def _sureness(selection: Selection) -> str:
    """Such as `` (97% sure; next: poet 3%)``; nothing where one pair or one model leaves nothing to be sure of."""
    if selection.probabilities is None or len(selection.ranking) < 2:
        return ""
    others = zip(selection.ranking[1:], selection.probabilities[1:], strict=True)
    (name, _), share = max(others, key=lambda other: other[1])
    following = f"; next: {name} {percent(share)}" if share > 0 else ""
    return f" ({percent(selection.probabilities[0])} sure{following})"
