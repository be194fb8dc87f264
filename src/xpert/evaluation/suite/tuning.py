"""Table 3 (`xpert.evaluation.prompt_tuning`) at a preset's size; texts and cells are kept as they come."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from xpert.evaluation.cast import BASE
from xpert.evaluation.experiments.tables import markdown
from xpert.evaluation.prompt_tuning import (
    ContrastiveData,
    contrastive_data,
    digest_of,
    held_out_words,
    noise_floor,
    table,
)
from xpert.evaluation.results import Chart, Series, Table
from xpert.evaluation.suite.context import Context, Findings
from xpert.evaluation.suite.weights import weights_of
from xpert.subvectors.prompt_tuning import TuningSettings
from xpert.tensors.files import write_text
from xpert.zoo.corpus import PROPERTIES

__all__ = ["table_3"]


def table_3(context: Context) -> Findings:
    """The error of prompt-tuned sub-vectors, against trainable tokens and samples."""
    preset, summarizer = context.preset, context.summarizer
    families = {name: words[: preset.tuned_words] for name, words in PROPERTIES.items()}
    key = f"{digest_of(summarizer)[:12]}-{preset.tuned_words}-{preset.tuned_texts}-{context.seed}"
    work = context.work / f"tuning-{key}"
    work.mkdir(parents=True, exist_ok=True)
    file = work / "texts.safetensors"
    if not file.is_file():
        words = [word for family in families.values() for word in family]
        contrastive_data(summarizer, BASE, words, n_prompts=preset.tuned_texts, seed=context.seed).save(file)
    data = ContrastiveData.load(file)
    held_out = held_out_words(families, seed=context.seed)
    settings = TuningSettings(steps=preset.tuning_steps, seed=context.seed)
    rows: list[dict[str, Any]] = []
    for tokens in preset.tokens:
        for samples in preset.samples:
            cell = work / f"{tokens}-{samples}-{preset.tuning_steps}.json"
            if not cell.is_file():
                cells = table(
                    summarizer, data, held_out, families, tokens=[tokens], samples=[samples], settings=settings
                )
                write_text(cell, json.dumps(asdict(next(cells))) + "\n")
            rows.append(json.loads(cell.read_text(encoding="utf-8")))
    return Findings(
        tables=[
            Table(
                title=f"Cosine distance on {len(held_out)} words that no sample is about; two halves of a word's texts are "
                f"{noise_floor(data, held_out):.3f} apart",
                markdown=_markdown(rows),
            )
        ],
        charts=[_chart(rows)],
        rows=rows,
        weights=weights_of(base=BASE, summarizers=[context.setting.summarizer]),
    )


def _chart(rows: Sequence[Mapping[str, Any]]) -> Chart:
    """Errors against samples, a line a number of tokens; and of always telling the mean."""

    def series(name: str, own: Sequence[Mapping[str, Any]], value: str) -> Series:
        return Series(name=name, x=[row["n_samples"] for row in own], y=[row[value] for row in own])

    by_tokens = {n: [row for row in rows if row["n_tokens"] == n] for n in dict.fromkeys(r["n_tokens"] for r in rows)}
    lines = [series(f"{n} tokens", own, "error") for n, own in by_tokens.items()]
    lines.append(series("the mean of all samples", next(iter(by_tokens.values())), "error_of_mean"))
    return Chart(title="Error of prompt-tuned sub-vectors", x_label="samples", y_label="cosine distance", series=lines)


def _markdown(rows: list[dict[str, Any]]) -> str:
    header = ["tokens", "samples", "error", "error of the mean", "own word or synonym nearest", "seconds"]
    cells = [
        [
            row["n_tokens"],
            row["n_samples"],
            f"{row['error']:.3f}",
            f"{row['error_of_mean']:.3f}",
            f"{100 * row['own_or_synonym']:.0f}%",
            f"{row['seconds']:.0f}",
        ]
        for row in rows
    ]
    return markdown(header, cells)
