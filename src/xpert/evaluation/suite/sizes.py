"""Figure 13: the right model against the size of the summarizer."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from xpert.evaluation.bootstrap import estimate, paired_difference
from xpert.evaluation.experiments.tables import AXES_TOLD, markdown
from xpert.evaluation.mixtures import explained
from xpert.evaluation.results import Chart, Series, Table
from xpert.evaluation.sources import Draw, fingerprint
from xpert.evaluation.suite.context import SUMMARIZER, Context, Findings
from xpert.evaluation.suite.weights import weights_of
from xpert.evaluation.suite.workers import kept_cells
from xpert.progress import say
from xpert.references import resolve
from xpert.selector import Selector
from xpert.space import AxesName
from xpert.summarizers.encoder import EncoderSummarizer
from xpert.weights import model_digest, tensor_shapes, weight_files
from xpert.zoo import names

__all__ = ["AXES", "ENCODER", "SIZES", "Sized", "figure_13", "sized_summarizers"]

SIZES = ("small", "medium", "large")
"""Of ``scripts/make_zoo.py summarizer --size``; medium is ``zoo:summarizer``."""
ENCODER = "encoder:minilm"
AXES: Sequence[AxesName] = ("named", "all")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sized:
    """A summarizer and how large it is.

    Attributes:
        name: In tables: its size's, or the encoder's.
        reference: Of the summarizer.
    """

    name: str
    reference: str


def figure_13(context: Context) -> Findings:
    """Every summarizer on the same draws, mixtures and users; cells are kept as they come."""
    found, missing = sized_summarizers(context.work)
    cells: list[dict[str, Any]] = kept_cells(context, _cell, _files(context, found))
    parameters = {one.name: _parameters(context, one) for one in found}
    rows = [
        _row(cells, one.name, axes, similarity) | {"parameters": parameters[one.name]}
        for one in found
        for axes in AXES
        for similarity in context.preset.similarities
    ]
    return Findings(
        tables=[
            Table(
                title=f"Right model (95% interval over users){_note(missing)}",
                markdown=_markdown(rows, context.preset.similarities),
            ),
            Table(
                title=f"Right by {SUMMARIZER} less right by this one, all axes, same users, points",
                markdown=_differences(rows, context.preset.similarities),
            ),
        ],
        charts=[_chart(rows, context.preset.similarities)],
        rows={"cells": cells, "summaries": rows, "left_out": missing},
        weights=weights_of(
            base=context.cast.base,
            models=context.models.values(),
            summarizers=[one.reference for one in found],
        ),
    )


def sized_summarizers(work: Path) -> tuple[list[Sized], list[str]]:
    """What there is, smallest first and the encoder last; and the sizes that are neither shipped nor in the work folder.

    Args:
        work: A size that is not shipped may lie in ``zoo/summarizer-SIZE`` of it.
    """
    found: list[Sized] = []
    missing: list[str] = []
    for size in SIZES:
        shipped = "summarizer" if size == "medium" else f"summarizer-{size}"
        folder = work / "zoo" / shipped
        if shipped in names():
            found.append(Sized(name=size, reference=f"zoo:{shipped}"))
        elif (folder / "config.json").is_file():
            found.append(Sized(name=size, reference=f"hf:{folder}"))
        else:
            missing.append(size)
    return [*found, Sized(name="MiniLM, an encoder", reference=ENCODER)], missing


def _files(context: Context, found: Sequence[Sized]) -> dict[tuple[Sized, int, int], Path]:
    """Of the cells: a summarizer, a draw, a similarity."""
    preset = context.preset
    source = fingerprint(context.source)  # it is there now: no two workers make it
    key = f"sizes-{source}-{preset.users_a_style}-{preset.styled_texts}"
    return {
        (one, seed, similarity): context.work / key / f"{_name(one, seed, similarity)}.json"
        for one in found
        for seed in range(context.seed, context.seed + preset.draws)
        for similarity in preset.similarities
    }


def _cell(context: Context, one: Sized, seed: int, similarity: int) -> dict[str, Any]:
    """Who was right, by choice of axes."""
    draw = context.source.draw(seed, context.preset.users_a_style)
    right = _right(context, one, draw, similarity=similarity, seed=seed)
    say(f"{one.name}, draw {seed}, s = {similarity}: {sum(right['all'])} of {len(draw.users)} by all axes")
    return {"summarizer": one.name, "seed": seed, "similarity": similarity, "right": right}


def _right(context: Context, one: Sized, draw: Draw, *, similarity: int, seed: int) -> dict[AxesName, list[bool]]:
    """By choice of axes, user after user, whether the model of the user's style was chosen."""
    summarizer = context.loaded(one.reference)
    catalog = explained(
        context.source,
        draw,
        summarizer,
        similarity=similarity,
        seed=seed,
        folder=context.work / "mixtures-sizes" / _name(one, seed, similarity),  # no other worker's
        subvectors=context.subvectors_of(summarizer),
    )
    selectors: dict[AxesName, Selector] = {axes: Selector(catalog, summarizer, axes=axes) for axes in AXES}
    right: dict[AxesName, list[bool]] = {axes: [] for axes in AXES}
    for user in draw.users:
        place = selectors["all"].locate(user.examples, user.base)
        for axes, selector in selectors.items():
            right[axes].append(selector.rank(place, paired=True).best == user.style)
    return right


