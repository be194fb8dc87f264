"""Table 5, first column, on pools that are trained: an adapter a style on a mixture, explained by what it answers, selected from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import fmean
from typing import Any

from xpert.errors import SettingsError
from xpert.evaluation.bootstrap import estimate
from xpert.evaluation.experiments.tables import AXES_TOLD, markdown
from xpert.evaluation.keeping import kept, mark_of
from xpert.evaluation.paper.draws import TrainingDraw, drawn_answers, drawn_examples, n_needed
from xpert.evaluation.paper.texts import hub_texts
from xpert.evaluation.presets import TrainedPools
from xpert.evaluation.results import Chart, Series, Table
from xpert.evaluation.sources import User
from xpert.evaluation.suite.context import Context, Findings, selectors_of
from xpert.evaluation.suite.trained_pools import TrainedPool, base_mark
from xpert.evaluation.suite.weights import weights_of
from xpert.evaluation.unpaired import genre_files
from xpert.examples import load_examples
from xpert.explainer import Explainer
from xpert.modalities import load_modality, modality_of
from xpert.progress import say
from xpert.prompts import shipped_prompts
from xpert.types import Generation

__all__ = ["pools_of", "table_5"]


def table_5(context: Context) -> Findings:
    """Every base at every similarity; texts, adapters, answers and finished cells are kept."""
    pools, cells = pools_of(context), list[dict[str, Any]]()
    marks = {base: base_mark(base) for base in pools.bases}
    for seed in range(context.seed, context.seed + context.preset.draws):
        draw = _drawn(context, pools, seed)
        for base, mark in marks.items():
            for similarity in context.preset.similarities:
                pool = TrainedPool(
                    base=base, base_mark=mark, draw=draw, similarity=similarity, seed=seed, settings=pools
                )
                cells.append({"base": base, "similarity": similarity, "seed": seed, **_cell(context, pool)})
    rows = [row for base in marks for row in _rows(cells, base, context)]
    return Findings(
        tables=[Table(title="Right model (95% interval over users)", markdown=_markdown(rows))],
        charts=[_chart(rows)],
        rows={"cells": cells, "summaries": rows},
        weights=weights_of(summarizers=[context.setting.summarizer], others=pools.bases),
    )


def pools_of(context: Context) -> TrainedPools:
    """What the preset trains.

    Raises:
        xpert.errors.SettingsError: It trains nothing.
    """
    if context.preset.pools is None:
        raise SettingsError(f"preset {context.preset.name} trains no pools: take paper")
    return context.preset.pools


def _drawn(context: Context, pools: TrainedPools, seed: int) -> TrainingDraw:
    setting, users = context.setting, context.preset.users_a_style
    if (names := setting.hub) is not None:
        needed = n_needed(len(names), n_training=pools.training, users_a_style=users)
        texts = hub_texts(names, needed, context.work / "hub")
    elif (genres := setting.genres) is not None:
        texts = {file.stem: load_examples(file) for file in genre_files(genres)}
    else:
        return drawn_answers(setting.source(), seed=seed, n_training=pools.training, users_a_style=users)
    return drawn_examples(texts, seed=seed, n_training=pools.training, users_a_style=users)


def _cell(context: Context, pool: TrainedPool) -> dict[str, Any]:
    """Who was right; kept in a file whose name changes with all that it depends on."""
    prompts = shipped_prompts("general", pool.settings.prompts, pool.seed)
    generation = Generation(seed=pool.seed, max_new_tokens=pool.settings.new_tokens)
    read_by = context.setting.summarizer, context.preset.styled_texts
    trained = pool.mark
    mark = mark_of(trained, pool.draw.users, prompts, generation, *read_by)
    file = context.work / "trained" / "cells" / f"{trained}-{mark}.json"
    return kept(file, lambda: _selected(context, pool, prompts, generation))


def _selected(context: Context, pool: TrainedPool, prompts: Sequence[str], generation: Generation) -> dict[str, Any]:
    """Train, explain, select; what of the adapters is there is not trained again."""
    models, last_loss = pool.trained(context.work / "trained")
    explainer = Explainer(
        pool.base,
        context.summarizer,
        prompts=prompts,
        seed=pool.seed,
        generation=generation,
        device=pool.settings.device,
        cache=context.cache,
        subvectors=context.subvectors,
    )
    catalog = explainer.explain(models)
    selectors = selectors_of(catalog, context.summarizer)
    right: dict[str, list[bool]] = {}
    said = _said_by(context, pool, generation)
    for user in pool.draw.users:
        own = [said[str(example.prompt)] for example in user.examples] if _paired(user) else None
        place = selectors["all"].locate(user.examples, own)
        for axes, selector in selectors.items():
            best = selector.rank(place, paired=own is not None).best
            right.setdefault(AXES_TOLD[axes], []).append(best == user.style)
    return {"right": right, "last_loss": last_loss}


def _paired(user: User) -> bool:
    return all(example.prompt for example in user.examples)


def _said_by(context: Context, pool: TrainedPool, generation: Generation) -> Mapping[str, str]:
    """The base's answers to the prompts of users, who are nobody, each asked once for all similarities; texts without a prompt have none."""
    asked = list(dict.fromkeys(str(e.prompt) for user in pool.draw.users if _paired(user) for e in user.examples))
    if not asked:
        return {}

    def said() -> dict[str, str]:
        say(f"{pool.base}: answers to the users' prompts")
        with load_modality(modality_of(pool.base)).open(pool.base, device=pool.settings.device) as prober:
            return dict(zip(asked, prober.answer(None, asked, generation), strict=True))

    mark = mark_of(pool.base_mark, asked, generation)
    return kept(context.work / "trained" / "said" / f"{Path(pool.base).name}-{mark}.json", said)


