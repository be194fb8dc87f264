"""A model's probing depends on its task alone; known answers are not asked for again; groups are used where a prober has them."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from xpert.cache import Cache
from xpert.errors import DataError
from xpert.probing import Answers, ProbeTask, model_answers, probe, run_probes
from xpert.testing.fakes import fake_text
from xpert.types import Generation, ModelCard

PROMPTS = ("one thing", "another thing", "a third")
MODELS = {"friendly": "fake:friendly", "formal": "fake:formal", "twin": "fake:friendly", "silent": "fake:silent"}


class CountingProber:
    """Styles by reference; ``silent`` says nothing of itself."""

    def __init__(self) -> None:
        self.asked: list[str | None] = []

    def card(self, name: str, reference: str) -> ModelCard:
        return ModelCard(name=name, reference=reference, kind="full", base="fake:base", bytes=1, sha256="ab" * 32)

    def answer(self, reference: str | None, prompts: Sequence[str], generation: Generation) -> list[str]:
        self.asked.append(reference)
        return [fake_text(prompt, (reference or "").partition(":")[2], seed=generation.seed) for prompt in prompts]

    def prompts(self, references: Sequence[str]) -> list[str] | None:
        return None

    def second_answer(self, prompts: Sequence[str], generation: Generation) -> tuple[list[str], str]:
        self.asked.append("second")
        return [fake_text(prompt, seed=generation.seed + 1) for prompt in prompts], "sampled"

    def fingerprint(self, reference: str | None) -> str | None:
        return None if reference == "fake:silent" else f"weights of {reference}"


class Grouping(CountingProber):
    """Answers all at once, the last first."""

    def answer_many(
        self, references: Sequence[str], prompts: Sequence[str], generation: Generation, *, on_finished: Any = None
    ) -> Iterator[tuple[str, list[str]]]:
        done = [(reference, self.answer(reference, prompts, generation)) for reference in reversed(references)]
        for reference, answers in done:
            on_finished(reference, answers)
        yield from done


class Forgetful(CountingProber):
    def answer_many(
        self, references: Sequence[str], prompts: Sequence[str], generation: Generation, *, on_finished: Any = None
    ) -> Iterator[tuple[str, list[str]]]:
        yield references[0], self.answer(references[0], prompts, generation)


TASK = ProbeTask(base="fake:base", prompts=PROMPTS, generation=Generation())


@pytest.mark.parametrize("kind", [CountingProber, Grouping])
def test_each_reference_is_asked_once_and_known_ones_not_at_all(tmp_path: Path, kind: Any) -> None:
    prober, cache = kind(), Cache(tmp_path)
    first = dict(model_answers(prober, TASK, MODELS, cache))
    assert sorted(map(str, prober.asked)) == ["fake:formal", "fake:friendly", "fake:silent"]
    assert first["friendly"] == first["twin"] == Answers(texts=tuple(fake_text(p, "friendly") for p in PROMPTS))
    again = kind()
    assert dict(model_answers(again, TASK, MODELS, cache)) == first
    assert again.asked == ["fake:silent"]
    assert cache.size()["answers"][0] == 2
    other = kind()
    dict(model_answers(other, replace(TASK, generation=Generation(seed=1)), MODELS, cache))
    assert len(other.asked) == 3
    bare = kind()
    assert dict(model_answers(bare, TASK, MODELS)) == first
    assert len(bare.asked) == 3


def test_what_was_finished_before_a_stop_is_kept(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    walk = model_answers(CountingProber(), TASK, MODELS, cache)
    next(walk)
    walk.close()
    prober = CountingProber()
    dict(model_answers(prober, TASK, MODELS, cache))
    assert prober.asked == ["fake:formal", "fake:silent"]


def test_a_group_that_leaves_a_model_out() -> None:
    with pytest.raises(DataError, match="expected answers of 'fake:formal', got none"):
        dict(model_answers(Forgetful(), TASK, MODELS))


def test_the_base_answers_twice_where_a_null_is_wanted(tmp_path: Path) -> None:
    prober, cache = CountingProber(), Cache(tmp_path)
    probes = run_probes(prober, TASK, cache, second=True)
    assert prober.asked == [None, "second"]
    assert probes.base != probes.second
    assert probes.null_pairs == "sampled"
    assert run_probes(prober, TASK, cache, second=True) == probes
    assert prober.asked == [None, "second"]
    bare = run_probes(prober, TASK, None, second=False)
    assert (bare.second, bare.null_pairs, bare.null()) == (None, "none", None)


def test_another_number_of_answers_than_prompts() -> None:
    probes = run_probes(CountingProber(), TASK, second=False)
    with pytest.raises(DataError, match="expected 3 answers, one a prompt, got 2"):
        probes.pairs(["a", "b"])


def test_a_task_can_be_carried_to_another_process(tiny_base: Path, tiny_adapters: dict[str, Path]) -> None:
    task = ProbeTask(
        base=str(tiny_base),
        reference=str(tiny_adapters["poet"]),
        prompts=PROMPTS,
        generation=Generation(max_new_tokens=8),
    )
    code = (
        "import pickle, sys, torch; torch.set_num_threads(1); from xpert.probing import probe; "
        "sys.stdout.buffer.write(pickle.dumps(probe(pickle.loads(sys.stdin.buffer.read()))))"
    )
    done = subprocess.run([sys.executable, "-c", code], input=pickle.dumps(task), capture_output=True, check=True)
    assert pickle.loads(done.stdout) == probe(task)
    assert probe(task) != probe(replace(task, reference=None))


def test_a_groups_answers_are_kept_before_the_first_is_handed_on(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    next(model_answers(Grouping(), TASK, MODELS, cache))
    assert cache.size()["answers"][0] == 2, "all but the silent one"
