"""Table 6 on the zoo: what models answer that were fine-tuned from scratch and from the selected model, by BLEU and ROUGE."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from xpert.evaluation.cast import BASE
from xpert.evaluation.demo_users import Trainee
from xpert.evaluation.experiments.tables import interval, markdown, percent
from xpert.evaluation.keeping import kept
from xpert.evaluation.results import Chart, Series, Table
from xpert.evaluation.scores import Scores, score_difference, score_texts
from xpert.evaluation.suite.chosen import pool_mark, pool_weights, selected_from, trainee_folder, trainees
from xpert.evaluation.suite.context import Context, Findings
from xpert.evaluation.suite.starts import compared
from xpert.modalities import load_modality, modality_of
from xpert.types import Generation
from xpert.zoo.corpus import side_questions

__all__ = ["table_6"]

_NAMES, _SCORES = ("BLEU", "ROUGE-1", "ROUGE-L"), ("bleu", "rouge_1", "rouge_l")


def table_6(context: Context) -> Findings:
    """BLEU and ROUGE of what scratch and the fine-tuned selected model answer to the users' held-out prompts."""
    preset = context.preset
    rows: list[dict[str, Any]] = []
    said: list[dict[str, Any]] = []
    for known in preset.known_phrases:
        of_pools = {s: [_answers(context, one, s) for one in trainees(context, known)] for s in preset.similarities}
        scratch = _scores(next(iter(of_pools.values())), "scratch").to_dict()
        facts = _facts(next(iter(of_pools.values())), "scratch")
        rows.append(
            {"known_phrases": known, "start": "scratch", "scores": scratch, "less_scratch": None, "facts": facts}
        )
        for similarity, users in sorted(of_pools.items()):
            own, less = _scores(users, "selected").to_dict(), _less_scratch(users).to_dict()
            start = f"selected, s = {similarity}"
            facts = _facts(users, "selected")
            told = {"known_phrases": known, "start": start, "similarity": similarity}
            rows.append({**told, "scores": own, "less_scratch": less, "facts": facts})
            said += [{"known_phrases": known, "similarity": similarity, **user} for user in users]
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


def _answers(context: Context, trainee: Trainee, similarity: int) -> dict[str, Any]:
    """What scratch and the fine-tuned selected model answer to the user's validation prompts, beside what the user wrote; kept."""
    name = selected_from(context, trainee.known_phrases, similarity)["trainees"][trainee.style]
    report = compared(context, trainee, similarity, name)
    file = trainee_folder(context, trainee) / f"answers-{similarity}-{name}-{pool_mark(context, similarity)}.json"

    def answer() -> dict[str, Any]:
        prompts = [str(one.prompt) for one in trainee.validation]
        with load_modality(modality_of(BASE)).open(BASE) as prober:
            said = {
                kind: list(prober.answer(str(folder), prompts, Generation(seed=context.seed)))
                for kind, folder in (("scratch", report.out_base), ("selected", report.out_selected))
            }
        return {
            "style": trainee.style,
            "prompts": prompts,
            "wrote": [one.response for one in trainee.validation],
            **said,
        }

    return kept(file, answer)


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
