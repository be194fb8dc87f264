"""Table 5, first column, on pools that are trained: an adapter a style on a mixture, explained by what it answers, selected from."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import fmean
from typing import Any

from xpert.errors import SettingsError
from xpert.evaluation.bootstrap import estimate
from xpert.evaluation.experiments.tables import AXES_TOLD, markdown
from xpert.evaluation.paper.draws import TrainingDraw, drawn_answers, drawn_examples, training_mixture
from xpert.evaluation.paper.hub import STYLES, hub_data, hub_examples
from xpert.evaluation.presets import TrainedPools
from xpert.evaluation.results import Chart, Series, Table
from xpert.evaluation.setting import HUB
from xpert.evaluation.sources import N_PAIRS, User
from xpert.evaluation.suite.context import Context, Findings, selectors_of
from xpert.evaluation.unpaired import genre_files
from xpert.examples import load_examples
from xpert.explainer import Explainer
from xpert.modalities import load_modality, modality_of
from xpert.progress import say
from xpert.prompts import shipped_prompts
from xpert.tensors.files import write_text
from xpert.trainers.torch import TorchTrainer
from xpert.types import Generation

__all__ = ["pools_of", "table_5"]


def table_5(context: Context) -> Findings:
    """Every base at every similarity; adapters, answers and finished cells are kept."""
    pools, cells = pools_of(context), list[dict[str, Any]]()
    for seed in range(context.seed, context.seed + context.preset.draws):
        draw = _drawn(context, pools, seed)
        for base in pools.bases:
            folder = context.work / "trained" / f"{Path(base).name}{context.setting.suffix}-{pools.steps}"
            for similarity in context.preset.similarities:
                file = folder / f"{seed}-{similarity}.json"
                if not file.is_file():
                    cell = _cell(context, draw, base, folder / f"{seed}-{similarity}", similarity=similarity, seed=seed)
                    write_text(file, json.dumps(cell) + "\n")
                cells.append(json.loads(file.read_text(encoding="utf-8")))
    rows = [row for base in dict.fromkeys(cell["base"] for cell in cells) for row in _rows(cells, base, context)]
    return Findings(
        tables=[Table(title="Right model (95% interval over users)", markdown=_markdown(rows))],
        charts=[_chart(rows)],
        rows={"cells": cells, "summaries": rows},
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
    if setting.data == HUB:
        needed = pools.training + N_PAIRS * users + -(-pools.training // len(STYLES))
        texts = {name: hub_examples(hub_data(name), needed) for name in STYLES}
    elif (genres := setting.genres) is not None:
        texts = {file.stem: load_examples(file) for file in genre_files(genres)}
    else:
        return drawn_answers(setting.source(), seed=seed, n_training=pools.training, users_a_style=users)
    return drawn_examples(texts, seed=seed, n_training=pools.training, users_a_style=users)


def _cell(
    context: Context, draw: TrainingDraw, base: str, folder: Path, *, similarity: int, seed: int
) -> dict[str, Any]:
    """Train, explain, select; what of the adapters is there is not trained again."""
    pools = pools_of(context)
    trainer = TorchTrainer(
        max_steps=pools.steps,
        batch_size=pools.batch_size,
        max_length=pools.max_length,
        eval_fraction=0.0,
        seed=seed,
        device=pools.device,
        precision="auto",
    )
    models, losses = dict[str, str](), list[float]()
    for style in draw.styled:
        out, losses_file = folder / style, folder / f"{style}.json"
        if not losses_file.is_file():
            say(f"{base}, s = {similarity}: training {style}")
            examples = training_mixture(draw, style, similarity=similarity, seed=seed)
            report = trainer.fit(base, examples, out=out, resume=True)
            write_text(losses_file, json.dumps([report.first_loss, report.last_loss]) + "\n")
        losses.append(json.loads(losses_file.read_text(encoding="utf-8"))[1])
        models[style] = str(out)
    generation = Generation(seed=seed, max_new_tokens=pools.new_tokens)
    explainer = Explainer(
        base,
        context.summarizer,
        prompts=shipped_prompts("general", pools.prompts, seed),
        seed=seed,
        generation=generation,
        device=pools.device,
        cache=context.cache,
        subvectors=context.subvectors,
    )
    catalog = explainer.explain(models)
    selectors = selectors_of(catalog, context.summarizer)
    right: dict[str, list[bool]] = {}
    said = _said_by(base, draw.users, generation, pools.device)
    for user in draw.users:
        own = [said[str(example.prompt)] for example in user.examples] if _paired(user) else None
        place = selectors["all"].locate(user.examples, own)
        for axes, selector in selectors.items():
            best = selector.rank(place, paired=own is not None).best
            right.setdefault(AXES_TOLD[axes], []).append(best == user.style)
    return {"base": base, "similarity": similarity, "seed": seed, "right": right, "last_loss": fmean(losses)}


def _paired(user: User) -> bool:
    return all(example.prompt for example in user.examples)


def _said_by(base: str, users: Sequence[User], generation: Generation, device: str | None) -> dict[str, str]:
    """The base's answers to the prompts of users, who are nobody, each asked once; texts without a prompt have none."""
    asked = list(dict.fromkeys(str(e.prompt) for user in users if _paired(user) for e in user.examples))
    if not asked:
        return {}
    with load_modality(modality_of(base)).open(base, device=device) as prober:
        return dict(zip(asked, prober.answer(None, asked, generation), strict=True))


def _rows(cells: Sequence[Mapping[str, Any]], base: str, context: Context) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for similarity in context.preset.similarities:
        own = [cell for cell in cells if (cell["base"], cell["similarity"]) == (base, similarity)]
        for axes in own[0]["right"]:
            values = [float(one) for cell in own for one in cell["right"][axes]]
            rows.append(
                {
                    "base": Path(base).name,
                    "similarity": similarity,
                    "axes": axes,
                    "right": asdict(estimate(values)),
                    "last_loss": fmean(cell["last_loss"] for cell in own),
                }
            )
    return rows


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
