"""Table 6 on the zoo: what models answer that were fine-tuned from scratch and from the selected model, by BLEU and ROUGE."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from xpert.evaluation.bootstrap import Estimate
from xpert.evaluation.cast import BASE
from xpert.evaluation.demo_users import Trainee
from xpert.evaluation.experiments.tables import markdown
from xpert.evaluation.keeping import kept
from xpert.evaluation.results import Table
from xpert.evaluation.scores import Scores, score_difference, score_texts
from xpert.evaluation.suite.context import Context, Findings
from xpert.evaluation.suite.starts import compared, selected_from, trainee_folder, trainees
from xpert.modalities import load_modality, modality_of
from xpert.types import Generation

__all__ = ["table_6"]


def table_6(context: Context) -> Findings:
    """BLEU and ROUGE of what scratch and the fine-tuned selected model answer to the users' held-out prompts."""
    said = {s: [_answers(context, trainee, s) for trainee in trainees(context)] for s in context.preset.similarities}
    first = next(iter(said.values()))
    rows: list[dict[str, Any]] = [
        {"start": "scratch", "scores": _scores(first, "scratch").to_dict(), "less_scratch": None}
    ]
    cells: list[list[object]] = [["scratch", *_three(_scores(first, "scratch")), "-", "-", "-"]]
    for similarity, users in sorted(said.items()):
        own, less = _scores(users, "selected"), _less_scratch(users)
        rows.append({"start": similarity, "scores": own.to_dict(), "less_scratch": less.to_dict()})
        cells.append([f"selected, s = {similarity}", *_three(own), *_three(less)])
    names = ["BLEU", "ROUGE-1", "ROUGE-L"]
    header = ["start", *names, *(f"{name}, less scratch" for name in names)]
    return Findings(
        tables=[
            Table(
                title="BLEU and ROUGE, 0 to 100 (95% interval over the prompts of these users)",
                markdown=markdown(header, cells),
            )
        ],
        rows={"rows": rows, "answers": said},
    )


def _answers(context: Context, trainee: Trainee, similarity: int) -> dict[str, Any]:
    """What scratch and the fine-tuned selected model answer to the user's validation prompts, beside what the user wrote; kept."""
    name = selected_from(context, similarity)["trainees"][trainee.style]
    report = compared(context, trainee, similarity, name)
    file = trainee_folder(context, trainee) / f"answers-{similarity}.json"

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


def _scores(users: Sequence[Mapping[str, Any]], kind: str) -> Scores:
    return score_texts(_all(users, kind), _all(users, "wrote"))


def _less_scratch(users: Sequence[Mapping[str, Any]]) -> Scores:
    return score_difference(_all(users, "selected"), _all(users, "scratch"), _all(users, "wrote"))


def _three(scores: Scores) -> list[str]:
    return [_score(one) for one in (scores.bleu, scores.rouge_1, scores.rouge_l)]


def _score(one: Estimate) -> str:
    return f"{one.mean:.1f} ({one.low:.1f} to {one.high:.1f})"