def _name(one: Sized, seed: int, similarity: int) -> str:
    """Of a cell's file and folder: other weights are others."""
    weights = "minilm" if one.reference == ENCODER else f"{one.name}-{model_digest(_folder(one))[:8]}"
    return f"{weights}-{seed}-{similarity}"


def _folder(one: Sized) -> Path:
    return resolve(one.reference.removeprefix("hf:"))


def _parameters(context: Context, one: Sized) -> int:
    if one.reference == ENCODER:
        encoder = context.loaded(ENCODER)
        assert isinstance(encoder, EncoderSummarizer)
        return sum(parameter.numel() for parameter in encoder.model.parameters())
    return sum(math.prod(shape) for shape in tensor_shapes(weight_files(_folder(one))).values())


def _row(cells: Sequence[Mapping[str, Any]], name: str, axes: AxesName, similarity: int) -> dict[str, Any]:
    right, medium = (_of(cells, who, axes, similarity) for who in (name, "medium"))
    return {
        "summarizer": name,
        "axes": axes,
        "similarity": similarity,
        "right": asdict(estimate(right)),
        "medium_less_this": asdict(paired_difference(medium, right)),
    }


def _of(cells: Sequence[Mapping[str, Any]], name: str, axes: AxesName, similarity: int) -> list[float]:
    own = [cell for cell in cells if (cell["summarizer"], cell["similarity"]) == (name, similarity)]
    return [float(one) for cell in own for one in cell["right"][axes]]


def _note(missing: Sequence[str]) -> str:
    """What of the sizes is left out.

    >>> _note(["large"])
    '; left out, as neither shipped nor made: large'
    """
    return f"; left out, as neither shipped nor made: {', '.join(missing)}" if missing else ""


def _markdown(rows: Sequence[Mapping[str, Any]], similarities: Sequence[int]) -> str:
    cells: list[list[object]] = []
    for name, axes in dict.fromkeys((row["summarizer"], row["axes"]) for row in rows):
        own = {row["similarity"]: row for row in rows if (row["summarizer"], row["axes"]) == (name, axes)}
        size = f"{own[similarities[0]]['parameters'] / 1e6:.2f} million"
        cells.append([name, size, AXES_TOLD[axes], *(_told(own[s]["right"], "%") for s in similarities)])
    return markdown(["summarizer", "parameters", "by", *(f"s = {s}" for s in similarities)], cells)


def _differences(rows: Sequence[Mapping[str, Any]], similarities: Sequence[int]) -> str:
    cells: list[list[object]] = []
    for name in dict.fromkeys(row["summarizer"] for row in rows if row["summarizer"] != "medium"):
        own = {row["similarity"]: row for row in rows if (row["summarizer"], row["axes"]) == (name, "all")}
        cells.append([name, *(_told(own[s]["medium_less_this"]) for s in similarities)])
    return markdown(["summarizer", *(f"s = {s}" for s in similarities)], cells)


def _told(share: Mapping[str, float], unit: str = "") -> str:
    return f"{100 * share['mean']:.1f}{unit} ({100 * share['low']:.1f} to {100 * share['high']:.1f})"


def _chart(rows: Sequence[Mapping[str, Any]], similarities: Sequence[int]) -> Chart:
    """One line a similarity and choice of axes; the zoo's summarizers are joined, the encoder is a point of its own."""
    series: list[Series] = []
    for similarity in similarities:
        for axes in AXES:
            own = [row for row in rows if (row["similarity"], row["axes"]) == (similarity, axes)]
            for encoder in (False, True):
                some = [row for row in own if (row["summarizer"] not in SIZES) == encoder]
                series.append(
                    Series(
                        name=f"s = {similarity}, {AXES_TOLD[axes]}{', MiniLM' if encoder else ''}",
                        x=[math.log10(row["parameters"]) for row in some],
                        y=[100 * row["right"]["mean"] for row in some],
                        low=[100 * row["right"]["low"] for row in some],
                        high=[100 * row["right"]["high"] for row in some],
                    )
                )
    return Chart(
        title="Right model against the summarizer's size",
        x_label="parameters, powers of ten",
        y_label="right, percent",
        series=[one for one in series if one.x],
    )
