"""Accuracy against similarity, on recorded mixtures of what the zoo's models say, or of other recorded texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from xpert.baselines.encoder_similarity import EncoderSimilarityBaseline
from xpert.evaluation.bootstrap import estimate, paired_difference
from xpert.evaluation.experiments.tables import AXES_TOLD, markdown
from xpert.evaluation.mixtures import explained, mixture_answers
from xpert.evaluation.results import Chart, Series, Table
from xpert.evaluation.sources import Draw, Source, fingerprint
from xpert.evaluation.suite.context import Context, Findings, selectors_of
from xpert.evaluation.suite.weights import weights_of
from xpert.evaluation.suite.workers import kept_cells
from xpert.progress import say

__all__ = ["accuracy"]

_OURS, _UNPAIRED, _ENCODER = "xpert, {}", "xpert, all axes, no base answers", "encoder similarity (MiniLM)"


def accuracy(context: Context) -> Findings:
    """Every draw at every similarity; draws are kept as they come."""
    preset = context.preset
    folder = _folder(context)  # the source is there now: no two workers make it
    seeds = range(context.seed, context.seed + preset.draws)
    places = [(seed, similarity) for seed in seeds for similarity in preset.similarities]
    files = {place: folder / f"{place[0]}-{place[1]}.json" for place in places}
    cells: list[dict[str, Any]] = kept_cells(context, _cell, files)
    rows = [row for s in preset.similarities for row in _rows(cells, s)]
    return Findings(
        tables=[Table(title="Right model (95% interval over users)", markdown=_markdown(rows, preset.similarities))],
        charts=[_chart(rows)],
        rows={"cells": cells, "summaries": rows},
        weights=context.weights()
        if context.setting.kind != "texts"
        else weights_of(summarizers=[context.setting.summarizer]),
    )


def _folder(context: Context) -> Path:
    """Of the cells."""
    preset = context.preset
    sizes = f"{preset.users_a_style}-{preset.styled_texts}"
    return context.work / f"accuracy-{fingerprint(context.source)}-{sizes}{context.setting.suffix}"


def _cell(context: Context, seed: int, similarity: int) -> dict[str, Any]:
    """One draw at one similarity."""
    draw = context.source.draw(seed, context.preset.users_a_style)
    right = _right(context, context.source, draw, similarity=similarity, seed=seed)
    all_axes = next(iter(right.values()))
    say(f"draw {seed}, s = {similarity}: {sum(all_axes)} of {len(draw.users)} by all axes")
    return {"seed": seed, "similarity": similarity, "right": right}


def _right(context: Context, source: Source, draw: Draw, *, similarity: int, seed: int) -> dict[str, list[bool]]:
    """Method to, user after user, whether the model of the user's style was chosen.

    Where no base answered the users' prompts, nothing is paired, and the stored base answers serve all methods.
    """
    folder = context.work / f"mixtures{context.setting.suffix}" / f"{seed}-{similarity}"  # no other worker's
    catalog = explained(
        source,
        draw,
        context.summarizer,
        similarity=similarity,
        seed=seed,
        folder=folder,
        subvectors=context.subvectors,
    )
    texts = {
        style: list(mixture_answers(source, draw, style, similarity=similarity, seed=seed).values())
        for style in source.styles
    }
    selectors = selectors_of(catalog, context.summarizer)
    encoder: Any = context.loaded("encoder:minilm")
    similar = EncoderSimilarityBaseline(
        {style: f"answers:{folder / f'{style}.jsonl'}" for style in source.styles},
        texts,
        encoder,
        base_texts=[source.base[prompt] for prompt in draw.prompts],
    )
    right: dict[str, list[bool]] = {}
    for user in draw.users:
        said = user.base or None
        place = selectors["all"].locate(user.examples, said)
        best = {
            _OURS.format(AXES_TOLD[axes]): selector.rank(place, paired=said is not None).best
            for axes, selector in selectors.items()
        }
        if said is not None:
            alone = selectors["all"].locate(user.examples)
            best[_UNPAIRED] = selectors["all"].rank(alone, paired=False).best
        best[_ENCODER] = similar.select(user.examples, said).best
        for method, name in best.items():
            right.setdefault(method, []).append(name == user.style)
    return right


def _rows(cells: Sequence[Mapping[str, Any]], similarity: int) -> list[dict[str, Any]]:
    own = [cell["right"] for cell in cells if cell["similarity"] == similarity]
    right = {method: [float(one) for cell in own for one in cell[method]] for method in own[0]}
    reference = right[_OURS.format(AXES_TOLD["all"])]
    return [
        {
            "similarity": similarity,
            "method": method,
            "right": asdict(estimate(values)),
            "all_axes_less_this": asdict(paired_difference(reference, values)),
        }
        for method, values in right.items()
    ]


def _markdown(rows: Sequence[Mapping[str, Any]], similarities: Sequence[int]) -> str:
    cells = [
        [
            method,
            *(
                _told(row["right"])
                for s in similarities
                for row in rows
                if (row["method"], row["similarity"]) == (method, s)
            ),
        ]
        for method in dict.fromkeys(row["method"] for row in rows)
    ]
    return markdown(["method", *(f"s = {s}" for s in similarities)], cells)


def _told(share: Mapping[str, float]) -> str:
    return f"{100 * share['mean']:.1f}% ({100 * share['low']:.1f} to {100 * share['high']:.1f}), {share['n']} users"


def _chart(rows: Sequence[Mapping[str, Any]]) -> Chart:
    series: list[Series] = []
    for method in dict.fromkeys(row["method"] for row in rows):
        own = sorted((row for row in rows if row["method"] == method), key=lambda row: row["similarity"])
        series.append(
            Series(
                name=method,
                x=[row["similarity"] for row in own],
                y=[100 * row["right"]["mean"] for row in own],
                low=[100 * row["right"]["low"] for row in own],
                high=[100 * row["right"]["high"] for row in own],
            )
        )
    return Chart(
        title="Accuracy against similarity", x_label="similarity s, percent", y_label="right, percent", series=series
    )
