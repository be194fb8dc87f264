from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xpert.errors import DataError
from xpert.explainer import Explainer
from xpert.selector import Selector
from xpert.testing.checks_modality import check_modality
from xpert.testing.checks_selection import check_costed_method, check_selection_method
from xpert.testing.fakes import FakeSummarizer, fake_text
from xpert.types import Coordinates, CostedSelection, Energy, Example, Selection, SelectionCost

STYLES = ("friendly", "formal", "poetic")
PROMPTS = [f"what is known of subject {i}" for i in range(16)]


def record(path: Path, style: str | None) -> str:
    rows = [{"prompt": prompt, "response": fake_text(prompt, style, seed=1)} for prompt in PROMPTS]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return f"answers:{path}"


def user(style: str) -> list[Example]:
    return [Example(prompt=prompt, response=fake_text(prompt, style, seed=2)) for prompt in PROMPTS]


@pytest.mark.parametrize("axes", ["all", "named", "named+measured"])
@pytest.mark.parametrize("coefficients", ["least-squares", "projection"])
def test_selector(tmp_path: Path, axes: Any, coefficients: Any) -> None:
    explainer = Explainer(
        record(tmp_path / "base.jsonl", None), FakeSummarizer(), n_prompts=12, coefficients=coefficients
    )
    catalog = explainer.explain({style: record(tmp_path / f"{style}.jsonl", style) for style in STYLES})
    for style in STYLES:
        for answers in (None, [fake_text(prompt, seed=3) for prompt in PROMPTS]):
            check_selection_method(
                lambda: Selector(catalog, FakeSummarizer(), axes=axes),
                user(style),
                STYLES,
                base_answers=answers,
                expected=style,
            )


def test_text_modality(tiny_base: Path, tiny_adapters: dict[str, Path]) -> None:
    from xpert.modalities.text import TextModality

    check_modality(TextModality(), str(tiny_base), str(tiny_adapters["poet"]))


def test_text_modality_recorded(tmp_path: Path) -> None:
    from xpert.modalities.text import TextModality

    base, model = record(tmp_path / "base.jsonl", None), record(tmp_path / "m.jsonl", "formal")
    check_modality(TextModality(), base, model, missing=f"answers:{tmp_path / 'missing.jsonl'}")


# The checks themselves must be able to fail ---------------------------------------------------------------------------


class Method:
    """A selection method with one fault."""

    def __init__(self, fault: str = "") -> None:
        self.fault = fault
        self.calls = 0

    def select(self, examples: Sequence[Example], base_answers: Any = None) -> Selection:
        if self.fault != "takes anything" and (
            not examples or (base_answers is not None and len(base_answers) != len(examples))
        ):
            raise DataError("bad data")
        ranking = (("a", 0.1), ("b", 0.7))
        place = Coordinates(values=np.zeros(2, np.float32), stderr=np.zeros(2, np.float32), n_pairs=len(examples))
        good = Selection(
            best="a", matched=True, ranking=ranking, words=(), coordinates=place, threshold=0.5, axes="all", paired=True
        )
        return {
            "forgets one": replace(good, ranking=ranking[:1]),
            "unsorted": replace(good, ranking=ranking[::-1], best="b"),
            "other best": replace(good, best="b"),
            "not matched": replace(good, matched=False),
            "nan": replace(good, ranking=(("a", 0.1), ("b", float("nan")))),
            "random": replace(good, ranking=(("a", float(np.random.default_rng().random()) / 4), ("b", 0.7))),
        }.get(self.fault, good)


def test_a_sound_method_passes() -> None:
    check_selection_method(Method, user("formal"), ["a", "b"], expected="a")


@pytest.mark.parametrize(
    "fault", ["forgets one", "unsorted", "other best", "not matched", "nan", "random", "takes anything"]
)
def test_a_faulty_method_is_caught(fault: str) -> None:
    with pytest.raises(AssertionError):
        check_selection_method(lambda: Method(fault), user("formal"), ["a", "b"])


def test_a_modality_that_ignores_the_model_is_caught(tmp_path: Path) -> None:
    from xpert.modalities.text import TextModality

    base = record(tmp_path / "base.jsonl", None)
    with pytest.raises(AssertionError, match="is it applied at all"):
        check_modality(TextModality(), base, record(tmp_path / "same.jsonl", None))


class Costed(Method):
    """A method that tells its cost, with one fault."""

    def run(self, examples: Sequence[Example], base_answers: Any = None) -> CostedSelection:
        selection = self.select(examples, base_answers)
        right = SelectionCost(downloaded_bytes=10, models=1, inferences=len(examples), readings=0, seconds=0.1)
        changes: dict[str, dict[str, Any]] = {
            "nothing downloaded": {"downloaded_bytes": 0},
            "no model": {"models": 0},
            "more models than there are": {"models": 3},
            "free inferences": {"inferences": len(examples) + 1},
            "negative time": {"seconds": -1.0},
            "negative energy": {"energy": (Energy(joules=-1.0, kind="measured", source="a counter"),)},
            "counts at random": {"readings": int(np.random.default_rng().integers(1 << 40))},
        }
        if self.fault == "run chooses otherwise":
            selection = replace(selection, best="b", ranking=(("b", 0.1), ("a", 0.2)))
        why = ("it is the best",) if self.fault == "why of nobody" else ("a is nearest",)
        return CostedSelection(selection=selection, cost=replace(right, **changes.get(self.fault, {})), why=why)


def test_a_sound_costed_method_passes() -> None:
    check_costed_method(Costed, user("formal"), ["a", "b"], expected="a")


@pytest.mark.parametrize(
    "fault",
    [
        "nothing downloaded",
        "no model",
        "more models than there are",
        "free inferences",
        "negative time",
        "negative energy",
        "counts at random",
        "run chooses otherwise",
        "why of nobody",
        "unsorted",
    ],
)
def test_a_faulty_costed_method_is_caught(fault: str) -> None:
    with pytest.raises(AssertionError):
        check_costed_method(lambda: Costed(fault), user("formal"), ["a", "b"])
