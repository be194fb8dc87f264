"""Table 10: a user's own model against a few of the user's texts in the prompt."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from xpert.evaluation.bootstrap import Estimate
from xpert.evaluation.demo_users import DemoUser
from xpert.evaluation.experiments.in_context import (
    METHODS,
    N_SHOTS,
    REPEATS,
    DomainAnswers,
    DomainUser,
    domain_answers,
    domain_user,
)
from xpert.evaluation.experiments.tables import markdown
from xpert.evaluation.results import Chart, Series, Table
from xpert.evaluation.scores import Scores, score_difference, score_texts
from xpert.evaluation.suite.context import Context, Findings
from xpert.evaluation.suite.merging import prepare, whole_weights, zoo_trainer
from xpert.evaluation.suite.workers import kept_cells
from xpert.progress import say
from xpert.zoo.corpus import DOMAINS

__all__ = ["table_10"]

_EVAL_EVERY = 5
_TOLD = {
    "base": "base, no examples",
    "in context": f"base, {N_SHOTS} random examples in the prompt",
    "selected": "selected model as it is",
    "personalized": "personalized from the selected model",
}


def table_10(context: Context) -> Findings:
    """Users of every domain; each user's answers are kept as they come."""
    numbers = range(1, context.preset.domain_users + 1)
    files = {(domain, number): _file(context, domain, number) for domain in DOMAINS for number in numbers}
    kept = kept_cells(
        context,
        _answers,
        files,
        prepare=lambda waiting: prepare(
            context, [_asking(domain_user(domain, number, context.seed)) for domain, number in waiting]
        ),
    )
    users = [DomainAnswers(**user) for user in kept]
    groups = {domain: [user for user in users if user.domain == domain] for domain in DOMAINS} | {"all four": users}
    found = {name: {method: _scores(some, method) for method in METHODS} for name, some in groups.items()}
    gains = {name: _difference(some, "personalized", "in context") for name, some in groups.items()}
    return Findings(
        tables=[
            Table(title="BLEU and ROUGE, 0 to 100 (95% interval over prompts)", markdown=_markdown(found)),
            Table(title="Personalized less in-context learning, on the same prompts", markdown=_differences(gains)),
            Table(title="Users", markdown=_users(users)),
            Table(title="What was answered to a first test prompt", markdown=_said(users[0])),
        ],
        charts=[_chart(found)],
        rows={
            "users": [_row(user) for user in users],
            "scores": {name: {m: one.to_dict() for m, one in methods.items()} for name, methods in found.items()},
            "personalized_less_in_context": {name: one.to_dict() for name, one in gains.items()},
        },
        weights=whole_weights(context),
    )


def _file(context: Context, domain: str, number: int) -> Path:
    """Of a user's answers."""
    name = f"{domain}-{number}-{context.preset.training_steps}-{context.seed}.json"
    return context.work / "in-context" / name


def _answers(context: Context, domain: str, number: int) -> dict[str, Any]:
    """One user's."""
    user = domain_user(domain, number, context.seed)
    said = context.said_by_base([_asking(user)])
    file = _file(context, domain, number)
    own = file.parent / "own" / file.stem  # no other worker's
    own.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(own, ignore_errors=True)
    found = domain_answers(
        user,
        catalog=context.whole_catalog,
        summarizer=context.summarizer,
        base=context.cast.base,
        base_answers=[said[str(example.prompt)] for example in user.training],
        out=own,
        trainer=replace(zoo_trainer(context), eval_every=_EVAL_EVERY),
        seed=context.seed,
    )
    shutil.rmtree(own, ignore_errors=True)
    say(f"{domain}: {found.style}, from {found.selected} in {found.steps} steps")
    return asdict(found)


def _asking(user: DomainUser) -> DemoUser:
    return DemoUser(name=user.domain, style=user.style, examples=user.training)


def _texts(users: Sequence[DomainAnswers], method: str) -> tuple[list[str], list[str], list[object]]:
    """Answers, references and prompts, as many repeats of each prompt as the method that draws has."""
    answers: list[str] = []
    references: list[str] = []
    groups: list[object] = []
    for number, user in enumerate(users):
        told = user.answers[method]
        for repeat in range(REPEATS):
            answers += told[repeat % len(told)]
            references += user.references
            groups += [(number, prompt) for prompt in user.prompts]
    return answers, references, groups


def _scores(users: Sequence[DomainAnswers], method: str) -> Scores:
    answers, references, groups = _texts(users, method)
    return score_texts(answers, references, groups=groups)


def _difference(users: Sequence[DomainAnswers], ours: str, theirs: str) -> Scores:
    answers, references, groups = _texts(users, ours)
    return score_difference(answers, _texts(users, theirs)[0], references, groups=groups)


def _chart(found: Mapping[str, Mapping[str, Scores]]) -> Chart:
    """ROUGE-1 of every method, by domain."""
    return Chart(
        title="In-context learning and personalization",
        x_label="domain",
        y_label="ROUGE-1, 0 to 100",
        names=list(found),
        series=[
            Series.of_estimates(
                _TOLD[method], range(len(found)), [asdict(scores[method].rouge_1) for scores in found.values()]
            )
            for method in METHODS
        ],
    )


def _markdown(found: Mapping[str, Mapping[str, Scores]]) -> str:
    cells = [
        [name, _TOLD[method], *_three(scores), scores.bleu.n]
        for name, methods in found.items()
        for method, scores in methods.items()
    ]
    return markdown(["domain", "method", "BLEU", "ROUGE-1", "ROUGE-L", "prompts"], cells)


def _differences(gains: Mapping[str, Scores]) -> str:
    return markdown(["domain", "BLEU", "ROUGE-1", "ROUGE-L"], [[name, *_three(one)] for name, one in gains.items()])


def _three(scores: Scores) -> list[str]:
    return [_told(one) for one in (scores.bleu, scores.rouge_1, scores.rouge_l)]


def _told(one: Estimate) -> str:
    return f"{one.mean:.1f} ({one.low:.1f} to {one.high:.1f})"


def _users(users: Sequence[DomainAnswers]) -> str:
    cells = [[user.domain, user.style, user.selected, user.steps] for user in users]
    return markdown(["domain", "style", "selected", "steps of training"], cells)


def _said(user: DomainAnswers) -> str:
    cells = [["the user's question", user.prompts[0]], ["what the user wrote", user.references[0]]]
    cells += [[_TOLD[method], user.answers[method][0][0]] for method in METHODS]
    return markdown(["", "text"], [[name, " ".join(text.replace("|", "/").split())] for name, text in cells])


def _row(user: DomainAnswers) -> dict[str, Any]:
    told = {"domain": user.domain, "style": user.style, "selected": user.selected, "steps": user.steps}
    return told | {"scores": {method: _scores([user], method).to_dict() for method in METHODS}}
