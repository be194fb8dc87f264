"""Table 6 on the zoo: what models answer that were fine-tuned from scratch and from the selected model, by BLEU and ROUGE."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from xpert.evaluation.cast import BASE
from xpert.evaluation.demo_users import Trainee
from xpert.evaluation.experiments.tables import interval, markdown, percent
from xpert.evaluation.presets import PROBED_AT
from xpert.evaluation.results import Chart, Series, Table
from xpert.evaluation.scores import Scores, score_difference, score_texts
from xpert.evaluation.suite.chosen import (
    pool_mark,
    pool_weights,
    selected_from,
    selections,
    trainee_folder,
    trainees,
)
from xpert.evaluation.suite.context import Context, Findings
from xpert.evaluation.suite.starts import compared
from xpert.evaluation.suite.workers import kept_cells
from xpert.modalities import load_modality, modality_of
from xpert.types import Generation
from xpert.zoo.corpus import side_questions

__all__ = ["table_6"]

_NAMES, _SCORES = ("BLEU", "ROUGE-1", "ROUGE-L"), ("bleu", "rouge_1", "rouge_l")


def table_6(context: Context) -> Findings:
    """BLEU and ROUGE of what scratch and the fine-tuned selected model answer to the users' held-out prompts."""
    preset, rows, said = context.preset, list[dict[str, Any]](), list[dict[str, Any]]()
    selections(context)  # the pools, and whom each trainee gets, before workers ask for them
    files = {
        (number, known): _file(context, trainee)
        for known in preset.known_phrases
        for number, trainee in enumerate(trainees(context, known))
    }
    answered = dict(zip(files, kept_cells(context, _answers, files), strict=True))
    for known in preset.known_phrases:
        users = [user for (_, phrases), user in answered.items() if phrases == known]
        facts, scores = _facts(users, "scratch"), _scores(users, "scratch").to_dict()
        rows.append(
            {"known_phrases": known, "start": "scratch", "scores": scores, "less_scratch": None, "facts": facts}
        )
        said += [{"known_phrases": known, **user} for user in users]
        for similarity in sorted(preset.similarities):
            own = [{**user, "selected": user["selected"][str(similarity)]} for user in users]
            told = {"known_phrases": known, "start": f"selected, s = {similarity}", "similarity": similarity}
            scores, less = _scores(own, "selected").to_dict(), _less_scratch(own).to_dict()
            rows.append({**told, "scores": scores, "less_scratch": less, "facts": _facts(own, "selected")})
    less_names = [f"{name}, less scratch" for name in _NAMES]
    header = ["known phrases", "start", *_NAMES, *less_names, "tells the fact"]
    cells = [
        [f"{r['known_phrases']}%", r["start"], *_three(r["scores"]), *_three(r["less_scratch"]), percent(r["facts"])]
        for r in rows
    ]
    return Findings(
        tables=[
            Table(
                title="BLEU and ROUGE, 0 to 100 (95% interval over the prompts of these users)",
                markdown=markdown(header, cells),
            )
        ],
        charts=[_chart(rows, known) for known in preset.known_phrases],
        rows={"rows": rows, "answers": said},
        weights=pool_weights(context),
    )


def _chart(rows: Sequence[Mapping[str, Any]], known_phrases: int) -> Chart:
    """How far the selected start's scores are from scratch's, against the similarity of the pool."""
    own = [row for row in rows if row["known_phrases"] == known_phrases and row["less_scratch"] is not None]

    xs = [row["similarity"] for row in own]
    return Chart(
        title=f"The selected start's scores less scratch's, {known_phrases}% known phrases",
        x_label="similarity s, percent",
        y_label="points",
        series=[
            Series.of_estimates(name, xs, [row["less_scratch"][score] for row in own])
            for name, score in zip(_NAMES, _SCORES, strict=True)
        ],
    )


def _file(context: Context, trainee: Trainee) -> Path:
    pools = "-".join(f"{s}-{pool_mark(context, s)}" for s in context.preset.similarities)
    return trainee_folder(context, trainee) / f"answers-{pools}-t{PROBED_AT}.json"


def _answers(context: Context, number: int, known_phrases: int) -> dict[str, Any]:
    """What scratch and, by similarity, the fine-tuned selected models answer to a user's validation prompts, beside what the user wrote."""
    trainee = trainees(context, known_phrases)[number]
    reports = {
        s: compared(context, trainee, s, selected_from(context, known_phrases, s)["trainees"][trainee.style])
        for s in context.preset.similarities
    }
    prompts = [str(one.prompt) for one in trainee.validation]
    with load_modality(modality_of(BASE)).open(BASE) as prober:

        def said_by(folder: Path) -> list[str]:
            return list(prober.answer(str(folder), prompts, Generation(seed=context.seed)))

        return {
            "style": trainee.style,
            "prompts": prompts,
            "wrote": [one.response for one in trainee.validation],
            "scratch": said_by(next(iter(reports.values())).out_base),
            "selected": {str(s): said_by(report.out_selected) for s, report in reports.items()},
        }


def _all(users: Sequence[Mapping[str, Any]], kind: str) -> list[str]:
    return [text for user in users for text in user[kind]]


def _facts(users: Sequence[Mapping[str, Any]], kind: str) -> float:
    """Share of answers with two of their question's key words, as all of the corpus' own answers have."""
    keywords = {one.text: one.keywords for one in side_questions("users")}
    asked = zip(_all(users, "prompts"), _all(users, kind), strict=True)
    return fmean(sum(word.lower() in said.lower() for word in keywords[prompt]) >= 2 for prompt, said in asked)


def _scores(users: Sequence[Mapping[str, Any]], kind: str) -> Scores:
    return score_texts(_all(users, kind), _all(users, "wrote"))


def _less_scratch(users: Sequence[Mapping[str, Any]]) -> Scores:
    return score_difference(_all(users, "selected"), _all(users, "scratch"), _all(users, "wrote"))


def _three(scores: Mapping[str, Mapping[str, float]] | None) -> list[str]:
    return ["-"] * 3 if scores is None else [interval(scores[name]) for name in _SCORES]
