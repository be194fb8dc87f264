"""Figure 16 and Table 10 on planted rows."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from xpert.evaluation.experiments import in_context
from xpert.evaluation.experiments.in_context import DomainAnswers, domain_user
from xpert.evaluation.experiments.merging_starts import MixedStarts, mixed_starts_table, mixed_starts_users
from xpert.evaluation.suite import in_context as suite
from xpert.evaluation.suite import merging
from xpert.trainers.torch import TorchTrainer
from xpert.types import Generation
from xpert.zoo.corpus import side_questions


def row(n_styles: int, scratch: int, single: int | None, merged: int, compressed: int) -> MixedStarts:
    return MixedStarts(
        styles=tuple("abc"[:n_styles]),
        single="a",
        weights={"a": 0.5, "b": 0.5},
        distance_before=0.5,
        distance_after=0.1,
        steps={"scratch": scratch, "single": single, "merged": merged, "compressed": compressed},
        first_losses={},
        target_loss=0.4,
        stopped_by="no_improvement",
    )


ROWS = [row(1, 100, 40, 20, 30), row(1, 100, 60, 20, 30), row(2, 80, None, 10, 30), row(3, 50, 40, 20, 30)]


def test_the_chart_of_figure_16_has_ours_and_the_papers_as_shares_of_scratch() -> None:
    lines = {one.name: one for one in merging._chart(ROWS).series}
    assert (lines["selected model"].x, lines["selected model"].y) == ([1, 3], pytest.approx([50, 80]))
    assert lines["merge at rank 8"].y == pytest.approx([30, 60])
    assert lines["scratch"].y == [100, 100]
    assert lines["merge, paper"].y == pytest.approx([25, 45, 57])


def test_users_who_never_got_there_are_told_and_not_counted() -> None:
    assert "| 2 | 0 of 1 | - | - | - | - | - | - | 0 | 0 |" in mixed_starts_table(ROWS)
    assert "| a, b | a | 0.50 | 0.10 | 2 | 80 | - | 10 | 30 |" in mixed_starts_users(ROWS)
    assert [one.name for one in merging._chart([ROWS[2]]).series] == [
        "scratch, paper",
        "selected model, paper",
        "merge, paper",
    ]


def test_users_of_a_domain_ask_about_it_and_no_prompt_twice() -> None:
    user = domain_user("home", 1, 0)
    assert user == domain_user("home", 1, 0)
    assert user != domain_user("home", 2, 0)
    assert (len(user.training), len(user.validation), len(user.test)) == (40, 10, 30)
    texts = (*user.training, *user.validation, *user.test)
    assert {example.prompt for example in texts} == {q.text for q in side_questions("users") if q.domain == "home"}


def test_examples_are_drawn_from_what_the_user_trains_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted training and models: who is asked what."""
    asked: list[tuple[str | None, list[str]]] = []

    class Prober:
        def answer(self, reference: str | None, prompts: list[str], generation: Generation) -> list[str]:
            asked.append((reference, list(prompts)))
            return [f"{reference} {i}" for i, _ in enumerate(prompts)]

    def fit(self: TorchTrainer, start: str, examples: Any, *, validation: Any, out: Path) -> Any:
        assert (start, examples, validation) == ("ref-a", user.training, user.validation)
        assert self.patience is not None
        return SimpleNamespace(out=out, steps=7)

    user = domain_user("home", 1, 0)
    monkeypatch.setattr(TorchTrainer, "fit", fit)
    modality = SimpleNamespace(open=lambda base: nullcontext(Prober()))
    monkeypatch.setattr(in_context, "load_modality", lambda name: modality)
    monkeypatch.setattr(in_context, "modality_of", lambda base: "text")
    monkeypatch.setattr(in_context, "Selector", lambda *_: SimpleNamespace(select=lambda *_: SimpleNamespace(best="a")))
    catalog: Any = SimpleNamespace(card=lambda name: SimpleNamespace(reference=f"ref-{name}"))
    found = in_context.domain_answers(
        user,
        catalog=catalog,
        summarizer="fake",
        base="base",
        base_answers=None,
        out=tmp_path / "own",
        trainer=TorchTrainer(max_steps=9),
    )
    assert [reference for reference, _ in asked] == [None] * 6 + ["ref-a", str(tmp_path / "own")]
    assert (found.selected, found.steps, len(found.answers["in context"])) == ("a", 7, 5)
    known = {f"{example.prompt} {example.response}" for example in user.training}
    drawn = [tuple(prompt.split("\n")[:-1]) for _, prompts in asked[1:6] for prompt in prompts]
    assert all(len(shots) == 3 and set(shots) <= known for shots in drawn)
    assert len(set(drawn)) == len(drawn)
    assert [prompt.split("\n")[-1] for prompt in asked[3][1]] == [example.prompt for example in user.test]


def told(domain: str, right: int) -> DomainAnswers:
    written = [f"well, number {i} is the {i} of them all" for i in range(4)]
    wrong = ["nothing alike here"] * 4
    answers = {
        "base": [written[:1] + wrong[1:]],
        "in context": [wrong] * 4 + [written],
        "selected": [wrong],
        "personalized": [written[:right] + wrong[right:]],
    }
    prompts = [f"prompt {i}" for i in range(4)]
    return DomainAnswers(
        domain=domain, style="a", selected="b", steps=5, prompts=prompts, references=written, answers=answers
    )


def test_repeats_are_averaged_and_counted_as_one_prompt() -> None:
    pytest.importorskip("sacrebleu", reason="needs the extra 'eval'")
    pytest.importorskip("rouge_score", reason="needs the extra 'eval'")
    users = [told("home", 4), told("nature", 2)]
    in_the_prompt, own = suite._scores(users, "in context"), suite._scores(users, "personalized")
    assert in_the_prompt.rouge_1.mean == pytest.approx(20)
    assert (own.rouge_1.mean, own.rouge_1.n) == (pytest.approx(75), 8)
    gain = suite._difference(users, "personalized", "in context")
    assert gain.rouge_l.mean == pytest.approx(55)
    assert gain.rouge_l.low > 0
    assert "| base, 3 random examples in the prompt | nothing alike here |" in suite._said(users[0])
