"""Figure 13 on planted cells."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from xpert.evaluation.presets import PRESETS
from xpert.evaluation.suite import sizes
from xpert.evaluation.suite.chosen import other_bases
from xpert.evaluation.suite.context import SUMMARIZER, Context
from xpert.evaluation.suite.sizes import ENCODER, sized_summarizers
from xpert.zoo import WEIGHTS


def cell(name: str, seed: int, right: list[bool]) -> dict[str, object]:
    return {"summarizer": name, "seed": seed, "similarity": 50, "right": {"named": right, "all": [True, *right[1:]]}}


CELLS = [
    cell("small", 0, [False, False]),
    cell("small", 1, [True, False]),
    cell("medium", 0, [True, True]),
    cell("medium", 1, [True, False]),
    cell("MiniLM, an encoder", 0, [True, True]),
    cell("MiniLM, an encoder", 1, [True, True]),
]


def rows() -> list[dict[str, Any]]:
    parameters = {"small": 10**5, "medium": 10**6, "MiniLM, an encoder": 10**7}
    return [
        sizes._row(CELLS, name, axes, 50) | {"parameters": parameters[name]}
        for name in parameters
        for axes in sizes.AXES
    ]


def test_accuracy_is_told_by_size_and_axes_and_beside_the_shipped_size() -> None:
    table = sizes._markdown(rows(), [50])
    assert "| small | 0.10 million | words alone | 25.0% (" in table
    assert "| small | 0.10 million | all axes | 50.0% (" in table
    assert "| medium | 1.00 million | words alone | 75.0% (" in table
    assert "| small | 25.0 (" in sizes._differences(rows(), [50])
    assert "medium" not in sizes._differences(rows(), [50])


def test_the_chart_joins_the_zoos_sizes_and_sets_the_encoder_apart() -> None:
    lines = {one.name: one for one in sizes._chart(rows(), [50]).series}
    assert (lines["s = 50, words alone"].x, lines["s = 50, words alone"].y) == (pytest.approx([5, 6]), [25, 75])
    assert (lines["s = 50, words alone, MiniLM"].x, lines["s = 50, words alone, MiniLM"].y) == ([7], [100])


def test_a_size_that_is_not_there_is_left_out_and_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sizes, "names", lambda: ["base", "summarizer"])
    found, missing = sized_summarizers(tmp_path)
    assert [one.reference for one in found] == [SUMMARIZER, ENCODER]
    assert missing == ["small", "large"]
    assert sizes._note(missing).endswith("small, large")
    made = tmp_path / "zoo" / "summarizer-large"
    made.mkdir(parents=True)
    (made / "config.json").write_text("{}")
    found, missing = sized_summarizers(tmp_path)
    assert [one.reference for one in found] == [SUMMARIZER, f"hf:{made}", ENCODER]
    assert missing == ["small"]


def test_parameters_are_counted_from_the_weights(tmp_path: Path) -> None:
    context = Context(preset=PRESETS["tiny"], seed=0, work=tmp_path)
    (medium,) = [one for one in sized_summarizers(tmp_path)[0] if one.name == "medium"]
    bytes_a_parameter = 2
    weights = (WEIGHTS / "summarizer" / "model.safetensors").stat().st_size
    assert sizes._parameters(context, medium) == pytest.approx(weights / bytes_a_parameter, rel=0.01)


def test_what_the_documents_have_made_is_where_it_is_looked_for(tmp_path: Path) -> None:
    docs = (Path(__file__).parents[3] / "docs" / "evaluation.md").read_text(encoding="utf-8")
    made = re.findall(r"make_zoo\.py \w+ --(?:like|size) \w+ --out evaluation/work/(\S+)", docs)
    assert (len(other_bases(tmp_path)[1]), sized_summarizers(tmp_path)[1]) == (2, ["large"])
    for folder in made:
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "config.json").write_text("{}")
    assert (other_bases(tmp_path)[1], sized_summarizers(tmp_path)[1]) == ([], [])