def _rows(cells: Sequence[Mapping[str, Any]], base: str, context: Context) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for similarity in context.preset.similarities:
        own = [cell for cell in cells if (cell["base"], cell["similarity"]) == (base, similarity)]
        for axes in own[0]["right"]:
            values = [float(one) for cell in own for one in cell["right"][axes]]
            rows.append(
                {
                    "base": _name_of(base, context),
                    "similarity": similarity,
                    "axes": axes,
                    "right": asdict(estimate(values)),
                    "last_loss": fmean(cell["last_loss"] for cell in own),
                }
            )
    return rows


def _name_of(base: str, context: Context) -> str:
    """The last part of its reference; all of it, where another base has the same."""
    names = [Path(one).name for one in pools_of(context).bases]
    name = Path(base).name
    return name if names.count(name) == 1 else base


def _markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    similarities = list(dict.fromkeys(row["similarity"] for row in rows))
    by = {(row["base"], row["axes"], row["similarity"]): row["right"] for row in rows}
    cells = [
        [base, axes, *(_told(by[base, axes, s]) for s in similarities)]
        for base, axes in dict.fromkeys((row["base"], row["axes"]) for row in rows)
    ]
    return markdown(["base", "axes", *(f"s = {s}" for s in similarities)], cells)


def _told(share: Mapping[str, float]) -> str:
    return f"{100 * share['mean']:.1f}% ({100 * share['low']:.1f} to {100 * share['high']:.1f}), {share['n']} users"


def _chart(rows: Sequence[Mapping[str, Any]]) -> Chart:
    series: list[Series] = []
    for base in dict.fromkeys(row["base"] for row in rows):
        own = [row for row in rows if row["base"] == base and row["axes"] == AXES_TOLD["all"]]
        own.sort(key=lambda row: row["similarity"])
        xs, right = [row["similarity"] for row in own], [row["right"] for row in own]
        series.append(Series.of_estimates(base, xs, right, factor=100))
    return Chart(
        title="Accuracy of trained pools", x_label="similarity s, percent", y_label="right, percent", series=series
    )
